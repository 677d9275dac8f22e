//! Our compose hashes against those of the official SDK, on generated manifests.
//!
//! The manifests are JSON text, so that both readers are compared as well as both writers. They are the same in every
//! run.

use std::collections::BTreeSet;
use std::fmt::Write as _;
use std::io::Write as _;
use std::process::{Command, Stdio};

use countersign::compose::{Form, Manifest};

use crate::support;

/// Manifests that are compared.
const MANIFESTS: u64 = 12_000;

/// Reads a manifest a line, writes two hashes a line: form A, and form B or `-` where the SDK does not take the
/// manifest.
const OFFICIAL: &str = r#"
import { readFileSync, writeSync } from "node:fs";
import { getComposeHash, getCvmComposeFile } from "@phala/cloud";

const legacy = async (manifest) => {
  try {
    const client = { get: async () => manifest };
    const file = await getCvmComposeFile(client, { uuid: "00000000-0000-4000-8000-000000000000" });
    return file.getHash();
  } catch {
    return "-";
  }
};
const answers = [];
for (const line of readFileSync(0, "utf8").trimEnd().split("\n")) {
  answers.push(`${getComposeHash(JSON.parse(line))} ${await legacy(JSON.parse(line))}\n`);
}
let rest = Buffer.from(answers.join(""));
while (rest.length > 0) rest = rest.subarray(writeSync(1, rest));
"#;

/// SplitMix64 (Steele, Lea, Flood 2014): enough for choosing, and the same everywhere.
pub(crate) struct Dice(pub(crate) u64);

impl Dice {
    fn roll(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    pub(crate) fn below(&mut self, limit: u64) -> u64 {
        self.roll() % limit
    }

    pub(crate) fn byte(&mut self) -> u8 {
        self.roll().to_le_bytes()[0]
    }

    fn one_in(&mut self, chances: u64) -> bool {
        self.below(chances) == 0
    }

    pub(crate) fn pick<'a, T: ?Sized>(&mut self, all: &[&'a T]) -> &'a T {
        all[usize::try_from(self.below(all.len() as u64)).unwrap()]
    }
}

const KEYS: &[&str] = &[
    "a",
    "A",
    "Z",
    "_",
    "0",
    "1",
    "9",
    "10",
    "01",
    "-1",
    "1.5",
    "1e3",
    "4294967294",
    "4294967295",
    "4294967296",
    "",
    " ",
    "é",
    "\u{e000}",
    "\u{ffee}",
    "\u{ffff}",
    "😀",
    "𐀀",
    "toJSON",
    "length",
    "hasOwnProperty",
    "x\": y",
    "\u{2028}",
    "\0",
    "docker_config",
    "key_provider_id",
    "swap_size",
    "storage",
    "gateway_enabled",
    "secure_time",
    "init_script",
];

const PIECES: &[&str] = &[
    "services:\n  web:\n    image: nginx@sha256:0\n",
    "\": ",
    "\":",
    ": \"",
    "<b>&amp;</b>",
    "'",
    "\\",
    "\\u0041",
    "/",
    "${A}",
    "\r\n",
    "\t",
    "\u{8}\u{c}",
    "\0\u{1f}",
    "\u{7f}\u{80}\u{9f}",
    "\u{a0}",
    "é",
    "签名",
    "\u{2028}\u{2029}",
    "\u{d7ff}\u{e000}",
    "\u{feff}",
    "\u{fffd}\u{ffff}",
    "😀",
    "\u{10000}\u{10ffff}",
    "a\u{301}",
    "#!/bin/bash\nset -e\n",
    "&&",
    "{\"a\": 1}",
    "-",
    "x",
];

fn text(dice: &mut Dice) -> String {
    (0..dice.below(5)).map(|_| dice.pick(PIECES)).collect()
}

/// JSON text of a string, some of its characters escaped though they need not be.
fn quoted(dice: &mut Dice, content: &str) -> String {
    let mut json = String::from('"');
    for character in content.chars() {
        let must = character < ' ' || character == '"' || character == '\\';
        if must || dice.one_in(8) {
            let mut units = [0; 2];
            for unit in character.encode_utf16(&mut units) {
                write!(json, "\\u{unit:04X}").unwrap();
            }
        } else {
            json.push(character);
        }
    }
    json.push('"');
    json
}

fn digits(dice: &mut Dice, most: u64) -> String {
    (0..=dice.below(most))
        .map(|_| char::from(b'0' + u8::try_from(dice.below(10)).unwrap()))
        .collect()
}

/// JSON text of a number that is below every float's end.
fn number(dice: &mut Dice) -> String {
    const EDGES: &[&str] = &[
        "0",
        "-0",
        "-0.0",
        "0e5",
        "1e21",
        "1E-7",
        "0.000001",
        "1.50",
        "2.0",
        "9007199254740993",
        "-9007199254740993",
        "18446744073709551615",
        "18446744073709551616",
        "-9223372036854775808",
        "-9223372036854775809",
        "5e-324",
        "2.4703282292062327e-324",
        "1.7976931348623157e308",
        "1e-400",
        "123456789012345680000",
        "999999999999999999999",
        "0.1",
        "0.30000000000000004",
        "4.35",
        "1.1e1",
    ];
    if dice.one_in(3) {
        return dice.pick(EDGES).to_owned();
    }
    let sign = dice.pick(&["", "-"]);
    let long = digits(dice, 25);
    let whole = match long.trim_start_matches('0') {
        "" => "0",
        whole => whole,
    };
    let fraction = if dice.one_in(2) {
        format!(".{}", digits(dice, 20))
    } else {
        String::new()
    };
    let exponent = match dice.below(4) {
        0 => format!("{}{}", dice.pick(&["e", "E", "e+", "E-", "e-"]), dice.below(280)),
        _ => String::new(),
    };
    format!("{sign}{whole}{fraction}{exponent}")
}

fn value(dice: &mut Dice, depth: u64) -> String {
    match dice.below(if depth == 0 { 6 } else { 9 }) {
        0 => "null".to_owned(),
        1 => dice.pick(&["true", "false"]).to_owned(),
        2 | 3 => number(dice),
        4 | 5 => {
            let content = text(dice);
            quoted(dice, &content)
        }
        6 => {
            let items: Vec<String> = (0..dice.below(5)).map(|_| value(dice, depth - 1)).collect();
            format!("[{}]", items.join(dice.pick(&[",", ", ", " ,\t"])))
        }
        _ => {
            let members = members(dice, depth);
            object(dice, members)
        }
    }
}

/// Keys that differ, with their values.
fn members(dice: &mut Dice, depth: u64) -> Vec<(String, String)> {
    let mut keys = BTreeSet::new();
    let count = dice.below(7);
    (0..count)
        .map(|_| {
            if dice.one_in(4) {
                text(dice)
            } else {
                dice.pick(KEYS).to_owned()
            }
        })
        .filter(|key| keys.insert(key.clone()))
        .collect::<Vec<_>>()
        .into_iter()
        .map(|key| (key, value(dice, depth.saturating_sub(1))))
        .collect()
}

fn object(dice: &mut Dice, mut members: Vec<(String, String)>) -> String {
    for index in (1..members.len()).rev() {
        let other = usize::try_from(dice.below(index as u64 + 1)).unwrap();
        members.swap(index, other);
    }
    let members: Vec<String> = members
        .into_iter()
        .map(|(key, value)| format!("{}{}{value}", quoted(dice, &key), dice.pick(&[":", ": ", " :\t"])))
        .collect();
    format!("{{{}}}", members.join(dice.pick(&[",", ", "])))
}

/// Fields that Phala Cloud knows, mostly of the types that the SDK's schema asks for, and others of any kind.
fn manifest(dice: &mut Dice) -> String {
    let mut all = Vec::new();
    let add = |all: &mut Vec<(String, String)>, key: &str, value: String| {
        all.retain(|(name, _)| name != key);
        all.push((key.to_owned(), value));
    };
    for (key, value) in members(dice, 4) {
        add(&mut all, &key, value);
    }
    for key in ["docker_compose_file", "pre_launch_script", "name", "bash_script"] {
        if key == "docker_compose_file" || dice.one_in(2) {
            let content = text(dice);
            let value = quoted(dice, &content);
            add(&mut all, key, value);
        }
    }
    if !dice.one_in(8) {
        let runner = dice.pick(&[
            "\"docker-compose\"",
            "\"docker-compose\"",
            "\"bash\"",
            "\"nerdctl-compose\"",
        ]);
        add(&mut all, "runner", runner.to_owned());
    }
    for key in [
        "public_logs",
        "public_sysinfo",
        "kms_enabled",
        "tproxy_enabled",
        "no_instance_id",
    ] {
        if dice.one_in(2) {
            add(&mut all, key, dice.pick(&["true", "false"]).to_owned());
        }
    }
    if dice.one_in(2) {
        let names: Vec<String> = (0..dice.below(4)).map(|_| quoted(dice, "NAME_é")).collect();
        add(&mut all, "allowed_envs", format!("[{}]", names.join(",")));
    }
    if dice.one_in(2) {
        let version = number(dice);
        add(&mut all, "manifest_version", version);
    }
    if dice.one_in(8) {
        let odd = value(dice, 2);
        let key = dice.pick(&[
            "pre_launch_script",
            "runner",
            "bash_script",
            "docker_compose_file",
            "salt",
            "storage_fs",
        ]);
        add(&mut all, key, odd);
    }
    object(dice, all)
}

fn official(lines: &[String]) -> Vec<(String, String)> {
    let mut node = Command::new("node")
        .args(["--input-type=module", "--eval", OFFICIAL])
        .current_dir(support::packages().parent().unwrap())
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .expect("node runs the official SDK");
    let mut input = node.stdin.take().unwrap();
    let text = lines.join("\n") + "\n";
    let writer = std::thread::spawn(move || input.write_all(text.as_bytes()));
    let output = node.wait_with_output().unwrap();
    writer.join().unwrap().unwrap();
    assert!(output.status.success());
    let answers = String::from_utf8(output.stdout).unwrap();
    answers
        .lines()
        .map(|line| line.split_once(' ').unwrap())
        .map(|(sorted, legacy)| (sorted.to_owned(), legacy.to_owned()))
        .collect()
}

#[test]
fn v1_generated_manifests_hash_as_the_official_sdk_hashes_them() {
    let mut dice = Dice(0x00c0_ffee);
    let lines: Vec<String> = (0..MANIFESTS).map(|_| manifest(&mut dice)).collect();
    let theirs = official(&lines);
    assert_eq!(theirs.len(), lines.len());
    let (mut legacy_compared, mut different) = (0, BTreeSet::new());
    for (line, (sorted, legacy)) in lines.iter().zip(theirs) {
        let ours = Manifest::parse(line.as_bytes()).unwrap_or_else(|error| panic!("{error:?}: {line}"));
        assert_eq!(ours.hash(Form::Sorted).bare(), sorted, "form A of {line}");
        if legacy != "-" {
            assert_eq!(ours.hash(Form::LegacyPretty).bare(), legacy, "form B of {line}");
            legacy_compared += 1;
        }
        different.insert(sorted);
    }
    assert!(
        legacy_compared > MANIFESTS / 2,
        "form B was compared {legacy_compared} times only"
    );
    assert!(
        different.len() as u64 > MANIFESTS * 9 / 10,
        "{} manifests differ",
        different.len()
    );
}
