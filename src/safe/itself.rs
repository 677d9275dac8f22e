//! Transactions with which a Safe changes itself. Whoever signs behind one of them signs for a Safe that has other
//! owners, another threshold or other helpers by the time it is their transaction's turn. Pure.

use alloy::primitives::Bytes;

use super::decode::decode;
use super::tx::{SafeDomain, SafeTxFields};

/// What a transaction changes of the Safe that makes it, in words; empty: nothing. A rejection, which calls the Safe
/// with nothing, changes nothing. A delegate call that is no batch can change everything.
pub fn changes_itself(fields: &SafeTxFields, domain: &SafeDomain) -> Vec<String> {
    let Ok(calls) = fields.calls() else {
        return vec!["a delegate call that can change everything".to_owned()];
    };
    let calls = calls.iter();
    calls
        .filter_map(|call| own(call.to == domain.safe, &call.data))
        .collect()
}

fn own(is_own: bool, data: &Bytes) -> Option<String> {
    if !is_own || data.is_empty() {
        return None;
    }
    let decoded = decode(data).map(|decoded| format!("{}: {}", decoded.function, decoded.meaning));
    Some(decoded.unwrap_or_else(|| "an unknown call of its own".to_owned()))
}

#[cfg(test)]
mod tests {
    use alloy::primitives::{Address, U256, hex};

    use super::*;
    use crate::safe::{Operation, version::SafeVersion};

    const SAFE: Address = Address::repeat_byte(0x22);
    const DOMAIN: SafeDomain = SafeDomain {
        chain_id: 8453,
        safe: SAFE,
        version: SafeVersion::V1_4_1,
    };

    fn found(to: Address, data: Bytes, operation: Operation) -> Vec<String> {
        changes_itself(&SafeTxFields::plain(to, data, operation, U256::from(3)), &DOMAIN)
    }

    fn change_threshold() -> Bytes {
        let mut data = hex!("694e80c3").to_vec();
        data.extend(U256::from(1).to_be_bytes::<32>());
        data.into()
    }

    #[test]
    fn pitfall_56_a_safe_that_calls_itself_changes_itself() {
        let told = found(SAFE, change_threshold(), Operation::Call);
        assert_eq!(told, ["changeThreshold(uint256): CHANGES HOW MANY OWNERS have to sign"]);
        let told = found(SAFE, Bytes::from_static(&[1, 2, 3, 4]), Operation::Call);
        assert_eq!(told, ["an unknown call of its own"]);
    }

    #[test]
    fn pitfall_56_a_delegate_call_of_unknown_code_can_change_everything() {
        let told = found(Address::repeat_byte(9), change_threshold(), Operation::DelegateCall);
        assert_eq!(told, ["a delegate call that can change everything"]);
    }

    #[test]
    fn what_calls_others_or_only_uses_up_the_nonce_changes_nothing_of_the_safe() {
        let other = found(Address::repeat_byte(9), change_threshold(), Operation::Call);
        let rejection = found(SAFE, Bytes::new(), Operation::Call);
        assert_eq!((other, rejection), (Vec::new(), Vec::new()));
    }
}
