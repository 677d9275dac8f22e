//! A batch file of the Transaction Builder. Its calls do what the file's data says, or where there is none what another
//! encoder makes of the method; a call whose data is not what its method says is told; and written again they are the same.

use alloy::dyn_abi::{DynSolType, DynSolValue};
use alloy::primitives::{Bytes, U256, hex, keccak256};
use countersign::safe::builder_file::{Form, Imported, export, import};
use countersign::safe::given::{Content, given};
use countersign_fuzz::Bases;
use serde_json::{Value, json};

pub(crate) struct Target(Bases);

impl Target {
    pub(crate) fn new() -> Self {
        let hash = format!("0x{}", "ab".repeat(32));
        let method = json!({
            "inputs": [{"internalType": "bytes32", "name": "composeHash", "type": "bytes32"}],
            "name": "addComposeHash", "payable": false
        });
        let by_method = json!({
            "to": "0x1111111111111111111111111111111111111111", "value": "0", "data": null, "contractMethod": method,
            "contractInputsValues": {"composeHash": hash}
        });
        let mut both = by_method.clone();
        both["data"] = json!(format!("0xdfc77223{}", "ab".repeat(32)));
        let many = json!({
            "to": "0x5aAeb6053F3E94C9b9A09f33669435E7Ef1BeAed", "value": "0x10", "data": "",
            "contractMethod": {"name": "mixed", "inputs": [
                {"name": "", "type": "address"}, {"name": "b", "type": "bytes"}, {"name": "n", "type": "uint"},
                {"name": "t", "type": "string"}, {"name": "f", "type": "bool"}, {"name": "s", "type": "uint8"}
            ], "stateMutability": "payable", "type": "function"},
            "contractInputsValues": {"0": "0x1111111111111111111111111111111111111111", "b": "0xabcd", "n": "0x10",
                "t": "text", "f": "TRUE", "s": "255"}
        });
        let raw = json!({"to": "0x1111111111111111111111111111111111111111", "value": "7", "data": "0x01020304",
            "contractMethod": null, "contractInputsValues": null});
        let file = |transactions: Value| {
            json!({
                "version": "1.0", "chainId": "8453", "createdAt": 1_767_225_600_000_u64,
                "meta": {"name": "n", "description": "", "txBuilderVersion": "1.18.3",
                    "createdFromSafeAddress": "0x2222222222222222222222222222222222222222", "createdFromOwnerAddress": ""},
                "transactions": transactions
            })
        };
        Self(Bases::of(vec![
            file(json!([by_method])),
            file(json!([both, raw])),
            file(json!([many])),
        ]))
    }

    pub(crate) fn check(&self, input: &[u8]) {
        let text = self.0.text(input);
        let Ok(found) = import(&text) else { return };
        let file: Value = serde_json::from_slice(&text).expect("a file that other readers refuse");
        let entries = file["transactions"].as_array().expect("calls from nowhere");
        assert_eq!(entries.len(), found.batch.calls.len());
        assert_eq!(file["chainId"], json!(found.batch.chain_id.to_string()));
        for (index, entry) in entries.iter().enumerate() {
            check_call(&found, index, entry);
        }
        if let Ok(kept) = given(&text) {
            assert_eq!(kept.content, Content::Calls(found.batch.calls.clone()));
            assert_eq!(kept.mislabelled, found.mislabelled);
        }
        for form in [Form::Method, Form::Raw] {
            if let Ok(again) = export(&found.batch, form) {
                let again = import(again.as_bytes()).expect("what was written is not read");
                assert_eq!(
                    again.batch.calls, found.batch.calls,
                    "written again it makes other calls"
                );
                assert!(again.mislabelled.is_empty());
                assert_eq!(
                    (again.batch.chain_id, again.batch.safe),
                    (found.batch.chain_id, found.batch.safe)
                );
            }
        }
    }
}

fn check_call(found: &Imported, index: usize, entry: &Value) {
    let call = &found.batch.calls[index];
    let text = |field: &str| entry[field].as_str().unwrap_or_default();
    assert_eq!(text("to").to_ascii_lowercase(), format!("{:#x}", call.to));
    let value = text("value");
    let value = match value.strip_prefix("0x") {
        Some(digits) => U256::from_str_radix(digits, 16),
        None => U256::from_str_radix(value, 10),
    };
    assert_eq!(value.expect("an amount that is no number"), call.value);
    let shown = encoded(entry);
    let mislabelled = found.mislabelled.iter().any(|one| one.index == index);
    match text("data") {
        "" => {
            assert!(!mislabelled);
            assert_eq!(shown.expect("a method that another encoder refuses"), call.data);
        }
        data => {
            assert_eq!(data.to_ascii_lowercase(), hex::encode_prefixed(&call.data));
            if let Some(shown) = shown {
                assert_eq!(mislabelled, shown != call.data, "what the method shows");
            }
        }
    }
}

/// What alloy's own encoder makes of a method and its arguments in text.
fn encoded(entry: &Value) -> Option<Bytes> {
    let (method, values) = (&entry["contractMethod"], &entry["contractInputsValues"]);
    let inputs = method["inputs"].as_array()?;
    if values.as_object().map_or(0, serde_json::Map::len) != inputs.len() {
        return None;
    }
    let (mut kinds, mut arguments) = (Vec::new(), Vec::new());
    for (position, input) in inputs.iter().enumerate() {
        let name = input["name"].as_str().unwrap_or_default();
        let key = if name.is_empty() {
            position.to_string()
        } else {
            name.to_owned()
        };
        let text = values[&key].as_str()?;
        let kind = match input["type"].as_str()? {
            "uint" => "uint256",
            kind => kind,
        };
        arguments.push(argument(kind, text)?);
        kinds.push(kind);
    }
    let signature = format!("{}({})", method["name"].as_str()?, kinds.join(","));
    let mut data = keccak256(signature)[..4].to_vec();
    data.extend(DynSolValue::Tuple(arguments).abi_encode_params());
    Some(data.into())
}

fn argument(kind: &str, text: &str) -> Option<DynSolValue> {
    let bytes = || hex::decode(text).ok();
    match kind {
        "string" => Some(DynSolValue::String(text.to_owned())),
        "bytes" => bytes().map(DynSolValue::Bytes),
        "bool" => match text {
            "true" | "True" | "TRUE" | "1" => Some(DynSolValue::Bool(true)),
            "false" | "False" | "FALSE" | "0" => Some(DynSolValue::Bool(false)),
            _ => None,
        },
        _ => DynSolType::parse(kind).ok()?.coerce_str(text).ok(),
    }
}
