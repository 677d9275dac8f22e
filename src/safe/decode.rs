//! Calldata read back as a function and its arguments, in words for whoever is to agree to it.
//!
//! By our own table of the app's and the Safe's functions, never by what a file or a server says of a call. A function
//! that is not in the table is unknown, and so is one whose arguments are not the one encoding of their values. Pure.

use alloy::primitives::{Address, B256, Bytes, U256, keccak256};
use alloy::sol_types::SolValue;
use serde::{Deserialize, Serialize};

/// What a call does, by our own interfaces.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Decoded {
    /// Name and types, for example `addComposeHash(bytes32)`.
    pub function: String,
    /// What it does, in a few words.
    pub meaning: String,
    /// Its arguments, in order.
    pub arguments: Vec<Argument>,
    /// An upgrade may make it: the rest take power away or give it to somebody.
    pub of_an_upgrade: bool,
}

/// One argument of a call.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Argument {
    /// Its name in the contract's source.
    pub name: String,
    /// Its type.
    pub kind: String,
    /// Its value as people write it.
    pub value: String,
}

/// Name, parameters as `kind name`, and what it does.
type Known = (&'static str, &'static [&'static str], &'static str);

/// What an upgrade calls.
const OF_AN_UPGRADE: [Known; 3] = [
    ("addComposeHash", &["bytes32 composeHash"], "lets this compose hash run"),
    ("addDevice", &["bytes32 deviceId"], "lets this device run the app"),
    (
        "removeComposeHash",
        &["bytes32 composeHash"],
        "no longer lets this compose hash run",
    ),
];

/// Everything else that changes a DstackApp, and what changes a Safe when it calls itself (`OwnerManager`,
/// `ModuleManager`, `GuardManager`, `FallbackManager` of Safe 1.3.0 to 1.5.0).
const OTHERS: [Known; 19] = [
    (
        "removeDevice",
        &["bytes32 deviceId"],
        "no longer lets this device run the app",
    ),
    (
        "setAllowAnyDevice",
        &["bool allowAny"],
        "decides whether every device may run the app",
    ),
    (
        "setRequireTcbUpToDate",
        &["bool requireUpToDate"],
        "decides whether out-of-date hardware may run the app",
    ),
    (
        "disableUpgrades",
        &[],
        "freezes the code of the app's contract for ever",
    ),
    ("acceptOwnership", &[], "takes over the app"),
    ("transferOwnership", &["address newOwner"], "GIVES THE APP AWAY"),
    (
        "renounceOwnership",
        &[],
        "GIVES THE APP UP: nobody could ever change it again",
    ),
    (
        "upgradeToAndCall",
        &["address newImplementation", "bytes data"],
        "REPLACES THE CODE of the app's contract",
    ),
    (
        "approveHash",
        &["bytes32 hashToApprove"],
        "agrees to a transaction of another Safe",
    ),
    (
        "addOwnerWithThreshold",
        &["address owner", "uint256 threshold"],
        "MAKES SOMEBODY AN OWNER of the Safe",
    ),
    (
        "removeOwner",
        &["address prevOwner", "address owner", "uint256 threshold"],
        "REMOVES AN OWNER of the Safe",
    ),
    (
        "swapOwner",
        &["address prevOwner", "address oldOwner", "address newOwner"],
        "REPLACES AN OWNER of the Safe",
    ),
    (
        "changeThreshold",
        &["uint256 threshold"],
        "CHANGES HOW MANY OWNERS have to sign",
    ),
    (
        "enableModule",
        &["address module"],
        "LETS A CONTRACT ACT for the Safe without its owners",
    ),
    (
        "disableModule",
        &["address prevModule", "address module"],
        "takes a module from the Safe",
    ),
    (
        "setGuard",
        &["address guard"],
        "CHANGES WHO MAY REFUSE the Safe's transactions",
    ),
    (
        "setModuleGuard",
        &["address moduleGuard"],
        "CHANGES WHO MAY REFUSE what modules do",
    ),
    (
        "setFallbackHandler",
        &["address handler"],
        "CHANGES WHAT ANSWERS for the Safe",
    ),
    (
        "changeMasterCopy",
        &["address masterCopy"],
        "REPLACES THE CODE of the Safe",
    ),
];

/// What `data` calls; `None` for a function that is not in the table, and for arguments that could be read in two ways.
pub fn decode(data: &Bytes) -> Option<Decoded> {
    let found = |known: &[Known], of_an_upgrade| {
        known.iter().find_map(|known| {
            let decoded = read(known, data)?;
            Some(Decoded {
                of_an_upgrade,
                ..decoded
            })
        })
    };
    found(&OF_AN_UPGRADE, true).or_else(|| found(&OTHERS, false))
}

fn read((name, parameters, meaning): &Known, data: &Bytes) -> Option<Decoded> {
    let parameters: Vec<(&str, &str)> = parameters.iter().filter_map(|text| text.split_once(' ')).collect();
    let kinds: Vec<&str> = parameters.iter().map(|(kind, _)| *kind).collect();
    let function = format!("{name}({})", kinds.join(","));
    let arguments = data.strip_prefix(keccak256(&function).get(..4)?)?;
    let values = match kinds.as_slice() {
        ["address", "bytes"] => address_and_bytes(arguments)?,
        kinds => words(kinds, arguments)?,
    };
    let argument = |((kind, name), value): (&(&str, &str), String)| Argument {
        name: (*name).to_owned(),
        kind: (*kind).to_owned(),
        value,
    };
    Some(Decoded {
        function,
        meaning: (*meaning).to_owned(),
        arguments: parameters.iter().zip(values).map(argument).collect(),
        of_an_upgrade: false,
    })
}

/// Arguments of one word each, and nothing after them.
fn words(kinds: &[&str], arguments: &[u8]) -> Option<Vec<String>> {
    let (words, rest) = arguments.as_chunks::<32>();
    if !rest.is_empty() || words.len() != kinds.len() {
        return None;
    }
    kinds
        .iter()
        .zip(words)
        .map(|(kind, word)| value(kind, B256::from(*word)))
        .collect()
}

fn value(kind: &str, word: B256) -> Option<String> {
    let number = U256::from_be_bytes(word.0);
    match kind {
        "bytes32" => Some(word.to_string()),
        "uint256" => Some(number.to_string()),
        "bool" if number <= U256::ONE => Some((number == U256::ONE).to_string()),
        "address" if number.bit_len() <= 160 => Some(Address::from_word(word).to_string()),
        _ => None,
    }
}

fn address_and_bytes(arguments: &[u8]) -> Option<Vec<String>> {
    let (address, bytes) = <(Address, Bytes)>::abi_decode_params(arguments).ok()?;
    let again = (address, bytes.clone()).abi_encode_params();
    (again == arguments).then(|| vec![address.to_string(), bytes.to_string()])
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use alloy::sol_types::SolCall;
    use serde_json::Value;

    use super::*;
    use crate::abi::app::DstackApp;
    use crate::chain::Call;
    use crate::chain::PolicyChange;

    #[test]
    fn v9_every_function_that_changes_the_app_has_its_name() {
        let text = include_str!("../../abi/DstackApp.json");
        let abi: Vec<Value> = serde_json::from_str(text).unwrap();
        let changing = abi.iter().filter(|entry| {
            entry["type"] == "function" && !["view", "pure"].contains(&entry["stateMutability"].as_str().unwrap())
        });
        let signature = |entry: &Value| {
            let kinds = entry["inputs"].as_array().unwrap().iter();
            let kinds: Vec<&str> = kinds.map(|input| input["type"].as_str().unwrap()).collect();
            format!("{}({})", entry["name"].as_str().unwrap(), kinds.join(","))
        };
        let named: BTreeSet<String> = OF_AN_UPGRADE
            .iter()
            .chain(&OTHERS)
            .map(|(name, parameters, _)| {
                let kinds: Vec<&str> = parameters.iter().map(|one| one.split_once(' ').unwrap().0).collect();
                format!("{name}({})", kinds.join(","))
            })
            .collect();
        let changing: Vec<String> = changing.map(signature).collect();
        assert!(changing.len() > 8);
        for function in changing {
            assert!(named.contains(&function), "{function}");
        }
    }

    #[test]
    fn v7_the_calls_of_an_upgrade_are_read_back() {
        let (app, word) = (Address::repeat_byte(0x11), B256::repeat_byte(0xab));
        for (call, function) in [
            (Call::add_compose_hash(app, word), "addComposeHash(bytes32)"),
            (PolicyChange::AddDevice(word).call(app), "addDevice(bytes32)"),
            (
                PolicyChange::RemoveComposeHash(word).call(app),
                "removeComposeHash(bytes32)",
            ),
        ] {
            let decoded = decode(&call.data).unwrap();
            assert_eq!((decoded.function.as_str(), decoded.of_an_upgrade), (function, true));
            assert_eq!(decoded.arguments[0].value, word.to_string());
        }
    }

    #[test]
    fn m20_a_call_that_gives_the_app_away_is_named_and_not_one_of_an_upgrade() {
        let somebody = Address::repeat_byte(0x66);
        let give = DstackApp::transferOwnershipCall { newOwner: somebody }.abi_encode();
        let decoded = decode(&give.into()).unwrap();
        assert_eq!(decoded.function, "transferOwnership(address)");
        assert_eq!(decoded.arguments[0].value, somebody.to_string());
        assert!(!decoded.of_an_upgrade);
        let replace = DstackApp::upgradeToAndCallCall {
            newImplementation: somebody,
            data: Bytes::from_static(&[1, 2, 3]),
        };
        let decoded = decode(&replace.abi_encode().into()).unwrap();
        assert_eq!(decoded.arguments[1].value, "0x010203");
        assert!(!decoded.of_an_upgrade);
    }

    #[test]
    fn i18_calldata_that_is_not_the_one_encoding_of_its_values_is_unknown() {
        let add = Call::add_compose_hash(Address::ZERO, B256::repeat_byte(1)).data;
        let longer = [&add[..], &[0]].concat();
        let replace = DstackApp::upgradeToAndCallCall {
            newImplementation: Address::repeat_byte(1),
            data: Bytes::from_static(&[7]),
        };
        let mut padded = replace.abi_encode();
        *padded.last_mut().unwrap() = 1;
        let mut wide = DstackApp::transferOwnershipCall {
            newOwner: Address::ZERO,
        }
        .abi_encode();
        wide[4] = 1;
        for bad in [longer, add[..35].to_vec(), padded, wide, vec![1, 2, 3, 4], Vec::new()] {
            assert_eq!(decode(&bad.clone().into()), None, "{bad:?}");
        }
    }
}
