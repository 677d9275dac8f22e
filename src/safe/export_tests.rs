//! Rules of files for other tools.

use alloy::primitives::{Address, U256, address, keccak256};
use serde_json::{Value, json};

use super::*;
use crate::chain::Call;
use crate::safe::{Intent, SafeDomain, version::SafeVersion};

const SAFE: Address = address!("2222222222222222222222222222222222222222");
const APP: Address = address!("1111111111111111111111111111111111111111");
const LIBRARY: Address = address!("9641d764fc13c8B624c04430C7356C1C7C8102e2");

fn call(byte: u8) -> Call {
    let mut data = vec![0xdf, 0xc7, 0x72, 0x23];
    data.extend([byte; 32]);
    Call {
        to: APP,
        value: U256::ZERO,
        data: data.into(),
    }
}

fn tx(calls: Vec<Call>) -> SafeTx {
    SafeTx::freeze(&Intent {
        domain: SafeDomain {
            chain_id: 8453,
            safe: SAFE,
            version: SafeVersion::V1_4_1,
        },
        nonce: U256::from(7),
        calls,
        batcher: Some(LIBRARY),
        old_versions: false,
    })
    .unwrap()
}

fn label() -> Label {
    Label {
        name: "countersign upgrade".to_owned(),
        description: "allow new compose hash".to_owned(),
        created_at: Timestamp::from_millisecond(1_767_225_600_000).unwrap(),
    }
}

fn packed() -> Packed {
    Packed {
        bytes: vec![0x5a; 65].into(),
        owners: vec![APP],
    }
}

fn text(tx: &SafeTx, signatures: Option<&Packed>, format: &str) -> String {
    let bytes = export(tx, signatures, format.parse().unwrap(), &label()).unwrap();
    let again = export(tx, signatures, format.parse().unwrap(), &label()).unwrap();
    assert_eq!(bytes, again);
    String::from_utf8(bytes).unwrap()
}

#[test]
fn every_format_has_one_name() {
    for name in Format::NAMES {
        assert_eq!(name.parse::<Format>().unwrap().to_string(), name);
    }
    for wrong in ["", "Calldata", "typed_data", " calldata"] {
        assert!(wrong.parse::<Format>().is_err(), "{wrong}");
    }
}

#[test]
fn the_builder_file_is_the_one_of_the_vector_and_raw_hides_the_method() {
    let file = text(&tx(vec![call(0xab)]), None, "builder-file");
    let vectors: Value = serde_json::from_str(include_str!("../../tests/vectors/safe.json")).unwrap();
    assert_eq!(
        serde_json::from_str::<Value>(&file).unwrap(),
        vectors["builder_file"]["a"]
    );
    let raw = text(&tx(vec![call(0xab)]), None, "builder-file-raw");
    let raw: Value = serde_json::from_str(&raw).unwrap();
    assert_eq!(raw["transactions"][0]["data"], json!(call(0xab).data));
    assert_eq!(raw["transactions"][0]["contractMethod"], Value::Null);
}

/// A change of these bytes is a change of what people compared: only on purpose.
#[test]
fn typed_data_is_these_bytes() {
    let file = text(&tx(vec![call(0xab)]), None, "typed-data");
    let read: Value = serde_json::from_str(&file).unwrap();
    assert_eq!(read, tx(vec![call(0xab)]).typed_data());
    assert!(
        file.starts_with("{\n  \"domain\": {\n    \"chainId\": 8453,\n    \"verifyingContract\": \"0x2222"),
        "{file}"
    );
    assert_eq!(
        keccak256(&file).to_string(),
        "0x222833e30edb1edfb960d954936d0bd15e53bbed43504647c7183414b0809d21"
    );
}

#[test]
fn eip712sign_gets_66_bytes_between_its_marks() {
    let tx = tx(vec![call(0xab), call(0xcd)]);
    let file = text(&tx, None, "eip712sign");
    let lines: Vec<&str> = file.lines().collect();
    let [before, data, after] = lines.as_slice() else {
        panic!("{file}");
    };
    assert_eq!((*before, *after), ("vvvvvvvv", "^^^^^^^^"));
    let data = hex::decode(data).unwrap();
    assert_eq!(data.len(), 66);
    assert_eq!(keccak256(&data), tx.hash());
}

#[test]
fn calldata_is_that_of_the_execution_once_signatures_count_and_before_that_what_the_safe_will_do() {
    for calls in [vec![call(0xab)], vec![call(0xab), call(0xcd)]] {
        let tx = tx(calls);
        let inner: Value = serde_json::from_str(&text(&tx, None, "calldata")).unwrap();
        let fields = tx.fields();
        assert_eq!(
            inner,
            json!({
                "schema": "countersign.calldata/1",
                "call": "inner",
                "chainId": "8453",
                "to": fields.to.to_checksum(None),
                "value": "0",
                "operation": u8::from(fields.operation),
                "data": fields.data,
                "digest": tx.digests().data,
            })
        );
        let exec = tx.exec_call(&packed().bytes);
        let file: Value = serde_json::from_str(&text(&tx, Some(&packed()), "calldata")).unwrap();
        assert_eq!(
            file,
            json!({
                "schema": "countersign.calldata/1",
                "call": "execTransaction",
                "chainId": "8453",
                "to": SAFE.to_checksum(None),
                "value": "0",
                "operation": 0,
                "data": exec.data,
                "digest": exec.digest(),
            })
        );
    }
}

#[test]
fn no_other_format_holds_signatures() {
    for name in Format::NAMES {
        let tx = tx(vec![call(0xab)]);
        let with = text(&tx, Some(&packed()), name);
        assert_eq!(with.contains("5a5a5a"), name == "calldata");
        assert_eq!(with == text(&tx, None, name), name != "calldata");
    }
}
