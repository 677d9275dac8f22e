//! Rules of reading what co-signers send.

use alloy::primitives::{Bytes, U256, address, b256, hex};
use alloy::signers::SignerSync;
use alloy::signers::local::PrivateKeySigner;
use proptest::prelude::*;
use serde_json::{Value, json};

use super::*;
use crate::chain::Call;
use crate::safe::{Intent, SafeDomain, SafeTxFields, version::SafeVersion};

const SAFE: Address = address!("2222222222222222222222222222222222222222");
const APP: Address = address!("1111111111111111111111111111111111111111");
/// Owns the Safe, and is a contract.
const CONTRACT: Address = address!("4444444444444444444444444444444444444444");

fn tx() -> SafeTx {
    let mut data = vec![0xdf, 0xc7, 0x72, 0x23];
    data.extend([0xab; 32]);
    SafeTx::freeze(&Intent {
        domain: SafeDomain {
            chain_id: 8453,
            safe: SAFE,
            version: SafeVersion::V1_4_1,
        },
        nonce: U256::from(7),
        calls: vec![Call {
            to: APP,
            value: U256::ZERO,
            data: data.into(),
        }],
        batcher: None,
        old_versions: false,
    })
    .unwrap()
}

fn other(change: impl FnOnce(&mut SafeDomain, &mut SafeTxFields)) -> SafeTx {
    let (mut domain, mut fields) = (*tx().domain(), tx().fields().clone());
    change(&mut domain, &mut fields);
    SafeTx::accept(domain, fields, true).unwrap()
}

fn key(number: u8) -> PrivateKeySigner {
    PrivateKeySigner::from_slice(&[number; 32]).unwrap()
}

fn owner(number: u8) -> Address {
    key(number).address()
}

fn owners() -> BTreeSet<Address> {
    [owner(1), owner(2), owner(3), CONTRACT].into()
}

fn signed(number: u8, tx: &SafeTx) -> OwnerSignature {
    OwnerSignature::Eip712(key(number).sign_hash_sync(&tx.hash()).unwrap())
}

fn contract_signature() -> OwnerSignature {
    OwnerSignature::Contract {
        owner: CONTRACT,
        data: vec![0x5a; 70].into(),
    }
}

fn read(text: impl AsRef<[u8]>) -> Vec<Offer> {
    let text = text.as_ref();
    let read = collect(text).unwrap_or_else(|e| panic!("{e:?}: {}", String::from_utf8_lossy(text)));
    assert!(read.unreadable.is_empty(), "{:?}", read.unreadable);
    read.offers
}

fn refused(text: impl AsRef<[u8]>) -> CollectError {
    let text = text.as_ref();
    match collect(text) {
        Err(error) => error,
        Ok(offers) => panic!("{offers:?} from {}", String::from_utf8_lossy(text)),
    }
}

fn signatures(offers: &[Offer]) -> Vec<OwnerSignature> {
    offers.iter().map(|offer| offer.signature.clone()).collect()
}

fn merged(offers: Vec<Offer>) -> (Vec<Result<Inserted, NotMerged>>, SignatureSet) {
    let mut set = SignatureSet::new(&tx());
    let merged = merge(&mut set, &tx(), offers, &owners());
    (merged.into_iter().map(|one| one.outcome).collect(), set)
}

fn file(tx: &SafeTx, number: u8) -> Value {
    let file = SignatureFile::new(tx, owner(number), &signed(number, tx));
    serde_json::from_str(&file.to_json()).unwrap()
}

fn outcome(text: impl AsRef<[u8]>) -> Result<Inserted, NotMerged> {
    let (mut outcomes, set) = merged(read(text));
    assert_eq!(outcomes.len(), 1);
    let outcome = outcomes.remove(0);
    assert_eq!(set.by_owner().is_empty(), outcome.is_err(), "{outcome:?}");
    outcome
}

fn contradicts(outcome: Result<Inserted, NotMerged>) -> (&'static str, String, Option<Mismatch>) {
    match outcome {
        Err(NotMerged::Contradicts {
            claim, found, because, ..
        }) => (claim, found, because),
        other => panic!("{other:?}"),
    }
}

/// What `eip712sign` prints around a command that prints things of its own.
fn eip712sign(tx: &SafeTx, number: u8) -> String {
    let (domain, message) = (tx.digests().domain, tx.digests().message);
    let (data, signer) = (hex::encode_prefixed(tx.preimage()), owner(number));
    let signature = hex::encode(signed(number, tx).to_bytes());
    format!(
        "Running 'forge script Approve\nSignature: addComposeHash(bytes32)\nData: 12\nvvvvvvvv\n{data}\n^^^^^^^^\n\n\
         forge exited with code 0\n\nDomain hash: {domain}\nMessage hash: {message}\nSigning as: {signer}\n\n\
         Data sent to device, awaiting signature...done\n\nData: {data}\nSigner: {signer}\nSignature: {signature}\n"
    )
}

fn confirmation(number: u8) -> Value {
    json!({
        "owner": owner(number).to_checksum(None),
        "submissionDate": "2026-11-21T10:00:00Z",
        "transactionHash": null,
        "signature": signed(number, &tx()).to_bytes(),
        "signatureType": "EOA",
    })
}

/// A transaction as version 2 of a service answers it.
fn service() -> Value {
    json!({
        "safe": SAFE.to_checksum(None),
        "to": APP.to_checksum(None),
        "value": "0",
        "data": tx().fields().data,
        "operation": 0,
        "gasToken": "0x0000000000000000000000000000000000000000",
        "safeTxGas": "0",
        "baseGas": "0",
        "gasPrice": "0",
        "refundReceiver": null,
        "nonce": "7",
        "executionDate": null,
        "transactionHash": null,
        "safeTxHash": tx().hash(),
        "proposer": owner(1),
        "isExecuted": false,
        "isSuccessful": null,
        "origin": "{}",
        "dataDecoded": {"method": "transferOwnership", "parameters": []},
        "confirmationsRequired": 2,
        "confirmations": [confirmation(1), {
            "owner": CONTRACT.to_checksum(None),
            "signature": contract_signature().to_bytes(),
            "signatureType": "CONTRACT_SIGNATURE",
        }, {
            "owner": owner(2).to_checksum(None),
            "signature": null,
            "signatureType": "APPROVED_HASH",
        }],
        "trusted": true,
        "signatures": null,
    })
}

fn kit(number: u8) -> Value {
    json!({"signer": owner(number), "data": signed(number, &tx()).to_bytes(), "isContractSignature": false})
}

#[test]
fn our_own_file_is_the_same_bytes_each_time_and_reads_back() {
    let signature = OwnerSignature::read(&vectors_signature()).unwrap();
    let owner = address!("f39Fd6e51aad88F6F4ce6aB8827279cffFb92266");
    let text = SignatureFile::new(&tx(), owner, &signature).to_json();
    assert_eq!(
        text,
        "{\n  \"schema\": \"countersign.signature/1\",\n  \"chainId\": \"8453\",\n  \
         \"safe\": \"0x2222222222222222222222222222222222222222\",\n  \"nonce\": \"7\",\n  \
         \"safeTxHash\": \"0x2c4a1da8f4ec2ccd79cd520c8ee06119e7b5812006167ae13ac693834860368a\",\n  \
         \"owner\": \"0xf39Fd6e51aad88F6F4ce6aB8827279cffFb92266\",\n  \
         \"signature\": \"0xaa26e53043f0a2d2fc7c8ed6345384f7e0cc25939823ad00068892ed3525cbdb07c72cdc1d10c2b3c486318015\
         c3606133b3c98a8616aea4b1865c5c019a2a1c1b\"\n}\n"
    );
    let offers = read(&text);
    assert_eq!(
        offers,
        [Offer {
            signature: signature.clone(),
            claims: Claims {
                safe_tx_hash: Some(tx().hash()),
                chain_id: Some(8453),
                safe: Some(SAFE),
                nonce: Some(U256::from(7)),
                owner: Some(owner),
                fields: None,
            },
            source: "signature file",
        }]
    );
    for own in [contract_signature(), OwnerSignature::Approved { owner: CONTRACT }] {
        let text = SignatureFile::new(&tx(), CONTRACT, &own).to_json();
        assert_eq!(signatures(&read(text)), [own]);
    }
}

/// Of anvil's first key, over the hash of [`tx`]; from `cast`.
fn vectors_signature() -> Vec<u8> {
    hex::decode(
        "aa26e53043f0a2d2fc7c8ed6345384f7e0cc25939823ad00068892ed3525cbdb07c72cdc1d10c2b3c486318015c3606133b3c98a8616aea4\
         b1865c5c019a2a1c1b",
    )
    .unwrap()
}

#[test]
fn every_kind_of_file_gives_the_same_signature() {
    let one = signed(1, &tx());
    let digits = hex::encode(one.to_bytes());
    let page = json!({"count": 1, "next": null, "previous": null, "results": [confirmation(1)]});
    let mut transaction = service();
    transaction["confirmations"] = json!([confirmation(1)]);
    let list = json!({"count": 1, "next": null, "previous": null, "results": [transaction.clone()]});
    let mut version_1 = transaction.clone();
    version_1["nonce"] = 7.into();
    let address = owner(1).to_string().to_lowercase();
    let cast = format!(
        "Successfully signed!\n   Message: typed.json\n   Address: {}\n   Signature: 0x{digits}\n",
        owner(1)
    );
    for (text, source) in [
        (file(&tx(), 1).to_string(), "signature file"),
        (digits.clone(), "hexadecimal"),
        (format!("0x{digits}"), "hexadecimal"),
        (format!("0x{}", digits.to_uppercase()), "hexadecimal"),
        (format!("\u{feff}  0x{digits}\r\n\r\n"), "hexadecimal"),
        (json!(format!("0x{digits}")).to_string(), "hexadecimal"),
        (json!([digits]).to_string(), "hexadecimal"),
        (eip712sign(&tx(), 1), "eip712sign"),
        (eip712sign(&tx(), 1).replace('\n', "\r\n"), "eip712sign"),
        (cast, "cast"),
        (
            json!({"message": "typed.json", "address": address, "signature": digits}).to_string(),
            "cast",
        ),
        (confirmation(1).to_string(), SERVICE),
        (page.to_string(), SERVICE),
        (transaction.to_string(), SERVICE),
        (version_1.to_string(), SERVICE),
        (list.to_string(), SERVICE),
        (kit(1).to_string(), KIT),
        (json!([kit(1)]).to_string(), KIT),
        (json!([[address, kit(1)]]).to_string(), KIT),
        (json!({address.clone(): kit(1)}).to_string(), KIT),
        (json!({address.clone(): format!("0x{digits}")}).to_string(), KIT),
        (
            json!({"data": {"to": APP, "nonce": 7}, "signatures": {address.clone(): kit(1)}}).to_string(),
            KIT,
        ),
        (
            json!({"data": {"to": APP, "nonce": 7}, "signatures": [[address, kit(1)]]}).to_string(),
            KIT,
        ),
    ] {
        let offers = read(&text);
        assert_eq!(signatures(&offers), std::slice::from_ref(&one), "{text}");
        assert_eq!(offers[0].source, source, "{text}");
        assert_eq!(merged(offers).0, [Ok(Inserted::New(owner(1)))], "{text}");
    }
}

const SERVICE: &str = "Safe Transaction Service";
const KIT: &str = "protocol kit";

#[test]
fn m12_m13_m14_every_kind_of_signature_is_read_from_a_service() {
    let offers = read(service().to_string());
    let expected = [
        signed(1, &tx()),
        contract_signature(),
        OwnerSignature::Approved { owner: owner(2) },
    ];
    assert_eq!(signatures(&offers), expected);
    let (outcomes, set) = merged(offers);
    assert!(outcomes.iter().all(Result::is_ok), "{outcomes:?}");
    assert_eq!(set.by_owner().len(), 3);

    let contract = json!({"signer": CONTRACT, "data": "0x5a5a", "isContractSignature": true});
    let expected = OwnerSignature::Contract {
        owner: CONTRACT,
        data: vec![0x5a; 2].into(),
    };
    assert_eq!(signatures(&read(contract.to_string())), [expected]);

    let message = key(1).sign_message_sync(tx().hash().as_slice()).unwrap();
    assert_eq!(outcome(hex::encode(message.as_bytes())), Ok(Inserted::New(owner(1))));
}

#[test]
fn signatures_that_stand_together_are_all_read() {
    let (one, two) = (signed(1, &tx()), signed(2, &tx()));
    let lines = format!(
        "0x{}\r\n\r\n{}\n",
        hex::encode(one.to_bytes()),
        hex::encode(two.to_bytes())
    );
    assert_eq!(signatures(&read(lines)), [one.clone(), two.clone()]);
    let outputs = format!("{}\n{}", eip712sign(&tx(), 1), eip712sign(&tx(), 2));
    assert_eq!(signatures(&read(outputs)), [one.clone(), two.clone()]);
    let kits = json!([kit(1), kit(2)]);
    assert_eq!(signatures(&read(kits.to_string())), [one, two]);

    let mut set = SignatureSet::new(&tx());
    for signature in [signed(1, &tx()), signed(2, &tx()), contract_signature()] {
        set.insert(signature, &owners()).unwrap();
    }
    let facts = crate::safe::approvals::Facts {
        owners: owners(),
        threshold: 3,
        confirmed: [(CONTRACT, vec![0x5a; 70].into())].into(),
        ..crate::safe::approvals::Facts::default()
    };
    let packed = set.pack(&facts).unwrap();
    let (outcomes, again) = merged(read(hex::encode(&packed.bytes)));
    assert_eq!(outcomes.len(), 3);
    assert_eq!(again.by_owner(), set.by_owner());
}

#[test]
fn m11_m26_a_signature_of_something_else_is_named_for_what_it_is() {
    let bare = |tx: &SafeTx| outcome(hex::encode(signed(1, tx).to_bytes()));
    let signer = owner(1);
    let chain = other(|domain, _| domain.chain_id = 1);
    assert_eq!(
        bare(&chain),
        Err(NotMerged::Mismatch(Mismatch::Chain { signer, chain_id: 1 }))
    );
    let nonce = other(|_, fields| fields.nonce = U256::from(6));
    let six = U256::from(6);
    assert_eq!(
        bare(&nonce),
        Err(NotMerged::Mismatch(Mismatch::Nonce { signer, nonce: six }))
    );
    let version = SafeVersion::new(1, 2, 0);
    let old = other(|domain, _| domain.version = version);
    assert_eq!(
        bare(&old),
        Err(NotMerged::Mismatch(Mismatch::Version { signer, version }))
    );
    let message = key(1).sign_message_sync(tx().hash().to_string().as_bytes()).unwrap();
    assert_eq!(
        outcome(hex::encode(message.as_bytes())),
        Err(NotMerged::Mismatch(Mismatch::Text { signer }))
    );
    let stranger = outcome(hex::encode(signed(9, &tx()).to_bytes()));
    assert_eq!(
        stranger,
        Err(NotMerged::Signature(SignatureError::NotAnOwner { signer: owner(9) }))
    );
    let contract = OwnerSignature::Contract {
        owner: SAFE,
        data: vec![1].into(),
    };
    assert_eq!(
        outcome(hex::encode(contract.to_bytes())),
        Err(NotMerged::Signature(SignatureError::NotAnOwner { signer: SAFE }))
    );
}

#[test]
fn i12_a_file_for_another_chain_safe_or_nonce_is_refused_with_both_values() {
    let said = |tx: &SafeTx| contradicts(outcome(file(tx, 1).to_string()));
    let chain = other(|domain, _| domain.chain_id = 1);
    let because = Some(Mismatch::Chain {
        signer: owner(1),
        chain_id: 1,
    });
    assert_eq!(said(&chain), ("the chain id", "1".to_owned(), because));
    let nonce = other(|_, fields| fields.nonce = U256::from(6));
    let (claim, found, because) = said(&nonce);
    assert_eq!((claim, found.as_str(), because.is_some()), ("the nonce", "6", true));
    let safe = other(|domain, _| domain.safe = APP.create(1));
    assert_eq!(said(&safe), ("the Safe", APP.create(1).to_string(), None));

    // Also where the signature itself is right.
    for (field, value, claim) in [
        ("chainId", json!("1"), "the chain id"),
        ("safe", json!(APP), "the Safe"),
        ("nonce", json!("8"), "the nonce"),
    ] {
        let mut file = file(&tx(), 1);
        file[field] = value;
        assert_eq!(contradicts(outcome(file.to_string())).0, claim);
    }
    let mut service = service();
    service["nonce"] = "8".into();
    let (outcomes, set) = merged(read(service.to_string()));
    assert!(outcomes.iter().all(Result::is_err));
    assert!(set.by_owner().is_empty());
}

#[test]
fn m21_a_service_record_whose_transaction_was_changed_is_refused_though_its_signatures_are_right() {
    for (field, value, claim) in [
        ("to", json!(SAFE), "`to`"),
        ("value", json!("1"), "`value`"),
        ("data", json!("0x"), "the keccak256 of `data`"),
        ("data", Value::Null, "the keccak256 of `data`"),
        ("operation", json!(1), "`operation`"),
        ("safeTxGas", json!("1"), "`safeTxGas`"),
        ("baseGas", json!(1), "`baseGas`"),
        ("gasPrice", json!("1"), "`gasPrice`"),
        ("gasToken", json!(APP), "`gasToken`"),
        ("refundReceiver", json!(APP), "`refundReceiver`"),
        ("nonce", json!("8"), "the nonce"),
        ("safe", json!(APP), "the Safe"),
        ("safeTxHash", json!(B256::ZERO), "the safeTxHash"),
    ] {
        let mut service = service();
        service[field] = value;
        let (outcomes, set) = merged(read(service.to_string()));
        assert!(set.by_owner().is_empty(), "{field}");
        for outcome in outcomes {
            assert_eq!(contradicts(outcome).0, claim);
        }
    }
    let mut broken = service();
    broken["operation"] = 2.into();
    assert!(matches!(refused(broken.to_string()), CollectError::Field { .. }));
}

#[test]
fn what_was_signed_instead_is_found_out_for_a_few_signatures_only() {
    let six = other(|_, fields| fields.nonce = U256::from(6));
    let line = format!("{}\n", hex::encode(signed(1, &six).to_bytes()));
    let (outcomes, _) = merged(read(line.repeat(2 * MAX_GUESSES)));
    let guessed = |outcome: &&Result<Inserted, NotMerged>| matches!(outcome, Err(NotMerged::Mismatch(_)));
    assert_eq!(outcomes.iter().filter(guessed).count(), MAX_GUESSES);
    assert!(outcomes.iter().all(Result::is_err));
}

#[test]
fn i13_a_file_with_another_hash_or_another_signer_is_refused() {
    let mut wrong = file(&tx(), 1);
    wrong["safeTxHash"] = json!(B256::repeat_byte(1));
    assert_eq!(contradicts(outcome(wrong.to_string())).0, "the safeTxHash");
    let mut wrong = file(&tx(), 1);
    wrong["owner"] = json!(owner(2).to_checksum(None));
    assert_eq!(contradicts(outcome(wrong.to_string())).0, "the signer");
    let text = eip712sign(&other(|_, fields| fields.nonce = U256::from(6)), 1);
    let (claim, _, because) = contradicts(outcome(text));
    assert_eq!(claim, "the safeTxHash");
    assert!(matches!(because, Some(Mismatch::Nonce { .. })), "{because:?}");
    let text = eip712sign(&tx(), 1).replace(&owner(1).to_string(), &owner(2).to_string());
    assert_eq!(contradicts(outcome(text)).0, "the signer");
}

#[test]
fn i1_i2_i3_empty_long_and_foreign_bytes_are_refused() {
    assert!(matches!(refused(""), CollectError::Empty));
    assert!(matches!(refused("\u{feff} \r\n"), CollectError::Empty));
    let line = format!("0x{}\n", hex::encode(signed(1, &tx()).to_bytes()));
    let most = MAX_BYTES / line.len();
    assert_eq!(read(line.repeat(most)).len(), most);
    assert!(matches!(refused(line.repeat(most + 1)), CollectError::TooLong { .. }));
    let wide: Vec<u8> = line.encode_utf16().flat_map(u16::to_le_bytes).collect();
    assert!(matches!(
        refused([&[0xff, 0xfe], &wide[..]].concat()),
        CollectError::NotUtf8
    ));
    assert!(matches!(refused([0xff]), CollectError::NotUtf8));
    // Without its mark, UTF-16 is UTF-8 with zeros between.
    assert!(matches!(refused(wide), CollectError::NotRecognised));
}

#[test]
fn i5_i6_i7_i8_deep_double_unknown_and_newer_are_refused() {
    let deep = format!("{{\"signer\":{}{}}}", "[".repeat(40), "]".repeat(40));
    assert!(matches!(refused(deep), CollectError::Json(_)));
    let text = file(&tx(), 1).to_string();
    for key in ["nonce", "safe", "signature"] {
        let double = text.replacen('{', &format!("{{\"{key}\":\"0\","), 1);
        assert!(matches!(refused(double), CollectError::Json(_)), "{key}");
    }
    let mut unknown = file(&tx(), 1);
    unknown["note\u{202e}"] = "hello".into();
    let error = refused(unknown.to_string()).to_string();
    assert_eq!(error, "`note\\u{202e}` is not known");
    let mut newer = file(&tx(), 1);
    newer["schema"] = "countersign.signature/2".into();
    assert!(matches!(refused(newer.to_string()), CollectError::Schema { found } if found == "countersign.signature/2"));
    for key in ["chainId", "safe", "nonce", "safeTxHash", "owner", "signature"] {
        let mut less = file(&tx(), 1);
        less.as_object_mut().unwrap().remove(key);
        assert!(matches!(refused(less.to_string()), CollectError::Field { field, .. } if field == key));
    }
}

#[test]
fn i9_i10_i11_numbers_digits_and_addresses_are_read_in_one_way() {
    for (key, wrong) in [
        ("chainId", json!(8453)),
        ("chainId", json!("08453")),
        ("chainId", json!("-1")),
        ("chainId", json!("0x2105")),
        ("chainId", json!("18446744073709551616")),
        ("nonce", json!(7)),
        ("nonce", json!("7.0")),
        ("nonce", json!("")),
        ("nonce", json!(U256::MAX.to_string() + "0")),
        ("safe", json!("2222222222222222222222222222222222222222")),
        ("safe", json!("0x22222222222222222222222222222222222222222")),
        ("owner", json!("0xf39fd6e51aad88F6F4ce6aB8827279cffFb92266")),
        ("safeTxHash", json!("0xab")),
        ("safeTxHash", json!(hex::encode(tx().hash()))),
        ("signature", json!(hex::encode(signed(1, &tx()).to_bytes()))),
        ("signature", json!("0x0x")),
        ("signature", json!("0xzz")),
    ] {
        let mut file = file(&tx(), 1);
        file[key] = wrong.clone();
        assert!(
            matches!(refused(file.to_string()), CollectError::Field { field, .. } if field == key),
            "{key} {wrong}"
        );
    }
    let digits = hex::encode(signed(1, &tx()).to_bytes());
    for text in [
        digits.chars().skip(1).collect(),
        format!("0x0x{digits}"),
        format!("0X{digits}"),
        format!("{digits} {digits}"),
        format!("{digits}\u{202e}"),
        format!("{digits},"),
    ] {
        assert!(matches!(refused(&text), CollectError::NotRecognised), "{text}");
    }
    for number in ["7.5", "-7", "1e3", "18446744073709551616", "\"0x7\"", "\"07\"", "[]"] {
        let text = service()
            .to_string()
            .replace("\"nonce\":\"7\"", &format!("\"nonce\":{number}"));
        assert!(
            matches!(refused(text), CollectError::Field { field, .. } if field == "nonce"),
            "{number}"
        );
    }
    for number in ["NaN", "1e999"] {
        let text = service()
            .to_string()
            .replace("\"nonce\":\"7\"", &format!("\"nonce\":{number}"));
        assert!(matches!(refused(text), CollectError::Json(_)), "{number}");
    }
}

#[test]
fn i14_what_a_file_decoded_or_links_to_changes_nothing() {
    let mut more = service();
    more["dataDecoded"] = json!({"method": "nothing to see here"});
    more["link"] = "https://example.invalid/?safe=0x00".into();
    assert_eq!(read(more.to_string()), read(service().to_string()));
}

#[test]
fn i15_signatures_out_of_range_of_another_kind_or_of_another_length_are_refused() {
    let one = signed(1, &tx()).to_bytes().to_vec();
    let order = b256!("fffffffffffffffffffffffffffffffebaaedce6af48a03bbfd25e8cd0364141");
    let changed = |range: std::ops::Range<usize>, with: &[u8]| {
        let mut bytes = one.clone();
        bytes[range].copy_from_slice(with);
        hex::encode(bytes)
    };
    for text in [
        changed(0..32, &[0; 32]),
        changed(32..64, &[0; 32]),
        changed(0..32, order.as_slice()),
        changed(64..65, &[2]),
        changed(64..65, &[29]),
        changed(64..65, &[255]),
        hex::encode(&one[..64]),
        hex::encode([&one[..], &[0]].concat()),
    ] {
        for text in [
            text.clone(),
            format!("Signer: {}\nSignature: {text}", owner(1)),
            json!({"signer": owner(1), "data": format!("0x{text}")}).to_string(),
        ] {
            assert!(
                matches!(refused(&text), CollectError::Signature { index: 0, .. }),
                "{text}"
            );
        }
    }
    // A wallet's own way of writing v.
    for (v, own) in [(27, 0), (28, 1)] {
        let number = (1..=3)
            .find(|number| signed(*number, &tx()).to_bytes()[64] == v)
            .unwrap();
        let mut bytes = signed(number, &tx()).to_bytes().to_vec();
        bytes[64] = own;
        assert_eq!(outcome(hex::encode(bytes)), Ok(Inserted::New(owner(number))));
    }
}

#[test]
fn i16_of_two_signatures_of_one_owner_one_is_kept() {
    let message = key(1).sign_message_sync(tx().hash().as_slice()).unwrap();
    let text = format!(
        "{0}\n{0}\n{1}",
        hex::encode(signed(1, &tx()).to_bytes()),
        hex::encode(message.as_bytes())
    );
    let (outcomes, set) = merged(read(text));
    let one = owner(1);
    assert_eq!(
        outcomes,
        [Ok(Inserted::New(one)), Ok(Inserted::Same(one)), Ok(Inserted::Kept(one))]
    );
    assert_eq!(set.by_owner()[&one], signed(1, &tx()));
}

#[test]
fn files_that_hold_no_signature_or_more_than_one_transaction_say_so() {
    let mut none = service();
    none["confirmations"] = json!([]);
    assert!(matches!(refused(none.to_string()), CollectError::NoSignature));
    let kit = json!({"data": {"nonce": 7}, "signatures": {}});
    assert!(matches!(refused(kit.to_string()), CollectError::NoSignature));
    assert!(matches!(refused("[]"), CollectError::NoSignature));
    assert!(matches!(refused("Signature: later"), CollectError::NoSignature));
    let two = json!({"count": 2, "next": null, "results": [service(), service()]});
    assert!(matches!(
        refused(two.to_string()),
        CollectError::ManyTransactions { found: 2 }
    ));
    let part = json!({"count": 2, "next": "https://example.invalid/?offset=1", "results": [confirmation(1)]});
    assert!(matches!(refused(part.to_string()), CollectError::Field { field, .. } if field == "next"));
    for text in [
        "{}",
        "[1]",
        "[[]]",
        "{\"a\":1}",
        "hello",
        "[\"hello\"]",
        "\"hello\"",
        "0x",
    ] {
        let error = refused(text);
        assert!(
            matches!(error, CollectError::NotRecognised | CollectError::Field { .. }),
            "{text}: {error:?}"
        );
    }
}

/// The parts of a signature by the first owner: r, s and the parity.
fn parts() -> (B256, B256, u8) {
    let OwnerSignature::Eip712(signature) = signed(1, &tx()) else {
        unreachable!("a key's signature")
    };
    (signature.r().into(), signature.s().into(), u8::from(signature.v()))
}

#[test]
fn bug_b21_r_s_and_v_are_read_as_libraries_write_them() {
    let (r, s, parity) = parts();
    let v = 27 + parity;
    let bare = |word: B256| hex::encode(word);
    let mut top = s;
    top.0[0] |= parity << 7;
    let shapes = [
        json!({"r": bare(r), "s": bare(s), "v": parity}),
        json!({"r": r, "s": s, "v": v, "yParity": parity, "networkV": null}),
        json!({"_type": "signature", "networkV": null, "r": r, "s": s, "v": v}),
        json!({"r": r, "s": s, "v": v.to_string(), "yParity": parity}),
        json!({"r": r, "s": s, "v": format!("{v:#x}")}),
        json!({"r": r, "s": s, "recoveryParam": parity, "v": v}),
        json!({"r": r, "s": s, "yParity": format!("{parity:#x}")}),
        json!({"r": r, "yParityAndS": top}),
        json!({"r": r, "s": s, "v": v, "_vs": top}),
        json!([{"r": r, "s": s, "v": v}]),
        json!({"signature": {"r": r, "s": s, "v": v}}),
        json!({"messageHash": tx().hash(), "v": format!("{v:#x}"), "r": r, "s": s, "signature": signed(1, &tx()).to_bytes()}),
        json!({"signature": signed(1, &tx()).to_bytes()}),
        json!({"data": {"nonce": 7}, "signatures": signed(1, &tx()).to_bytes()}),
        json!({"signatures": signed(1, &tx()).to_bytes()}),
        json!({"detailedExecutionInfo": {"type": "MULTISIG", "nonce": 7, "safeTxHash": tx().hash(), "confirmations": [
            {"signer": {"value": owner(1)}, "signature": signed(1, &tx()).to_bytes(), "submittedAt": 1}]}}),
    ];
    for shape in shapes {
        assert_eq!(outcome(shape.to_string()), Ok(Inserted::New(owner(1))), "{shape}");
    }
    // A number whose first bytes are zero is written without them.
    let short = json!({"r": "0x1", "s": "0x02", "v": 27}).to_string();
    let bytes = [
        B256::with_last_byte(1).as_slice(),
        B256::with_last_byte(2).as_slice(),
        &[27],
    ]
    .concat();
    assert_eq!(signatures(&read(short)), [OwnerSignature::read(&bytes).unwrap()]);
}

#[test]
fn bug_b21_hexadecimal_is_read_as_people_send_it() {
    let hex = signed(1, &tx()).to_bytes().to_string();
    let (first, second) = hex.split_at(60);
    let texts = [
        format!("# of alice\n{hex}\n"),
        format!("'{hex}'"),
        format!("{first}\n{second}\n"),
        format!("{first}\r\n  {second}"),
        format!("Signature: {hex}"),
        format!("Signing...\nSignature: {hex}\n"),
    ];
    for text in texts {
        assert_eq!(outcome(&text), Ok(Inserted::New(owner(1))), "{text}");
    }
    let two = format!("{hex}\n{hex}\n");
    let (outcomes, set) = merged(read(two));
    assert_eq!(outcomes, [Ok(Inserted::New(owner(1))), Ok(Inserted::Same(owner(1)))]);
    assert_eq!(set.by_owner().len(), 1);
}

#[test]
fn bug_b21_the_hash_itself_under_the_mark_of_a_message_is_told() {
    let mut bytes = signed(1, &tx()).to_bytes().to_vec();
    bytes[64] += 4;
    let (marked, right) = (bytes[64], bytes[64] - 4);
    let signer = owner(1);
    let expected = Err(NotMerged::Mismatch(Mismatch::Mark { signer, marked, right }));
    let found = outcome(hex::encode(&bytes));
    assert_eq!(found, expected);
    assert!(found.unwrap_err().to_string().contains(&format!("v is {marked}")));
    // One of the hash as a message is taken under its own mark and without one.
    let message = key(1).sign_message_sync(tx().hash().as_slice()).unwrap();
    let mut bytes = message.as_bytes().to_vec();
    assert_eq!(outcome(hex::encode(&bytes)), Ok(Inserted::New(signer)));
    bytes[64] += 4;
    assert_eq!(outcome(hex::encode(&bytes)), Ok(Inserted::New(signer)));
}

#[test]
fn bug_b21_what_is_no_signature_is_told_for_what_it_is() {
    let bytes = signed(1, &tx()).to_bytes();
    let mut of_a_transaction = bytes.to_vec();
    of_a_transaction[64] = 36;
    let (r, s, _) = parts();
    let wide: Vec<u8> = bytes.to_string().encode_utf16().flat_map(u16::to_le_bytes).collect();
    let batch = json!({"version": "1.0", "chainId": "1", "meta": {}, "transactions": []}).to_string();
    let cases: [(Vec<u8>, &str); 9] = [
        (hex::encode(of_a_transaction).into_bytes(), "EIP-155"),
        (json!({"r": r, "s": s, "v": 37}).to_string().into_bytes(), "EIP-155"),
        (
            json!({"r": r, "s": s, "v": 27, "yParity": 1}).to_string().into_bytes(),
            "parity",
        ),
        (json!({"r": r, "s": "0x00zz", "v": 27}).to_string().into_bytes(), "`s`"),
        (json!({"r": r, "s": s, "v": null}).to_string().into_bytes(), "`v`"),
        ([&[0xff, 0xfe], wide.as_slice()].concat(), "UTF-16"),
        (format!("{}=", "L".repeat(87)).into_bytes(), "base64"),
        (batch.into_bytes(), "nonce of its own"),
        (hex::encode(&bytes[..64]).into_bytes(), "EIP-2098"),
    ];
    for (text, expected) in cases {
        let error = refused(&text);
        let mut told = error.to_string();
        if let CollectError::Signature { source, .. } = &error {
            told = format!("{told}: {source}");
        }
        assert!(told.contains(expected), "{told}");
    }
}

#[test]
fn an_owner_is_not_taken_for_another() {
    let text = json!({owner(2).to_string().to_lowercase(): kit(1)}).to_string();
    assert!(matches!(refused(text), CollectError::Field { .. }));
    let mut confirmation = confirmation(1);
    let packed = [signed(1, &tx()).to_bytes(), signed(2, &tx()).to_bytes()].concat();
    confirmation["signature"] = json!(Bytes::from(packed));
    assert!(matches!(refused(confirmation.to_string()), CollectError::Field { .. }));
    confirmation["signature"] = json!(signed(2, &tx()).to_bytes());
    assert_eq!(contradicts(outcome(confirmation.to_string())).0, "the signer");
}

#[test]
fn i13_a_file_that_names_two_owners_of_a_signature_or_two_signatures_of_an_owner_is_refused_whole() {
    let contradiction = |text: String| match refused(&text) {
        CollectError::Contradiction(found) => found,
        other => panic!("{other:?} from {text}"),
    };
    let with = |confirmations: Value| {
        let mut record = service();
        record["confirmations"] = confirmations;
        record.to_string()
    };
    let mut stolen = confirmation(1);
    stolen["owner"] = json!(owner(2).to_checksum(None));
    let two_owners = Contradiction::TwoOwners {
        one: owner(1),
        other: owner(2),
    };
    let both = json!([confirmation(1), stolen]);
    assert_eq!(contradiction(with(both.clone())), two_owners);
    assert_eq!(contradiction(both.to_string()), two_owners);
    // Beside others, which are right, and in the other form of s.
    let mut upper = signed(1, &tx()).to_bytes().to_vec();
    let order = U256::from_str_radix("fffffffffffffffffffffffffffffffebaaedce6af48a03bbfd25e8cd0364141", 16).unwrap();
    let flipped = order - U256::from_be_slice(&upper[32..64]);
    upper[32..64].copy_from_slice(&flipped.to_be_bytes::<32>());
    upper[64] = if upper[64] == 27 { 28 } else { 27 };
    stolen["signature"] = json!(Bytes::from(upper.clone()));
    assert_eq!(
        contradiction(with(json!([confirmation(3), confirmation(1), stolen]))),
        two_owners
    );
    let mut same = confirmation(1);
    same["signature"] = json!(Bytes::from(upper));
    assert_eq!(read(with(json!([confirmation(1), same]))).len(), 2);

    let message = key(1).sign_message_sync(tx().hash().as_slice()).unwrap();
    let mut second = confirmation(1);
    second["signature"] = json!(Bytes::from(message.as_bytes()));
    let both = json!([confirmation(1), second]);
    let two_signatures = Contradiction::TwoSignatures { owner: owner(1) };
    assert_eq!(contradiction(with(both.clone())), two_signatures);
    assert_eq!(contradiction(both.to_string()), two_signatures);
    let page = json!({"count": 2, "next": null, "results": both});
    assert_eq!(contradiction(page.to_string()), two_signatures);

    // A transcript of two runs: one owner may have signed two transactions, but one signature is of one of them.
    let nonce = other(|_, fields| fields.nonce = U256::from(6));
    let (one, next) = (eip712sign(&tx(), 1), eip712sign(&nonce, 1));
    assert_eq!(read(format!("{one}\n{next}")).len(), 2);
    let line = |text: &str| text.lines().last().unwrap().to_owned();
    let two_transactions = Contradiction::TwoTransactions {
        one: tx().hash(),
        other: nonce.hash(),
    };
    let copied = next.replace(&line(&next), &line(&one));
    assert_eq!(contradiction(format!("{one}\n{copied}")), two_transactions);
}

#[test]
fn nothing_is_merged_into_the_set_of_another_transaction() {
    let mut set = SignatureSet::new(&other(|_, fields| fields.nonce = U256::from(6)));
    let offers = read(file(&tx(), 1).to_string());
    let merged = merge(&mut set, &tx(), offers, &owners());
    assert!(merged.iter().all(|one| one.outcome.is_err()));
    assert!(set.by_owner().is_empty());
}

proptest! {
    #[test]
    fn no_bytes_make_the_reader_fail(bytes in proptest::collection::vec(any::<u8>(), 0..300)) {
        drop(collect(&bytes));
    }
    #[test]
    fn no_text_makes_the_reader_fail(text in r#"[\[{"]?[ -~]{0,80}(Signer: [0x1-9a-f]{0,42}\nSignature: [0-9a-f]{0,140})?"#) {
        drop(collect(text.as_bytes()));
    }
}
