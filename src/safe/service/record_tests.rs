//! Records of the service in all their forms, honest and not.

use super::super::tests::{DOMAIN, HASH, SAFE, SIGNATURES, SIGNERS, TO, record};
use super::*;
use crate::safe::{approvals::SignatureSet, version::SafeVersion};
use alloy::primitives::address;
use serde_json::json;
use std::collections::BTreeSet;

fn parsed(value: &Value) -> ServiceTx {
    ServiceTx::parse(value).unwrap()
}

#[test]
fn pitfall_10_numbers_of_v1_and_texts_of_v2_are_the_same_transaction() {
    let v2 = record();
    let mut v1 = record();
    for name in ["nonce", "baseGas", "safeTxGas"] {
        let number: u64 = v1[name].as_str().unwrap().parse().unwrap();
        v1[name] = number.into();
    }
    assert_eq!(parsed(&v1), parsed(&v2));
    assert_eq!(parsed(&v1).accept(DOMAIN).unwrap().hash(), HASH);
}

#[test]
fn pitfall_10_a_nonce_of_256_bits_is_read_and_one_that_json_rounds_is_refused() {
    let mut large = record();
    large["nonce"] = U256::MAX.to_string().into();
    assert_eq!(parsed(&large).fields.nonce, U256::MAX);
    for wrong in [
        json!(1.5),
        json!(-1),
        json!(1e30),
        json!(""),
        json!("0x7"),
        json!(" 7"),
        json!("7.0"),
        json!([7]),
        json!(true),
    ] {
        large["nonce"] = wrong.clone();
        assert!(ServiceTx::parse(&large).is_err(), "{wrong}");
    }
}

#[test]
fn pitfall_35_null_and_0x_and_zero_are_the_same() {
    let mut long = record();
    long["data"] = json!("0x");
    let mut short = long.clone();
    short["data"] = Value::Null;
    short["gasToken"] = Value::Null;
    short["refundReceiver"] = Value::Null;
    assert_eq!(parsed(&short), parsed(&long));
    short.as_object_mut().unwrap().remove("gasToken");
    assert_eq!(parsed(&short), parsed(&long), "absent is null");
}

#[test]
fn pitfall_33_what_is_never_believed_is_not_even_read() {
    let mut odd = record();
    odd["dataDecoded"] = json!({ "method": 7 });
    odd["isSuccessful"] = json!("perhaps");
    odd["confirmationsRequired"] = json!(-1);
    odd["somethingNew"] = json!({ "a": [1, 2] });
    assert_eq!(parsed(&odd), parsed(&record()));
}

#[test]
fn m21_a_changed_field_is_refused_whichever_it_is() {
    let other = address!("00000000000000000000000000000000000000ff");
    for (name, value) in [
        ("to", json!(other)),
        ("value", json!("1")),
        ("data", json!("0xdfc77224")),
        ("operation", json!(1)),
        ("safeTxGas", json!("1")),
        ("baseGas", json!("1")),
        ("gasPrice", json!("1")),
        ("gasToken", json!(other)),
        ("refundReceiver", json!(other)),
        ("nonce", json!("8")),
    ] {
        let mut tampered = record();
        tampered[name] = value;
        let refused = parsed(&tampered).accept(DOMAIN).unwrap_err();
        assert!(
            matches!(refused, NotAccepted::OtherHash { claimed: HASH, .. }),
            "{name}: {refused}"
        );
    }
}

#[test]
fn m21_a_wrong_safe_tx_hash_and_another_safe_are_refused() {
    let mut wrong = record();
    wrong["safeTxHash"] = json!(B256::repeat_byte(1));
    assert!(matches!(
        parsed(&wrong).accept(DOMAIN),
        Err(NotAccepted::OtherHash { computed: HASH, .. })
    ));
    let elsewhere = SafeDomain { safe: TO, ..DOMAIN };
    assert!(matches!(
        parsed(&record()).accept(elsewhere),
        Err(NotAccepted::OtherSafe { found: SAFE, .. })
    ));
    for (chain_id, version) in [(1, SafeVersion::V1_4_1), (8453, SafeVersion::new(1, 1, 1))] {
        let domain = SafeDomain {
            chain_id,
            version,
            ..DOMAIN
        };
        assert!(parsed(&record()).accept(domain).is_err(), "{domain:?}");
    }
}

#[test]
fn m18_a_transaction_whose_hash_is_right_and_that_nobody_should_sign_is_refused() {
    let mut refund = record();
    refund["gasPrice"] = json!("1");
    let hash = parsed(&refund).fields.hash(&DOMAIN);
    refund["safeTxHash"] = json!(hash);
    let refused = parsed(&refund).accept(DOMAIN);
    assert!(matches!(
        refused,
        Err(NotAccepted::Rules(SafeTxError::NotZero { field: "gasPrice" }))
    ));
    assert_eq!(
        parsed(&refund).computed_hash(&DOMAIN),
        Ok(hash),
        "it can still be shown"
    );
}

#[test]
fn m21_foreign_confirmations_are_judged_by_the_set_and_not_by_their_label() {
    let mut foreign = record();
    // The second signature under the name of the first owner, and a stranger's name over the first.
    foreign["confirmations"] = json!([
        { "owner": SIGNERS[0], "signature": SIGNATURES[1] },
        { "owner": TO, "signature": SIGNATURES[0] },
        { "owner": SIGNERS[0], "signature": "0x1234" },
        { "owner": SIGNERS[0], "signature": null },
    ]);
    let tx = parsed(&foreign);
    assert_eq!(
        tx.confirmed().collect::<Vec<_>>(),
        [SIGNERS[0]],
        "only the approval is said of the right one"
    );
    let accepted = tx.accept(DOMAIN).unwrap();
    let mut set = SignatureSet::new(&accepted);
    let owners: BTreeSet<Address> = [SIGNERS[1]].into();
    let kept = tx
        .signatures()
        .into_iter()
        .filter(|one| set.insert(one.clone(), &owners).is_ok());
    assert_eq!(kept.count(), 1);
    assert!(set.by_owner().contains_key(&SIGNERS[1]));
}

#[test]
fn m12_a_signature_of_the_hash_as_a_message_is_its_owners() {
    let mut message = record();
    message["confirmations"] = json!([{ "owner": SIGNERS[0], "signature":
        "0x37266ffa273a9f7dfcfe5e959f1ae6fac16132289a7d8b9cb30f98ab43cef0e81c78f56c10ccb4593ee1dcc4780f04c8989b3bf1746a661093b0e43eb23f81de20" }]);
    assert_eq!(parsed(&message).confirmed().collect::<Vec<_>>(), [SIGNERS[0]]);
}

#[test]
fn pitfall_49_a_contracts_confirmation_stands_alone_also_with_zeros_behind_it() {
    let contract = OwnerSignature::Contract {
        owner: TO,
        data: Bytes::from_static(&[0xab; 65]),
    };
    let alone = contract.to_bytes();
    let filled: Bytes = [alone.as_ref(), &[0; 31]].concat().into();
    let nonzero: Bytes = [alone.as_ref(), &[1]].concat().into();
    let too_long: Bytes = [alone.as_ref(), &[0; 32]].concat().into();
    let read = |signature: &Bytes| {
        let mut with = record();
        with["confirmations"] = json!([{ "owner": TO, "signature": signature }]);
        parsed(&with).signatures()
    };
    assert_eq!(read(&alone), read(&filled));
    assert_eq!(read(&alone), [contract]);
    assert_eq!(read(&nonzero), []);
    assert_eq!(read(&too_long), []);
}

#[test]
fn a18_what_is_missing_or_of_another_kind_is_named() {
    for (name, value) in [
        ("safe", Value::Null),
        ("to", json!("0x12")),
        ("safeTxHash", json!(HASH.to_string().get(..65))),
        ("operation", json!(2)),
        ("data", json!("0xabc")),
        ("value", Value::Null),
        ("confirmations", json!({})),
        ("confirmations", json!([{ "signature": "0x" }])),
    ] {
        let mut wrong = record();
        wrong[name] = value.clone();
        assert!(ServiceTx::parse(&wrong).is_err(), "{name}: {value}");
    }
}

#[test]
fn a40_an_origin_is_escaped_and_an_empty_one_is_none() {
    let mut odd = record();
    odd["origin"] = json!("a\u{1b}[2J\u{202e}b");
    assert_eq!(parsed(&odd).origin.as_deref(), Some("a\\u{1b}[2J\\u{202e}b"));
    odd["origin"] = json!("{}");
    assert_eq!(parsed(&odd).origin, None);
}

#[test]
fn a_twin_without_confirmations_hides_nobodys() {
    let whole = parsed(&record());
    let bare = ServiceTx {
        confirmations: Vec::new(),
        ..whole.clone()
    };
    let confirmed: Vec<Address> = whole.confirmed().collect();
    assert!(!confirmed.is_empty());
    for list in [
        vec![bare.clone(), whole.clone()],
        vec![whole.clone(), bare, whole.clone()],
    ] {
        let once = joined(list);
        assert_eq!(once.len(), 1);
        assert_eq!(once[0].confirmed().collect::<Vec<_>>(), confirmed);
    }
    // Something else under the same hash is told, not left out.
    let mut other = whole.clone();
    other.fields.nonce += U256::ONE;
    assert_eq!(joined(vec![other, whole]).len(), 2);
}

#[test]
fn what_no_key_signed_is_offered_only_once_the_chain_confirmed_it() {
    let mut told = parsed(&record());
    let approval = OwnerSignature::Approved { owner: SIGNERS[0] };
    told.confirmations = vec![Confirmation {
        owner: SIGNERS[0],
        signature: Some(approval.to_bytes()),
    }];
    assert!(told.offers().is_empty());
    told.agreed = Some([SIGNERS[0]].into());
    assert_eq!(told.offers().len(), 1);
}

#[test]
fn m21_why_a_signature_is_not_the_named_owners_is_told() {
    let mut wrong = record();
    let order = "0xfffffffffffffffffffffffffffffffebaaedce6af48a03bbfd25e8cd0364141";
    let nobodys = format!("0x{}{}1b", "11".repeat(32), order.trim_start_matches("0x"));
    wrong["confirmations"] = json!([
        { "owner": SIGNERS[0], "signature": SIGNATURES[0] },
        { "owner": TO, "signature": SIGNATURES[1] },
        { "owner": SAFE, "signature": nobodys },
        { "owner": Address::repeat_byte(7), "signature": null },
    ]);
    let told = parsed(&wrong).not_theirs();
    assert_eq!(
        told,
        [
            (TO, NotTheirs::Of(SIGNERS[1])),
            (SAFE, NotTheirs::Nobodys(SignatureError::OutOfRange { which: "s" })),
        ],
        "an approval without a signature is for the chain to confirm"
    );
    // Who is named for one of each kind has the right one.
    let both = json!({ "owner": SIGNERS[0], "signature": SIGNATURES[1] });
    wrong["confirmations"].as_array_mut().unwrap().push(both);
    assert_eq!(parsed(&wrong).not_theirs().len(), 2);
}
