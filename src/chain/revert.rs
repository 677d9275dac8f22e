//! Why a call failed, as a person reads it: `Error(string)`, `Panic(uint256)`, and the named errors of the app's, the
//! owner's and OpenZeppelin's contracts. Pure.

use alloy::primitives::{Address, B256, U256, hex, keccak256};
use alloy::sol_types::{Panic, Revert, SolError};

use super::TimelockRefusal;
use super::rpc::printable;

/// Errors that the app, the KMS, OpenZeppelin's proxies and timelocks can throw; every argument is one static word.
const NAMED: &[&str] = &[
    "OwnableUnauthorizedAccount(address)",
    "OwnableInvalidOwner(address)",
    "InvalidInitialization()",
    "NotInitializing()",
    "UUPSUnauthorizedCallContext()",
    "UUPSUnsupportedProxiableUUID(bytes32)",
    "ERC1967InvalidImplementation(address)",
    "ERC1967NonPayable()",
    "AddressEmptyCode(address)",
    "FailedCall()",
    "FailedInnerCall()",
    "TimelockUnexpectedOperationState(bytes32,bytes32)",
    "TimelockInsufficientDelay(uint256,uint256)",
    "AccessControlUnauthorizedAccount(address,bytes32)",
    "TimelockUnexecutedPredecessor(bytes32)",
    "TimelockUnauthorizedCaller(address)",
    "TimelockInvalidOperationLength(uint256,uint256,uint256)",
    "AccessControlBadConfirmation()",
];

/// Longest piece of unknown bytes that is shown.
const UNKNOWN_LIMIT: usize = 68;

/// The reason in `data`, with what it means where a timelock gave it; `None` when there is none in it.
pub(super) fn decode(data: &[u8]) -> Option<String> {
    let reason = verbatim(data)?;
    Some(match TimelockRefusal::decode(data) {
        Some(refusal) => format!("{reason}: {refusal}"),
        None => reason,
    })
}

fn verbatim(data: &[u8]) -> Option<String> {
    let selector = data.first_chunk::<4>()?;
    if *selector == Revert::SELECTOR {
        let revert = Revert::abi_decode(data).ok()?;
        return Some(format!("\"{}\"", printable(&revert.reason)));
    }
    if *selector == Panic::SELECTOR {
        return Panic::abi_decode(data).ok().map(|panic| panic.to_string());
    }
    let arguments = data.get(4..).unwrap_or_default();
    let known = NAMED
        .iter()
        .filter(|signature| keccak256(signature).starts_with(selector))
        .find_map(|signature| named(signature, arguments));
    Some(known.unwrap_or_else(|| {
        let shown = data.get(..UNKNOWN_LIMIT).unwrap_or(data);
        format!("custom error {}", hex::encode_prefixed(shown))
    }))
}

fn named(signature: &str, data: &[u8]) -> Option<String> {
    let (name, types) = signature.strip_suffix(')')?.split_once('(')?;
    let types: Vec<&str> = types.split(',').filter(|kind| !kind.is_empty()).collect();
    if data.len() != types.len() * 32 {
        return None;
    }
    let words = data.chunks_exact(32).map(B256::from_slice);
    let shown: Vec<String> = types
        .iter()
        .zip(words)
        .map(|(kind, word)| argument(kind, word))
        .collect();
    Some(format!("{name}({})", shown.join(", ")))
}

fn argument(kind: &str, word: B256) -> String {
    match kind {
        "address" => Address::from_word(word).to_string(),
        "uint256" => U256::from_be_bytes(word.0).to_string(),
        _ => word.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use alloy::primitives::address;

    use super::*;

    #[test]
    fn x15_a_refusal_by_the_owner_check_names_the_error_and_the_account() {
        let mut data = hex::decode("118cdaa7").unwrap();
        data.extend(address!("70997970C51812dc3A010C7d01b50e0d17dc79C8").into_word());
        assert_eq!(
            decode(&data).unwrap(),
            "OwnableUnauthorizedAccount(0x70997970C51812dc3A010C7d01b50e0d17dc79C8)"
        );
    }

    #[test]
    fn selectors_are_those_of_the_deployed_contracts() {
        let expected = [
            "118cdaa7", "1e4fbdf7", "f92ee8a9", "d7e6bcf8", "e07c8dba", "aa1d49a4", "4c9c8ce3", "b398979f", "9996b315",
            "d6bda275", "1425ea42", "5ead8eb5", "54336609", "e2517d3f", "90a9a618", "e2850c59", "ffb03211", "6697b232",
        ];
        let computed: Vec<String> = NAMED
            .iter()
            .map(|signature| hex::encode(keccak256(signature).first_chunk::<4>().unwrap()))
            .collect();
        assert_eq!(computed, expected);
    }

    #[test]
    fn strings_and_panics_are_read_and_escaped() {
        let text = Revert::from("Upgrades are\u{1b}[2J disabled").abi_encode();
        assert_eq!(decode(&text).unwrap(), "\"Upgrades are\\u{1b}[2J disabled\"");
        let panic = Panic::from(0x11_u64).abi_encode();
        assert!(decode(&panic).unwrap().contains("0x11"), "{:?}", decode(&panic));
    }

    #[test]
    fn unknown_errors_are_shown_as_bytes_and_cut() {
        assert_eq!(decode(&[]), None);
        assert_eq!(decode(&[1, 2, 3]), None);
        assert_eq!(decode(&[1, 2, 3, 4]).unwrap(), "custom error 0x01020304");
        assert!(decode(&[7; 5000]).unwrap().len() < 200);
        assert!(
            decode(&hex::decode("118cdaa7").unwrap())
                .unwrap()
                .starts_with("custom error")
        );
    }
}
