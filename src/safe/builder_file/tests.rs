//! Rules of batch files.

use alloy::primitives::{B256, U256, address, b256};
use proptest::prelude::*;
use serde_json::json;

use super::*;

fn vectors() -> Value {
    let text = include_str!("../../../tests/vectors/safe.json");
    serde_json::from_str::<Value>(text).unwrap()["builder_file"].take()
}

fn file_a() -> Value {
    vectors()["a"].clone()
}

fn add(byte: u8) -> Call {
    let mut data = vec![0xdf, 0xc7, 0x72, 0x23];
    data.extend([byte; 32]);
    Call {
        to: address!("1111111111111111111111111111111111111111"),
        value: U256::ZERO,
        data: data.into(),
    }
}

fn device(byte: u8) -> Call {
    let mut data = vec![0x2a, 0x81, 0x97, 0x28];
    data.extend([byte; 32]);
    Call {
        data: data.into(),
        ..add(0)
    }
}

fn batch(calls: Vec<Call>) -> Batch {
    Batch {
        chain_id: 8453,
        safe: Some(address!("2222222222222222222222222222222222222222")),
        name: "countersign upgrade".to_owned(),
        description: "allow new compose hash".to_owned(),
        created_at: Some(Timestamp::from_millisecond(1_767_225_600_000).unwrap()),
        calls,
    }
}

/// The outcome of reading `file` with a checksum that is right, as a tamperer would leave it.
fn read(file: &Value) -> Result<Batch, BuilderFileError> {
    imported(file).map(|imported| imported.batch)
}

fn imported(file: &Value) -> Result<Imported, BuilderFileError> {
    let mut file = file.clone();
    if let Some(meta) = file.get_mut("meta").and_then(Value::as_object_mut) {
        meta.remove("checksum");
        let sum = checksum::of(&file).to_string();
        file["meta"]["checksum"] = sum.into();
    }
    import(file.to_string().as_bytes())
}

/// A file as the builder writes it.
fn plain(batch: Batch) -> Imported {
    Imported {
        batch,
        checksum: Checksum::Right,
        remarks: Vec::new(),
        mislabelled: Vec::new(),
    }
}

fn refused(change: impl FnOnce(&mut Value)) -> String {
    let mut file = file_a();
    change(&mut file);
    match read(&file) {
        Ok(batch) => panic!("{file} was read as {batch:?}"),
        Err(error) => error.to_string(),
    }
}

#[test]
fn the_method_form_is_the_file_of_the_vector() {
    let text = export(&batch(vec![add(0xab)]), Form::Method).unwrap();
    assert_eq!(serde_json::from_str::<Value>(&text).unwrap(), file_a());
    assert_eq!(export(&batch(vec![add(0xab)]), Form::Method).unwrap(), text);
}

#[test]
fn the_raw_form_has_the_checksum_of_the_vector() {
    let text = export(&batch(vec![add(0xab), device(0xcd)]), Form::Raw).unwrap();
    let file: Value = serde_json::from_str(&text).unwrap();
    assert_eq!(file["meta"]["checksum"], vectors()["b"]);
    assert_eq!(file["transactions"][0]["contractMethod"], Value::Null);
}

#[test]
fn checksums_agree_with_the_vectors() {
    let sum = |change: &dyn Fn(&mut Value)| {
        let mut file = file_a();
        change(&mut file);
        Value::from(checksum::of(&file).to_string())
    };
    let vectors = vectors();
    let a = &vectors["a"]["meta"]["checksum"];
    assert_eq!(sum(&|_| ()), *a);
    assert_eq!(sum(&|file| file["meta"]["name"] = "other".into()), *a);
    let unnamed = sum(&|file| drop(file["meta"].as_object_mut().unwrap().remove("name")));
    assert_eq!(unnamed, *a);
    let described = sum(&|file| file["meta"]["description"] = vectors["c_description"].clone());
    assert_eq!(described, vectors["c"]);
    let extra = sum(&|file| file["meta"]["countersign"] = json!({"v": 1, "composeHash": "0xab"}));
    assert_eq!(extra, vectors["extra_meta"]);
    assert_eq!(
        sum(&|file| file["chainId"] = 8453.into()),
        vectors["chain_id_as_number"]
    );
    let absent = sum(&|file| drop(file["transactions"][0].as_object_mut().unwrap().remove("data")));
    assert_eq!(absent, vectors["no_data_key"]);
    let data = hex::encode_prefixed(add(0xab).data);
    assert_eq!(
        sum(&|file| file["transactions"][0]["data"] = data.clone().into()),
        vectors["both"]
    );
}

#[test]
fn what_was_exported_imports_as_the_same_batch_in_both_forms() {
    let batch = batch(vec![add(0xab), device(0xcd)]);
    for form in [Form::Method, Form::Raw] {
        let text = export(&batch, form).unwrap();
        assert_eq!(import(text.as_bytes()).unwrap(), plain(batch.clone()));
    }
}

#[test]
fn every_method_of_an_upgrade_is_written_by_name_and_others_raw() {
    let word = [[0; 31].as_slice(), &[1]].concat();
    let signatures = [
        "addComposeHash(bytes32)",
        "removeComposeHash(bytes32)",
        "addDevice(bytes32)",
        "removeDevice(bytes32)",
        "setAllowAnyDevice(bool)",
        "approveHash(bytes32)",
    ];
    let call = |signature: &str, argument: &[u8]| {
        let selector = &alloy::primitives::keccak256(signature)[..4];
        let data = [selector, argument].concat().into();
        Call { data, ..add(0) }
    };
    let first = |call: Call| {
        let text = export(&batch(vec![call]), Form::Method).unwrap();
        serde_json::from_str::<Value>(&text).unwrap()["transactions"][0].take()
    };
    for signature in signatures {
        let entry = first(call(signature, &word));
        let name = signature.split_once('(').unwrap().0;
        assert_eq!(
            (&entry["contractMethod"]["name"], &entry["data"]),
            (&name.into(), &Value::Null)
        );
    }
    for other in [
        call("transferOwnership(address)", &word),
        call("addComposeHash(bytes32)", &[word.as_slice(), &[0]].concat()),
        call("setAllowAnyDevice(bool)", &[[0; 31].as_slice(), &[2]].concat()),
        call("setAllowAnyDevice(bool)", &[[1; 31].as_slice(), &[1]].concat()),
        call("addDevice(bytes32)", &[]),
    ] {
        let entry = first(other.clone());
        assert_eq!(entry["data"], hex::encode_prefixed(&other.data));
        assert_eq!(entry["contractMethod"], Value::Null);
    }
}

#[test]
fn pitfall_57_a_wrong_checksum_is_refused_and_a_missing_one_is_told() {
    let mut file = file_a();
    file["meta"]["checksum"] = "".into();
    assert_eq!(import(file.to_string().as_bytes()).unwrap().checksum, Checksum::Missing);
    file["meta"]["checksum"] = B256::ZERO.to_string().into();
    let outcome = import(file.to_string().as_bytes());
    assert!(matches!(outcome, Err(BuilderFileError::Checksum { .. })));
}

#[test]
fn pitfall_58_numbers_where_strings_belong_are_refused() {
    assert!(refused(|file| file["chainId"] = 8453.into()).contains("chainId"));
    assert!(refused(|file| file["transactions"][0]["value"] = 0.into()).contains("value"));
    refused(|file| file["transactions"][0]["contractInputsValues"]["composeHash"] = 5.into());
    for value in [
        "", "0x", "-1", "1e3", " 1", "1.0", "+1", "0x-1", "0x0x1", "1_000", "0b1",
    ] {
        refused(|file| file["transactions"][0]["value"] = value.into());
        refused(|file| file["chainId"] = value.into());
    }
    for chain in ["0x0", "00", "0x2105"] {
        refused(|file| file["chainId"] = chain.into());
    }
}

#[test]
fn pitfall_59_what_the_builder_would_turn_into_an_empty_call_is_refused() {
    let argument =
        |text: &str| refused(|file| file["transactions"][0]["contractInputsValues"]["composeHash"] = text.into());
    let (long, short) = (format!("0x{}", "ab".repeat(33)), format!("0x{}", "ab".repeat(31)));
    for text in [
        "",
        "0x",
        &long,
        &short,
        &"ab".repeat(32),
        &format!("0x{}zz", "ab".repeat(31)),
        "0x0xab",
    ] {
        assert!(argument(text).contains("call 0"), "{text}");
    }
    let method = |change: &dyn Fn(&mut Value)| refused(|file| change(&mut file["transactions"][0]["contractMethod"]));
    for name in ["receive", "fallback", "", "add ComposeHash", "1st", "a(b"] {
        method(&|method| method["name"] = name.into());
    }
    for kind in [
        "bytes33",
        "bytes0",
        "bytes032",
        "uint7",
        "uint264",
        "int256",
        "tuple",
        "bytes32[]",
        "Bytes32",
        "function",
    ] {
        method(&|method| method["inputs"][0]["type"] = kind.into());
    }
    method(&|method| method["inputs"] = json!([]));
    method(&|method| method["type"] = "constructor".into());
    method(&|method| drop(method.as_object_mut().unwrap().remove("inputs")));
    refused(|file| {
        drop(
            file["transactions"][0]
                .as_object_mut()
                .unwrap()
                .remove("contractInputsValues"),
        )
    });
    refused(|file| file["transactions"][0]["contractInputsValues"]["more"] = "1".into());
}

#[test]
fn bug_b11_data_that_says_another_thing_than_the_method_shown_is_executed_and_told() {
    let mut file = file_a();
    file["transactions"][0]["data"] = hex::encode_prefixed(add(0xab).data).into();
    assert_eq!(imported(&file).unwrap(), plain(batch(vec![add(0xab)])));
    file["transactions"][0]["data"] = hex::encode_upper_prefixed(add(0xab).data).replace("0X", "0x").into();
    assert_eq!(imported(&file).unwrap().mislabelled, []);
    file["transactions"][0]["data"] = "".into();
    assert_eq!(imported(&file).unwrap(), plain(batch(vec![add(0xab)])));

    let method = "addComposeHash(bytes32)";
    let away = format!("0xf2fde38b{}{}", "00".repeat(12), "66".repeat(20));
    for data in [
        hex::encode_prefixed(add(0xac).data),
        away,
        "0x".to_owned(),
        format!("0xdfc77223{}", "ab".repeat(33)),
    ] {
        file["transactions"][0]["data"] = data.clone().into();
        let found = imported(&file).unwrap();
        assert_eq!(hex::encode_prefixed(&found.batch.calls[0].data), data);
        let told = Mislabelled {
            index: 0,
            method: method.to_owned(),
            shown: Some(add(0xab).data),
        };
        assert_eq!(found.mislabelled, [told], "{data}");
    }
    // A method that is none of the contract's, or that cannot be encoded, is another one all the same.
    file["transactions"][0]["data"] = hex::encode_prefixed(add(0xab).data).into();
    for change in [
        json!({"name": "setComposeHash"}),
        json!({"name": "\u{202e}x"}),
        json!({"inputs": [{"name": "a", "type": "tuple", "components": []}]}),
    ] {
        let mut other = file.clone();
        let method = other["transactions"][0]["contractMethod"].as_object_mut().unwrap();
        method.extend(change.as_object().unwrap().clone());
        let found = imported(&other).unwrap();
        assert_eq!(found.batch.calls, [add(0xab)]);
        assert_eq!(found.mislabelled.len(), 1, "{other}");
        assert!(!found.mislabelled[0].method.contains('\u{202e}'));
    }
}

#[test]
fn bug_b11_a_method_whose_arguments_cannot_be_compared_is_a_remark() {
    let mut file = file_a();
    file["transactions"][0]["data"] = hex::encode_prefixed(add(0xab).data).into();
    file["transactions"][0]["contractInputsValues"] = Value::Null;
    let found = imported(&file).unwrap();
    assert_eq!((found.batch.calls, found.mislabelled), (vec![add(0xab)], Vec::new()));
    assert!(matches!(found.remarks[..], [Remark::NotCompared { index: 0, .. }]));

    // batchExecute((address,uint256)[]): by its components the selector is the same.
    let method = json!({"name": "run", "inputs": [{"name": "calls", "type": "tuple[]", "components": [
        {"name": "to", "type": "address"}, {"name": "amount", "type": "uint"}]}]});
    let selector = &alloy::primitives::keccak256("run((address,uint256)[])")[..4];
    file["transactions"][0]["contractMethod"] = method;
    file["transactions"][0]["contractInputsValues"] = json!({"calls": "[]"});
    file["transactions"][0]["data"] = hex::encode_prefixed(selector).into();
    let found = imported(&file).unwrap();
    assert!(found.mislabelled.is_empty() && found.remarks[0].to_string().contains("run((address,uint256)[])"));
}

/// The remarks about a file whose one call is the same whatever `change` does to it.
fn told(change: &dyn Fn(&mut Value)) -> String {
    let mut file = file_a();
    change(&mut file);
    let found = imported(&file).unwrap();
    assert_eq!(
        (found.batch.calls, found.mislabelled),
        (vec![add(0xab)], Vec::new()),
        "{file}"
    );
    let remarks: Vec<String> = found.remarks.iter().map(ToString::to_string).collect();
    remarks.join("; ")
}

fn gone(object: &mut Value, key: &str) {
    object.as_object_mut().unwrap().remove(key).unwrap();
}

#[test]
fn bug_b15_files_that_the_wallet_imports_are_read_with_a_remark() {
    for time in [
        json!(null),
        json!("1767225600000"),
        json!("2026-01-01"),
        json!(1.5),
        json!({}),
        json!(u64::MAX),
    ] {
        assert!(
            told(&|file| file["createdAt"] = time.clone()).contains("createdAt"),
            "{time}"
        );
    }
    assert!(told(&|file| gone(file, "createdAt")).contains("createdAt"));
    let zero = format!("0x{}", "0".repeat(64));
    for value in ["0x0", "0x00", "00", &zero] {
        let said = told(&|file| file["transactions"][0]["value"] = value.into());
        assert!(
            said.contains("transactions[0].value") && said.ends_with("read as 0"),
            "{said}"
        );
    }
    assert!(told(&|file| gone(file, "version")).is_empty());
    assert!(told(&|file| gone(&mut file["transactions"][0], "data")).is_empty());
}

#[test]
fn bug_b15_keys_that_the_builder_does_not_write_are_named() {
    assert!(told(&|file| file["targetingTimelock"] = true.into()).contains("`targetingTimelock`"));
    assert!(
        told(&|file| file["meta"]["bipNumber"] = 7.into()).is_empty(),
        "meta may have more"
    );
    let of_call = told(&|file| file["transactions"][0]["comment"] = "\u{202e}".into());
    assert!(of_call.contains("`transactions[0].comment`"));
    for plain in [json!(0), json!("0"), json!(null), json!("CALL")] {
        assert!(told(&|file| file["transactions"][0]["operation"] = plain.clone()).contains("operation"));
    }
    let whole = told(&|file| {
        let method = file["transactions"][0]["contractMethod"].as_object_mut().unwrap();
        method.insert("type".to_owned(), "function".into());
        method.insert("stateMutability".to_owned(), "nonpayable".into());
        method.insert("outputs".to_owned(), json!([]));
        method.remove("payable");
        method["inputs"][0]["indexed"] = false.into();
    });
    assert!(
        whole.contains("contractMethod.stateMutability") && whole.contains("contractMethod.outputs"),
        "{whole}"
    );
}

#[test]
fn an_operation_that_is_no_plain_call_is_refused() {
    for operation in [json!(1), json!("1"), json!("DELEGATECALL"), json!(true), json!([0])] {
        refused(|file| file["operation"] = operation.clone());
        refused(|file| file["transactions"][0]["operation"] = operation.clone());
        refused(|file| file["transactions"][0]["Operation"] = operation.clone());
    }
    let mut file = file_a();
    file["meta"]["more"] = json!({"a": [1.5, -0.0, 1e21, 1e-7, 9_007_199_254_740_993u64]});
    assert!(read(&file).is_ok());
}

#[test]
fn i11_addresses_with_wrong_capitals_or_prefixes_are_refused() {
    let good = "0x5aAeb6053F3E94C9b9A09f33669435E7Ef1BeAed";
    let mut file = file_a();
    for fine in [
        good.to_owned(),
        good.to_lowercase(),
        good.to_uppercase().replace("0X", "0x"),
    ] {
        file["transactions"][0]["to"] = fine.clone().into();
        file["meta"]["createdFromSafeAddress"] = fine.into();
        let batch = read(&file).unwrap();
        assert_eq!(
            (batch.calls[0].to, batch.safe),
            (good.parse().unwrap(), Some(good.parse().unwrap()))
        );
    }
    let wrong = [
        "0x5aaeb6053F3E94C9b9A09f33669435E7Ef1BeAed",
        "base:0x5aAeb6053F3E94C9b9A09f33669435E7Ef1BeAed",
        "5aAeb6053F3E94C9b9A09f33669435E7Ef1BeAed",
        "0X5aAeb6053F3E94C9b9A09f33669435E7Ef1BeAed",
        "0x5aAeb6053F3E94C9b9A09f33669435E7Ef1BeAe",
        "0x5aAeb6053F3E94C9b9A09f33669435E7Ef1BeAed ",
    ];
    for text in wrong {
        refused(|file| file["transactions"][0]["to"] = text.into());
        refused(|file| file["meta"]["createdFromSafeAddress"] = text.into());
    }
}

#[test]
fn i1_to_i8_files_of_the_wrong_shape_are_refused() {
    let text = file_a().to_string();
    let with = |change: &str| text.replacen("\"chainId\"", change, 1);
    let deep = format!("{}1{}", "[".repeat(33), "]".repeat(33));
    let meta = |inner: &str| text.replacen("\"meta\":{", &format!("\"meta\":{{{inner},"), 1);
    let wrong: Vec<Vec<u8>> = vec![
        Vec::new(),
        b"{}".to_vec(),
        b"[]".to_vec(),
        b"null".to_vec(),
        text.as_bytes()[..text.len() - 1].to_vec(),
        format!("{text}{text}").into_bytes(),
        format!("\u{feff}{text}").into_bytes(),
        [text.as_bytes(), &[0xff]].concat(),
        with("\"chainId\":\"1\",\"chainId\"").into_bytes(),
        meta("\"x\":{\"a\":1,\"a\":2}").into_bytes(),
        meta(&format!("\"x\":{deep}")).into_bytes(),
        meta("\"x\":1e999").into_bytes(),
        meta("\"__proto__\":{}").into_bytes(),
        format!("{text}{}", " ".repeat(MAX_BYTES)).into_bytes(),
        br#"{"data":{"5e0c":{"version":"1.0"}}}"#.to_vec(),
    ];
    for bytes in wrong {
        assert!(
            import(&bytes).is_err(),
            "{}",
            String::from_utf8_lossy(&bytes).chars().take(200).collect::<String>()
        );
    }
    refused(|file| file["transactions"] = json!([]));
    refused(|file| file["transactions"] = json!([null]));
    refused(|file| file["meta"] = json!([]));
}

#[test]
fn methods_with_several_and_dynamic_arguments_are_encoded_as_the_abi_says() {
    let method = json!({
        "name": "upgradeToAndCall", "payable": true,
        "inputs": [{"name": "", "type": "address"}, {"name": "data", "type": "bytes"}, {"name": "n", "type": "uint"}],
    });
    let values = json!({"0": "0x1111111111111111111111111111111111111111", "data": "0xabcd", "n": "0x10"});
    let found = method::encode(0, &method, &values).unwrap();
    alloy::sol! { function upgradeToAndCall(address to, bytes data, uint256 n); }
    let wanted = upgradeToAndCallCall {
        to: add(0).to,
        data: vec![0xab, 0xcd].into(),
        n: U256::from(16),
    };
    assert_eq!(found, Bytes::from(alloy::sol_types::SolCall::abi_encode(&wanted)));
}

#[test]
fn an_export_that_could_not_be_read_back_is_refused() {
    let long = Batch {
        description: "x".repeat(MAX_BYTES),
        ..batch(vec![add(1)])
    };
    assert!(matches!(
        export(&long, Form::Raw),
        Err(BuilderFileError::TooLong { .. })
    ));
    assert!(export(&batch(Vec::new()), Form::Raw).is_err());
}

#[test]
fn the_checksum_of_an_empty_file_is_that_of_its_shape() {
    // keccak256 of `{["meta"]{["name"]null,},}`
    let wanted = alloy::primitives::keccak256(r#"{["meta"]{["name"]null,},}"#);
    assert_eq!(checksum::of(&json!({"meta": {}})), wanted);
    assert_ne!(
        wanted,
        b256!("0000000000000000000000000000000000000000000000000000000000000000")
    );
}

proptest! {
    #[test]
    fn any_batch_reads_back_as_it_was_written(
        chain_id: u64, name in ".{0,30}", description in ".{0,30}", millis in 0i64..4_102_444_800_000,
        calls in proptest::collection::vec((any::<[u8; 20]>(), any::<[u8; 32]>(), proptest::collection::vec(any::<u8>(), 0..60)), 1..5),
    ) {
        let calls = calls.into_iter().map(|(to, value, data)| Call {
            to: to.into(),
            value: U256::from_be_bytes(value),
            data: data.into(),
        });
        let created_at = Some(Timestamp::from_millisecond(millis).unwrap());
        let batch = Batch { chain_id, name, description, created_at, ..batch(calls.collect()) };
        for form in [Form::Method, Form::Raw] {
            let text = export(&batch, form).unwrap();
            prop_assert_eq!(import(text.as_bytes()).unwrap(), plain(batch.clone()));
        }
    }
    #[test]
    fn one_changed_bit_is_refused_or_changes_nothing_that_is_signed(place: prop::sample::Index, bit in 0u32..8) {
        let text = export(&batch(vec![add(0xab), device(0xcd)]), Form::Method).unwrap();
        let mut bytes = text.clone().into_bytes();
        *place.get_mut(&mut bytes[..]) ^= 1 << bit;
        if let Ok(Imported { batch: read, checksum: Checksum::Right, .. }) = import(&bytes) {
            let unnamed = Batch { name: String::new(), ..read };
            prop_assert_eq!(unnamed, Batch { name: String::new(), ..batch(vec![add(0xab), device(0xcd)]) });
        }
    }
    #[test]
    fn no_bytes_make_the_reader_fail(text in ".{0,200}") {
        drop(import(text.as_bytes()));
    }
}
