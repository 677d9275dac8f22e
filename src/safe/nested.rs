//! An owner that is itself a Safe: its own transaction that approves another Safe's hash on chain.
//!
//! `approveHash` works between all versions, where a contract signature (ERC-1271) depends on which two meet. Pure.

use alloy::primitives::U256;

use super::tx::{Intent, SafeDomain, SafeTx, SafeTxError};

/// The transaction with which `child`, an owner of the Safe of `parent`, agrees to `parent`: one plain call of
/// `approveHash`. `nonce` is the child's own.
///
/// # Errors
/// Another chain, an old or unknown version of the child, or the child is the Safe itself.
pub fn approval(parent: &SafeTx, child: SafeDomain, nonce: U256) -> Result<SafeTx, SafeTxError> {
    let (expected, found) = (parent.domain().chain_id, child.chain_id);
    if found != expected {
        return Err(SafeTxError::OtherChain { found, expected });
    }
    SafeTx::freeze(&Intent {
        domain: child,
        nonce,
        calls: vec![parent.approve_hash_call()],
        batcher: None,
        old_versions: false,
    })
}

/// Whether `candidate` does nothing but agree to `parent`, for the Safe that it belongs to.
pub fn is_approval_of(candidate: &SafeTx, parent: &SafeTx) -> bool {
    let same_chain = candidate.domain().chain_id == parent.domain().chain_id;
    same_chain && candidate.calls() == [parent.approve_hash_call()]
}

#[cfg(test)]
mod tests {
    use alloy::primitives::{Address, B256, Bytes, address, b256};
    use serde_json::Value;

    use super::*;
    use crate::chain::Call;
    use crate::safe::{Operation, SafeTxFields, version::SafeVersion};

    const PARENT: Address = address!("2222222222222222222222222222222222222222");

    fn vector() -> Value {
        let text = include_str!("../../tests/vectors/safe.json");
        serde_json::from_str::<Value>(text).unwrap()["nested"].take()
    }

    fn parent(version: SafeVersion) -> SafeTx {
        let mut data = vec![0xdf, 0xc7, 0x72, 0x23];
        data.extend([0xab; 32]);
        SafeTx::freeze(&Intent {
            domain: SafeDomain {
                chain_id: 8453,
                safe: PARENT,
                version,
            },
            nonce: U256::from(7),
            calls: vec![Call {
                to: address!("1111111111111111111111111111111111111111"),
                value: U256::ZERO,
                data: data.into(),
            }],
            batcher: None,
            old_versions: false,
        })
        .unwrap()
    }

    fn child() -> SafeDomain {
        SafeDomain {
            chain_id: 8453,
            safe: address!("3333333333333333333333333333333333333333"),
            version: SafeVersion::V1_3_0,
        }
    }

    #[test]
    fn the_childs_transaction_has_the_hashes_of_the_vector() {
        let vector = vector();
        let get = |key: &str| -> B256 { serde_json::from_value(vector[key].clone()).unwrap() };
        for version in [SafeVersion::V1_3_0, SafeVersion::V1_4_1, SafeVersion::V1_5_0] {
            let parent = parent(version);
            let approval = approval(&parent, child(), U256::from(3)).unwrap();
            let digests = approval.digests();
            assert_eq!(
                (digests.domain, digests.message, digests.safe_tx),
                (get("domain"), get("approve_message"), get("approve_hash"))
            );
            assert_eq!(
                digests.safe_tx,
                b256!("ef49d2a33579a092a9338f695d16989abe7b8f92bdfc144e356358ae736f92bc")
            );
            assert_eq!(
                approval.fields(),
                &SafeTxFields::plain(PARENT, parent.approve_hash_call().data, Operation::Call, U256::from(3))
            );
            assert!(is_approval_of(&approval, &parent));
        }
    }

    #[test]
    fn an_approval_of_another_chain_or_by_the_safe_itself_is_refused() {
        let parent = parent(SafeVersion::V1_4_1);
        let of = |change: fn(&mut SafeDomain)| {
            let mut child = child();
            change(&mut child);
            approval(&parent, child, U256::from(3))
        };
        assert_eq!(
            of(|child| child.chain_id = 1),
            Err(SafeTxError::OtherChain {
                found: 1,
                expected: 8453
            })
        );
        assert_eq!(of(|child| child.safe = PARENT), Err(SafeTxError::SelfCall { index: 0 }));
        let version = SafeVersion::new(1, 2, 0);
        assert_eq!(
            of(|child| child.version = SafeVersion::new(1, 2, 0)),
            Err(SafeTxError::OldVersion { version })
        );
    }

    #[test]
    fn only_the_call_that_approves_this_hash_is_an_approval_of_it() {
        let parent = parent(SafeVersion::V1_4_1);
        let right = approval(&parent, child(), U256::from(3)).unwrap();
        let other = |change: fn(&mut SafeTxFields)| {
            let mut fields = right.fields().clone();
            change(&mut fields);
            SafeTx::accept(child(), fields, false).unwrap()
        };
        assert!(is_approval_of(&other(|fields| fields.nonce = U256::from(4)), &parent));
        for wrong in [
            other(|fields| fields.to = Address::repeat_byte(5)),
            other(|fields| fields.data = Bytes::new()),
            other(|fields| fields.data = [&fields.data[..], &[0]].concat().into()),
            other(|fields| {
                let mut data = fields.data.to_vec();
                data[35] ^= 1;
                fields.data = data.into();
            }),
            parent.clone(),
        ] {
            assert!(!is_approval_of(&wrong, &parent), "{wrong:?}");
        }
        let elsewhere = SafeDomain { chain_id: 1, ..child() };
        let elsewhere = SafeTx::accept(elsewhere, right.fields().clone(), false).unwrap();
        assert!(!is_approval_of(&elsewhere, &parent));
    }
}
