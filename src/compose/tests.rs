//! Rules of manifests and their hashes, on vectors made by the official tools and on generated manifests.

use proptest::prelude::*;
use serde::Deserialize;
use serde_json::{Map, Value, json};

use super::*;

#[derive(Deserialize)]
struct Vectors {
    cases: Vec<Case>,
}

#[derive(Deserialize)]
struct Case {
    name: String,
    input: String,
    canonical: String,
    sorted: String,
    legacy_pretty: Option<String>,
    legacy_pretty_text: Option<String>,
    python: Option<String>,
    python_ascii: String,
    go: String,
}

/// The vectors, without the one whose input Rust text cannot hold.
fn vectors() -> Vec<(Case, Manifest)> {
    let text = include_str!("../../tests/vectors/compose_hash.json");
    let all: Vectors = serde_json::from_str(text).unwrap();
    all.cases
        .into_iter()
        .filter(|case| case.name != "V10-lone-surrogate")
        .map(|case| {
            let manifest = Manifest::parse(case.input.as_bytes()).unwrap();
            (case, manifest)
        })
        .collect()
}

fn manifest(value: Value) -> Manifest {
    Manifest::parse(value.to_string().as_bytes()).unwrap()
}

fn typical() -> Manifest {
    manifest(json!({
        "allowed_envs": ["API_KEY", "DB_URL"],
        "docker_compose_file": "services:\n  web:\n    image: nginx@sha256:0\n",
        "features": ["kms", "tproxy-net"],
        "gateway_enabled": true,
        "kms_enabled": true,
        "manifest_version": 2,
        "name": "prod",
        "pre_launch_script": "#!/bin/bash\necho",
        "public_logs": true,
        "public_sysinfo": true,
        "public_tcbinfo": true,
        "runner": "docker-compose",
        "storage_fs": "zfs",
    }))
}

#[test]
fn form_a_gives_the_text_and_hash_of_the_official_sdk() {
    let vectors = vectors();
    assert_eq!(vectors.len(), 11);
    for (case, manifest) in vectors {
        assert_eq!(manifest.canonical(Form::Sorted), case.canonical, "{}", case.name);
        assert_eq!(manifest.hash(Form::Sorted).bare(), case.sorted, "{}", case.name);
    }
}

#[test]
fn form_b_gives_the_text_and_hash_of_the_sdks_legacy_code() {
    for (case, manifest) in vectors() {
        if let Some(hash) = case.legacy_pretty {
            assert_eq!(
                Some(manifest.canonical(Form::LegacyPretty)),
                case.legacy_pretty_text,
                "{}",
                case.name
            );
            assert_eq!(manifest.hash(Form::LegacyPretty).bare(), hash, "{}", case.name);
        }
    }
}

#[test]
fn form_d_gives_the_hash_of_dstacks_go_sdk() {
    for (case, manifest) in vectors() {
        assert_eq!(manifest.hash(Form::Go).bare(), case.go, "{}", case.name);
    }
}

/// Python keeps `2.0` and orders keys by code point, so those two vectors say nothing about form A in ASCII.
#[test]
fn form_a_in_ascii_gives_pythons_default_escapes() {
    for (case, manifest) in vectors() {
        if !["V6-numbers", "V9-key-order"].contains(&case.name.as_str()) {
            assert_eq!(
                manifest.hash(Form::SortedAscii).bare(),
                case.python_ascii,
                "{}",
                case.name
            );
        }
    }
}

#[test]
fn form_a_without_nulls_is_what_python_does_with_a_null_field() {
    let (case, manifest) = vectors()
        .into_iter()
        .find(|(case, _)| case.name.starts_with("V12"))
        .unwrap();
    assert_eq!(Some(manifest.hash(Form::SortedWithoutNulls).bare()), case.python);
}

#[test]
fn f4_a_compose_hash_has_exactly_64_hex_digits_of_either_case() {
    let digits = "c40639a1b2c3d4e5f60718293a4b5c6d7e8f90123456789abcdef0123456789a";
    let hash: ComposeHash = digits.parse().unwrap();
    assert_eq!(hash.to_string(), format!("0x{digits}"));
    assert_eq!(hash.bare(), digits);
    for same in [
        format!("0x{digits}"),
        digits.to_uppercase(),
        format!("0x{}", digits.to_uppercase()),
    ] {
        assert_eq!(same.parse::<ComposeHash>().unwrap(), hash);
    }
    let (short, _) = digits.split_at(63);
    let not_hex = digits.replace('c', "g");
    let wide = digits.replace('c', "é");
    for other in [
        short,
        &format!("{digits}0"),
        &format!("0x0x{digits}"),
        &format!("0x {digits}"),
        "",
        "0x",
    ] {
        assert!(
            matches!(other.parse::<ComposeHash>(), Err(ComposeError::HashLength { .. })),
            "{other}"
        );
    }
    for other in [not_hex, wide] {
        assert!(
            matches!(other.parse::<ComposeHash>(), Err(ComposeError::HashDigits { .. })),
            "{other}"
        );
    }
    for other in [format!(" {digits}"), format!("{digits}\n"), format!("0X{digits}")] {
        assert!(other.parse::<ComposeHash>().is_err(), "{other:?}");
    }
}

#[test]
fn a_refused_hash_is_quoted_shortened_and_without_control_characters() {
    let error = format!("\u{1b}[2J{}", "x".repeat(10_000))
        .parse::<ComposeHash>()
        .unwrap_err()
        .to_string();
    assert!(error.len() < 250 && !error.contains('\u{1b}'), "{error}");
}

#[test]
fn a_compose_hash_is_sha_256() {
    assert_eq!(
        ComposeHash::of(b"abc").bare(),
        "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"
    );
}

#[test]
fn i6_a_key_that_appears_twice_is_refused_at_any_depth() {
    for text in [
        r#"{"a":1,"a":1}"#,
        r#"{"a":1,"b":2,"\u0061":3}"#,
        r#"{"x":{"a":1,"a":2}}"#,
        r#"{"x":[[{"y":{"a":1,"a":null}}]]}"#,
    ] {
        let error = Manifest::parse(text.as_bytes()).unwrap_err();
        assert!(
            std::error::Error::source(&error).unwrap().to_string().contains("twice"),
            "{text}"
        );
        assert!(serde_json::from_str::<Manifest>(text).is_err(), "{text}");
    }
    assert!(Manifest::parse(br#"{"a":{"a":1},"b":{"a":1},"A":[{"a":1},{"a":1}]}"#).is_ok());
}

#[test]
fn i5_nesting_deeper_than_32_is_refused() {
    let nested = |depth: usize| format!("{}{}", r#"{"a":"#.repeat(depth), "1".to_owned() + &"}".repeat(depth));
    assert!(Manifest::parse(nested(32).as_bytes()).is_ok());
    for depth in [33, 127, 100_000] {
        assert!(matches!(
            Manifest::parse(nested(depth).as_bytes()),
            Err(ComposeError::Json(_))
        ));
    }
    let arrays = format!("{{\"a\":{}{}}}", "[".repeat(32), "]".repeat(32));
    assert!(Manifest::parse(arrays.as_bytes()).is_err());
}

#[test]
fn i2_more_than_a_mebibyte_is_refused_unread() {
    let sized = |len: usize| format!("{{\"a\":\"{}\"}}", "x".repeat(len - 8)).into_bytes();
    assert_eq!(sized(100).len(), 100);
    assert!(Manifest::parse(&sized(MAX_MANIFEST_BYTES)).is_ok());
    let refusal = Manifest::parse(&sized(MAX_MANIFEST_BYTES + 1));
    assert!(matches!(refusal, Err(ComposeError::TooLong { .. })));
}

#[test]
fn i3_i4_i9_what_is_not_json_in_utf_8_is_refused() {
    for (text, why) in [
        (b"".as_slice(), "empty"),
        (b" \n", "white space"),
        (b"{", "unfinished"),
        (b"{\"a\":1}}", "more behind it"),
        (b"{\"a\":1,}", "a comma too many"),
        (b"{a:1}", "a bare key"),
        (b"{\"a\":NaN}", "not a number"),
        (b"{\"a\":Infinity}", "infinity"),
        (b"{\"a\":1e999}", "beyond every float"),
        (b"{\"a\":-1e999}", "beyond every float"),
        (b"{\"a\":01}", "a leading zero"),
        (b"{\"a\":\"\x01\"}", "a bare control character"),
        (b"{\"a\":\"\\ud800\"}", "a lone surrogate"),
        (b"{\"a\":\"\\udc00x\"}", "a lone surrogate"),
        (b"{\"\\ud800\":1}", "a lone surrogate in a key"),
        (b"{\"a\":1} // note", "a comment"),
        (b"{\"__proto__\":1}", "machinery of JavaScript"),
        (b"{\"a\":{\"constructor\":1}}", "machinery of JavaScript"),
    ] {
        assert!(matches!(Manifest::parse(text), Err(ComposeError::Json(_))), "{why}");
    }
    assert!(matches!(
        Manifest::parse(b"{\"a\":\"\xff\"}"),
        Err(ComposeError::Utf8(_))
    ));
    assert!(matches!(
        Manifest::parse(b"\xef\xbb\xbf{}"),
        Err(ComposeError::ByteOrderMark)
    ));
    let lone = vectors_input("V10-lone-surrogate");
    assert!(matches!(Manifest::parse(lone.as_bytes()), Err(ComposeError::Json(_))));
}

fn vectors_input(name: &str) -> String {
    let all: Vectors = serde_json::from_str(include_str!("../../tests/vectors/compose_hash.json")).unwrap();
    all.cases.into_iter().find(|case| case.name == name).unwrap().input
}

#[test]
fn only_an_object_is_a_manifest() {
    for text in ["null", "true", "1", "\"{}\"", "[]", "[{}]"] {
        assert!(
            matches!(Manifest::parse(text.as_bytes()), Err(ComposeError::NotAnObject { .. })),
            "{text}"
        );
        assert!(serde_json::from_str::<Manifest>(text).is_err(), "{text}");
    }
}

#[test]
fn white_space_and_crlf_around_json_do_not_change_the_hash() {
    let plain = Manifest::parse(br#"{"a":[1,"x"]}"#).unwrap();
    let spaced = Manifest::parse(b"\r\n { \"a\" :\t[ 1 ,\r\n \"x\" ] }\r\n").unwrap();
    assert_eq!(plain.hash(Form::Sorted), spaced.hash(Form::Sorted));
}

#[test]
fn numbers_are_written_as_ecmascript_writes_doubles() {
    for (input, written) in [
        ("0", "0"),
        ("-0", "0"),
        ("-0.0", "0"),
        ("1.0", "1"),
        ("9007199254740992", "9007199254740992"),
        ("9007199254740993", "9007199254740992"),
        ("9007199254740995", "9007199254740996"),
        ("-9007199254740993", "-9007199254740992"),
        ("18446744073709551615", "18446744073709552000"),
        ("18446744073709551616", "18446744073709552000"),
        ("-9223372036854775808", "-9223372036854776000"),
        ("123456789012345678901234567890", "1.2345678901234568e+29"),
        ("999999999999999999999", "1e+21"),
        ("999999999999999900000", "999999999999999900000"),
        ("1e-6", "0.000001"),
        ("1e-7", "1e-7"),
        ("5e-324", "5e-324"),
        ("1e-400", "0"),
        ("1.7976931348623157e308", "1.7976931348623157e+308"),
        ("0.1", "0.1"),
        ("4.35", "4.35"),
        ("2.675", "2.675"),
        ("1E5", "100000"),
    ] {
        let manifest = Manifest::parse(format!("{{\"n\":{input}}}").as_bytes()).unwrap();
        assert_eq!(
            manifest.canonical(Form::Sorted),
            format!("{{\"n\":{written}}}"),
            "{input}"
        );
    }
}

#[test]
fn keys_that_are_array_indices_come_first_by_number_and_the_rest_by_utf_16() {
    let manifest = Manifest::parse(
        r#"{"b":0,"4294967295":0,"4294967294":0,"10":0,"9":0,"0":0,"00":0,"-1":0,"+1":0,"1e1":0,"1.0":0,"":0,
            "😀":0,"￮":0,"é":0," 1":0}"#
            .as_bytes(),
    )
    .unwrap();
    let keys = [
        "0",
        "9",
        "10",
        "4294967294",
        "",
        " 1",
        "+1",
        "-1",
        "00",
        "1.0",
        "1e1",
        "4294967295",
        "b",
        "é",
        "😀",
        "￮",
    ];
    let written: Vec<String> = keys.iter().map(|key| format!("\"{key}\":0")).collect();
    assert_eq!(manifest.canonical(Form::Sorted), format!("{{{}}}", written.join(",")));
}

#[test]
fn unknown_fields_are_kept_and_hashed() {
    let manifest = manifest(json!({"name": "x", "future_field": {"z": [1, {"y": null}]}}));
    assert_eq!(
        manifest.canonical(Form::Sorted),
        r#"{"future_field":{"z":[1,{"y":null}]},"name":"x"}"#
    );
    let read_back: Manifest = serde_json::from_str(&serde_json::to_string(&manifest).unwrap()).unwrap();
    assert_eq!(read_back, manifest);
}

#[test]
fn nulls_are_left_out_of_objects_and_kept_in_arrays() {
    let manifest = manifest(json!({"a": null, "b": [null, {"c": null, "d": 1}], "e": {"f": null}}));
    assert_eq!(
        manifest.canonical(Form::SortedWithoutNulls),
        r#"{"b":[null,{"d":1}],"e":{}}"#
    );
}

#[test]
fn the_legacy_form_leaves_out_the_other_runners_script_and_an_empty_pre_launch_script() {
    let legacy = |value: Value| manifest(value).canonical(Form::LegacyPretty);
    let both = json!({"runner": "docker-compose", "bash_script": "b", "docker_compose_file": "d"});
    assert!(!legacy(both.clone()).contains("bash_script"));
    let mut bash = both.clone();
    bash["runner"] = json!("bash");
    assert!(!legacy(bash).contains("docker_compose_file"));
    let mut other = both;
    other["runner"] = json!("nerdctl-compose");
    assert!(legacy(other.clone()).contains("bash_script") && legacy(other).contains("docker_compose_file"));
    for falsy in [json!(null), json!(""), json!(false), json!(0), json!(-0.0)] {
        assert_eq!(legacy(json!({"pre_launch_script": falsy})), "{}");
    }
    for truthy in [json!("x"), json!([]), json!({}), json!(true), json!(1)] {
        assert_ne!(legacy(json!({"pre_launch_script": truthy})), "{}");
    }
}

#[test]
fn the_go_form_drops_what_gos_struct_does_not_hold() {
    let manifest = manifest(json!({
        "manifest_version": 2, "name": "", "features": [], "allowed_envs": [null, "A"], "public_logs": false,
        "kms_enabled": null, "docker_config": {}, "key_provider_id": 7, "storage_fs": "zfs",
        "requirements": {"platforms": [], "tdx_measure_acpi_tables": false, "unknown": 1, "os_version": ">=1&<2"},
    }));
    assert_eq!(
        manifest.canonical(Form::Go),
        concat!(
            r#"{"allowed_envs":["","A"],"docker_config":{},"manifest_version":2,"public_logs":false,"requirements":"#,
            r#"{"os_version":"\u003e=1\u0026\u003c2","platforms":[],"tdx_measure_acpi_tables":false},"runner":""}"#
        )
    );
}

#[test]
fn changes_set_their_fields_and_no_others() {
    let before = typical();
    assert_eq!(before.with(&Changes::default()), before);
    let changes = Changes {
        docker_compose_file: Some("services: {}\n".to_owned()),
        pre_launch_script: Some(String::new()),
        allowed_envs: Some(vec!["Z".to_owned(), "A".to_owned()]),
        public_logs: Some(false),
        public_sysinfo: Some(true),
        public_tcbinfo: Some(false),
    };
    let changed: Vec<_> = before
        .diff(&before.with(&changes))
        .into_iter()
        .map(|change| (change.field, change.after))
        .collect();
    let expected = [
        ("allowed_envs", json!(["Z", "A"])),
        ("docker_compose_file", json!("services: {}\n")),
        ("pre_launch_script", json!("")),
        ("public_logs", json!(false)),
        ("public_tcbinfo", json!(false)),
    ];
    assert_eq!(changed, expected.map(|(field, value)| (field.to_owned(), Some(value))));
}

#[test]
fn a_difference_is_what_the_hash_sees() {
    let before = manifest(json!({"a": 2, "b": 1, "c": null, "d": [1, 2]}));
    let after = manifest(json!({"a": 2.0, "c": null, "d": [2, 1], "e": null}));
    let changed = before.diff(&after);
    let fields: Vec<_> = changed
        .iter()
        .map(|c| (c.field.as_str(), c.before.clone(), c.after.clone()))
        .collect();
    assert_eq!(
        fields,
        [
            ("b", Some(json!(1)), None),
            ("d", Some(json!([1, 2])), Some(json!([2, 1]))),
            ("e", None, Some(json!(null)))
        ]
    );
}

fn text_change(before: &str, after: &str) -> String {
    FieldChange {
        field: "f".to_owned(),
        before: Some(before.into()),
        after: Some(after.into()),
    }
    .text_diff()
}

#[test]
fn a_text_difference_shows_lines_that_came_and_went_and_a_missing_line_end() {
    let shown = text_change("a\n  image: x@sha256:1\nz\n", "a\n  image: x@sha256:2\nz\n");
    assert!(
        shown.contains("\n-  image: x@sha256:1\n+  image: x@sha256:2\n"),
        "{shown}"
    );
    let shown = text_change("a\n", "a");
    assert!(shown.contains("-a\n+a\n\\ No newline"), "{shown}");
    let added = FieldChange {
        field: "f".to_owned(),
        before: None,
        after: Some(json!(["A", "B"])),
    }
    .text_diff();
    assert!(added.contains("\n+  \"A\",") && !added.contains("\n-"), "{added}");
}

#[test]
fn i18_a_text_difference_shows_what_a_terminal_would_obey_or_hide() {
    let shown = text_change(
        "image: a\n",
        "image: \u{202e}a\u{1b}[1A\r\u{200b}\u{9b}\u{feff}\u{e0041}\n",
    );
    assert!(
        shown.contains("+image: \\u{202e}a\\u{1b}[1A\\u{d}\\u{200b}\\u{9b}\\u{feff}\\u{e0041}\n"),
        "{shown}"
    );
}

#[test]
fn images_are_those_of_the_services_in_order_each_once() {
    let compose = r#"
x-base: &base
  image: "base:1"
x-image: &pinned alpine@sha256:aa
services:
  web: {image: 'nginx@sha256:0', labels: {image: not-an-image}}
  "quoted":
    "image": *pinned
  merged:
    <<: *base
  inline:
    <<: {image: inline:2}
  built:
    build: .
    environment:
      - image=no
    command: |
      image: not-an-image-either
  again: { image: "base:1" }
  variable:
    image: ${IMAGE:-busybox}   # image: comment
volumes:
  image:
    name: no
"#;
    let images = manifest(json!({"docker_compose_file": compose})).images();
    assert_eq!(
        images,
        [
            "nginx@sha256:0",
            "alpine@sha256:aa",
            "base:1",
            "inline:2",
            "${IMAGE:-busybox}"
        ]
    );
}

#[test]
fn images_of_a_text_that_is_no_yaml_are_taken_from_its_lines() {
    let compose = "services:\n  a:\n    image: \"nginx:1\"\n\t- broken: [\n  b:\n    image: redis:7\n";
    let images = manifest(json!({"docker_compose_file": compose})).images();
    assert!(
        images.contains(&"nginx:1".to_owned()) && images.contains(&"redis:7".to_owned()),
        "{images:?}"
    );
}

#[test]
fn aliases_of_aliases_do_not_grow() {
    let mut compose = "x0: &x0 {image: a}\n".to_owned();
    for level in 1..60 {
        let below = format!("*x{}", level - 1);
        compose.push_str(&format!("x{level}: &x{level} [{}]\n", vec![below; 9].join(",")));
    }
    compose.push_str("services: {a: {image: nginx:1, x: *x59}}\n");
    assert_eq!(manifest(json!({"docker_compose_file": compose})).images(), ["nginx:1"]);
}

#[test]
fn without_docker_compose_text_there_are_no_images() {
    for value in [
        json!({}),
        json!({"docker_compose_file": null}),
        json!({"docker_compose_file": ["image: x"]}),
    ] {
        assert!(manifest(value).images().is_empty());
    }
}

#[test]
fn phala_cloud_takes_200_kib_of_text_and_no_byte_more() {
    let of = |compose: usize, script: usize| Changes {
        docker_compose_file: Some("é".repeat(compose / 2)),
        pre_launch_script: Some("x".repeat(script)),
        ..Changes::default()
    };
    assert!(of(200 * 1024 - 10, 10).check_size().is_ok());
    let refusal = of(200 * 1024 - 10, 11).check_size();
    assert!(matches!(
        refusal,
        Err(ComposeError::ChangesTooLong {
            found: 204_801,
            max: 204_800
        })
    ));
    assert!(Changes::default().check_size().is_ok());
}

fn new_compose() -> Changes {
    Changes {
        docker_compose_file: Some("services:\n  web:\n    image: nginx@sha256:1\n".to_owned()),
        allowed_envs: Some(vec!["B".to_owned(), "A".to_owned()]),
        ..Changes::default()
    }
}

#[test]
fn v1_a_hash_is_verified_in_the_form_of_the_current_one() {
    let mut before = typical();
    before.0.insert("salt".to_owned(), json!(null));
    before.0.insert("motto".to_owned(), json!("é <&>"));
    let after = before.with(&new_compose());
    for form in Form::ALL {
        let verdict = before.verify(before.hash(form), &new_compose(), after.hash(form));
        assert_eq!(verdict, Verification::Verified { form });
    }
}

#[test]
fn v1_a_form_that_only_the_change_reveals_is_found() {
    let before = typical();
    let changes = Changes {
        docker_compose_file: Some("# é\n".to_owned()),
        ..Changes::default()
    };
    let verdict = before.verify(
        before.hash(Form::SortedAscii),
        &changes,
        before.with(&changes).hash(Form::SortedAscii),
    );
    assert_eq!(
        verdict,
        Verification::Verified {
            form: Form::SortedAscii
        }
    );
}

#[test]
fn v1_without_calibration_nothing_is_said_even_when_the_hashes_agree() {
    let before = typical();
    let right = before.with(&new_compose()).hash(Form::Sorted);
    assert_eq!(
        before.verify(ComposeHash::new([7; 32]), &new_compose(), right),
        Verification::Uncomputable
    );
}

/// What `verify` says of a server that did `tamper` to the manifest after the changes.
fn explanation(changes: &Changes, tamper: impl Fn(&mut Map<String, Value>)) -> Option<String> {
    let before = typical();
    let after = before.with(changes);
    let mut map = after.0.clone();
    tamper(&mut map);
    let claimed = Manifest(map).hash(Form::Sorted);
    match before.verify(before.hash(Form::Sorted), changes, claimed) {
        Verification::Mismatch { computed, explanation } => {
            assert_eq!(computed, after.hash(Form::Sorted));
            explanation
        }
        other => panic!("{other:?}"),
    }
}

#[test]
fn v1_another_hash_is_a_mismatch_and_one_likely_change_is_named() {
    let set = |field: &'static str, value: Value| {
        move |map: &mut Map<String, Value>| {
            map.insert(field.to_owned(), value.clone());
        }
    };
    let changes = new_compose();
    let compose = changes.docker_compose_file.clone().unwrap();
    let before = typical();
    let said = |tamper: &dyn Fn(&mut Map<String, Value>)| explanation(&changes, tamper).unwrap_or_default();
    for (words, tampered) in [
        (
            "`docker_compose_file` without newlines at its end",
            said(&set("docker_compose_file", compose.trim_end().into())),
        ),
        (
            "`docker_compose_file` with CRLF line ends",
            said(&set("docker_compose_file", compose.replace('\n', "\r\n").into())),
        ),
        (
            "`docker_compose_file` with a byte order mark",
            said(&set("docker_compose_file", format!("\u{feff}{compose}").into())),
        ),
        (
            "`docker_compose_file` was not taken over",
            said(&set("docker_compose_file", before.0["docker_compose_file"].clone())),
        ),
        (
            "`allowed_envs` was not taken over",
            said(&set("allowed_envs", before.0["allowed_envs"].clone())),
        ),
        ("`allowed_envs` sorted", said(&set("allowed_envs", json!(["A", "B"])))),
        ("`allowed_envs` empty", said(&set("allowed_envs", json!([])))),
        ("`allowed_envs` null", said(&set("allowed_envs", json!(null)))),
        (
            "`pre_launch_script` with a newline",
            said(&set("pre_launch_script", "#!/bin/bash\necho\n".into())),
        ),
        ("`public_logs` false", said(&set("public_logs", json!(false)))),
        (
            "`tproxy_enabled` as well as `gateway_enabled`",
            said(&set("tproxy_enabled", json!(true))),
        ),
        (
            "`tproxy_enabled` in place of `gateway_enabled`",
            said(&|map| {
                let value = map.remove("gateway_enabled").unwrap();
                map.insert("tproxy_enabled".to_owned(), value);
            }),
        ),
        (
            "no `public_tcbinfo`",
            said(&|map| {
                map.remove("public_tcbinfo");
            }),
        ),
    ] {
        assert!(tampered.contains(words), "{words}: {tampered}");
    }
}

#[test]
fn v1_a_change_that_nobody_would_guess_is_a_mismatch_without_words() {
    let smuggled = explanation(&new_compose(), |map| {
        map.insert(
            "docker_compose_file".to_owned(),
            "services: {evil: {image: evil}}".into(),
        );
    });
    assert_eq!(smuggled, None);
}

#[test]
fn v1_the_current_hash_and_another_layout_are_named_as_what_they_are() {
    let before = typical();
    let current = before.hash(Form::Sorted);
    let why = |claimed| match before.verify(current, &new_compose(), claimed) {
        Verification::Mismatch { explanation, .. } => explanation.unwrap(),
        other => panic!("{other:?}"),
    };
    assert!(why(current).contains("nothing would change"));
    assert!(why(before.with(&new_compose()).hash(Form::LegacyPretty)).contains("legacy layout"));
}

fn any_text() -> impl Strategy<Value = String> {
    let piece = prop_oneof![
        "[a-z0-9\": \\\\<>&/'{}\\[\\],\n\t\r]{0,6}",
        any::<char>().prop_map(String::from),
        Just("\u{2028}".to_owned()),
        Just("\u{7f}\u{0}\u{1f}\u{8}\u{c}".to_owned()),
        Just("😀".to_owned()),
        (0..40_u64).prop_map(|number| number.to_string()),
    ];
    proptest::collection::vec(piece, 0..4)
        .prop_map(|pieces| pieces.concat())
        .prop_filter("machinery of JavaScript", |text| {
            !["__proto__", "constructor"].contains(&text.as_str())
        })
}

fn any_value() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        any::<i64>().prop_map(Value::from),
        any::<u64>().prop_map(Value::from),
        proptest::num::f64::NORMAL.prop_map(Value::from),
        any_text().prop_map(Value::from),
    ];
    leaf.prop_recursive(4, 40, 6, |inner| {
        prop_oneof![
            proptest::collection::vec(inner.clone(), 0..6).prop_map(Value::from),
            proptest::collection::btree_map(any_text(), inner, 0..6)
                .prop_map(|map| Value::Object(map.into_iter().collect())),
        ]
    })
}

fn any_manifest() -> impl Strategy<Value = Manifest> {
    proptest::collection::btree_map(any_text(), any_value(), 0..8).prop_map(|map| Manifest(map.into_iter().collect()))
}

/// Keys of every object in the order in which a text has them.
struct KeyOrder(Vec<Vec<String>>);

impl<'de> Deserialize<'de> for KeyOrder {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Visit;
        impl<'de> serde::de::Visitor<'de> for Visit {
            type Value = KeyOrder;
            fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.write_str("JSON")
            }
            fn visit_map<A: serde::de::MapAccess<'de>>(self, mut map: A) -> Result<KeyOrder, A::Error> {
                let (mut own, mut all) = (Vec::new(), Vec::new());
                while let Some(key) = map.next_key()? {
                    own.push(key);
                    all.extend(map.next_value::<KeyOrder>()?.0);
                }
                all.push(own);
                Ok(KeyOrder(all))
            }
            fn visit_seq<A: serde::de::SeqAccess<'de>>(self, mut seq: A) -> Result<KeyOrder, A::Error> {
                let mut all = Vec::new();
                while let Some(inner) = seq.next_element::<KeyOrder>()? {
                    all.extend(inner.0);
                }
                Ok(KeyOrder(all))
            }
            fn visit_unit<E>(self) -> Result<KeyOrder, E> {
                Ok(KeyOrder(Vec::new()))
            }
            fn visit_bool<E>(self, _: bool) -> Result<KeyOrder, E> {
                Ok(KeyOrder(Vec::new()))
            }
            fn visit_i64<E>(self, _: i64) -> Result<KeyOrder, E> {
                Ok(KeyOrder(Vec::new()))
            }
            fn visit_u64<E>(self, _: u64) -> Result<KeyOrder, E> {
                Ok(KeyOrder(Vec::new()))
            }
            fn visit_f64<E>(self, _: f64) -> Result<KeyOrder, E> {
                Ok(KeyOrder(Vec::new()))
            }
            fn visit_str<E>(self, _: &str) -> Result<KeyOrder, E> {
                Ok(KeyOrder(Vec::new()))
            }
        }
        deserializer.deserialize_any(Visit)
    }
}

/// Before all other keys, numbers below 2^32 - 1 in their plainest decimal text.
fn rank(key: &str) -> (u64, Vec<u16>) {
    let index = key
        .parse::<u64>()
        .ok()
        .filter(|index| *index < 0xffff_ffff && index.to_string() == key);
    (index.unwrap_or(u64::MAX), key.encode_utf16().collect())
}

proptest! {
    #[test]
    fn canonical_text_reads_back_as_the_same_manifest(manifest in any_manifest()) {
        let text = manifest.canonical(Form::Sorted);
        let read = Manifest::parse(text.as_bytes()).unwrap();
        prop_assert_eq!(read.canonical(Form::Sorted), text);
        prop_assert!(manifest.diff(&read).is_empty());
    }

    #[test]
    fn ascii_text_is_ascii_and_reads_back_as_the_same_manifest(manifest in any_manifest()) {
        let text = manifest.canonical(Form::SortedAscii);
        prop_assert!(text.bytes().all(|byte| (b' '..=b'~').contains(&byte)));
        let read = Manifest::parse(text.as_bytes()).unwrap();
        prop_assert_eq!(read.canonical(Form::Sorted), manifest.canonical(Form::Sorted));
    }

    #[test]
    fn keys_ascend_in_every_object(manifest in any_manifest()) {
        let order: KeyOrder = serde_json::from_str(&manifest.canonical(Form::Sorted)).unwrap();
        for keys in order.0 {
            prop_assert!(keys.is_sorted_by_key(|key| rank(key)), "{keys:?}");
        }
    }

    #[test]
    fn the_order_and_layout_of_the_input_do_not_matter(manifest in any_manifest()) {
        let pretty = serde_json::to_string_pretty(&manifest).unwrap();
        prop_assert_eq!(Manifest::parse(pretty.as_bytes()).unwrap().hash(Form::Sorted), manifest.hash(Form::Sorted));
    }

    #[test]
    fn no_input_aborts_the_reader(bytes in proptest::collection::vec(any::<u8>(), 0..64), text in any_text()) {
        let _refused = Manifest::parse(&bytes).is_err();
        let _no_object = Manifest::parse(text.as_bytes()).is_err();
    }

    #[test]
    fn no_docker_compose_text_aborts_the_search_for_images(
        pieces in proptest::collection::vec(
            prop_oneof![
                Just("services:"), Just("\n"), Just("  "), Just(" "), Just("image: a"), Just("&a "), Just("*a"), Just("<<: "),
                Just("- "), Just("? "), Just(": "), Just("["), Just("]"), Just("{"), Just("}"), Just(","), Just("|\n"),
                Just(">-\n"), Just("'"), Just("\""), Just("#"), Just("---\n"), Just("...\n"), Just("!!str "), Just("%YAML 1.2\n"),
                Just("\t"), Just("\r\n"), Just("\u{feff}"), Just("é"), Just("\\x"), Just("\0"),
            ],
            0..40,
        )
    ) {
        let compose = pieces.concat();
        let manifest = Manifest(json!({"docker_compose_file": compose}).as_object().unwrap().clone());
        for image in manifest.images() {
            prop_assert!(!image.is_empty());
        }
    }
}

fn images_of(compose: &str) -> Vec<String> {
    let manifest = json!({ "docker_compose_file": compose });
    Manifest(manifest.as_object().unwrap().clone()).images()
}

#[test]
fn sec_m1_images_of_a_hundred_thousand_services_and_of_a_deep_text_are_named_without_looking_back() {
    let services: String = (0..100_000)
        .map(|number| format!("  s{number}:\n    image: registry.example/i{number}\n"))
        .collect();
    let named = images_of(&format!("services:\n{services}"));
    assert_eq!(named.len(), 100_000);
    assert_eq!(named.last().map(String::as_str), Some("registry.example/i99999"));

    // Each of the scalars stands below all of the sequences.
    let flow = format!(
        "services:\n  a:\n    image: one\n  b:\n    list: {}{}x{}\n",
        "[".repeat(2_000),
        "y,".repeat(100_000),
        "]".repeat(2_000)
    );
    assert_eq!(images_of(&flow), ["one"]);

    // A name that every service takes in by its anchor is kept once.
    let name = "n".repeat(1_000);
    let aliases: String = (0..20_000)
        .map(|number| format!("  s{number}: {{image: *i}}\n"))
        .collect();
    let named = images_of(&format!("x-i: &i {name}\nservices:\n{aliases}"));
    assert_eq!(named, [name]);
}
