//! `import` and `export` of the real binary: signatures that others made, with their tools, and files that are none.

use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};

use alloy::primitives::{Address, Bytes, U256, hex, uint};
use alloy::signers::SignerSync;
use alloy::signers::local::PrivateKeySigner;
use countersign::safe::{
    OwnerSignature, SafeDomain, SafeTx, SafeTxFields, collect::SignatureFile, version::SafeVersion,
};
use countersign::upgrade::model::Proposal;
use serde_json::{Value, json};

use crate::harness::flow::{Flow, Ran};
use crate::support::{ACCOUNTS, SafeOptions, World, WorldOptions};

const ORDER: U256 = uint!(0xfffffffffffffffffffffffffffffffebaaedce6af48a03bbfd25e8cd0364141_U256);

fn world() -> World {
    World::with(WorldOptions {
        safe: Some(SafeOptions {
            release: 1,
            l2: true,
            threshold: 2,
            owners: 3,
        }),
        ..WorldOptions::default()
    })
}

/// Somebody with a copy of the proposal and files of their own; no journal, no key in the environment.
struct Desk<'f> {
    flow: &'f Flow<'f>,
    home: PathBuf,
}

impl<'f> Desk<'f> {
    fn new(flow: &'f Flow<'f>, name: &str) -> Self {
        let home = flow.world.folder().join(name);
        std::fs::create_dir_all(&home).unwrap();
        std::fs::copy(flow.dir.join("proposal.json"), home.join("proposal.json")).unwrap();
        Self { flow, home }
    }
    fn run(&self, arguments: &[&str]) -> Ran {
        let mut command = self.flow.command(arguments);
        command.arg("--json").current_dir(&self.home).env("HOME", &self.home);
        Ran::of(&mut command)
    }
    fn put(&self, name: &str, content: impl AsRef<[u8]>) {
        std::fs::write(self.home.join(name), content).unwrap();
    }
    fn import(&self, files: &[&str]) -> Ran {
        self.run(&[&["import"], files, &["--proposal", "proposal.json"]].concat())
    }
    fn proposal(&self) -> Vec<u8> {
        std::fs::read(self.home.join("proposal.json")).unwrap()
    }
    fn signed_by(&self) -> Vec<Address> {
        let proposal: Value = serde_json::from_slice(&self.proposal()).unwrap();
        let all = proposal["safe"]["signatures"].as_array().unwrap();
        all.iter()
            .map(|one| serde_json::from_value(one["owner"].clone()).unwrap())
            .collect()
    }
    fn tx(&self, rejects: bool) -> SafeTx {
        let proposal = Proposal::read(&self.home.join("proposal.json")).unwrap();
        proposal.ceremony().unwrap().unwrap().signed_tx(rejects).tx.clone()
    }
    /// Runs `import` of one file that has this content; the proposal has to stay as it is.
    #[track_caller]
    #[expect(clippy::too_many_arguments, reason = "one line for each case of a table")]
    fn refuses(&self, what: &str, content: impl AsRef<[u8]>, exit: i32, code: &str) -> Ran {
        let before = self.proposal();
        self.put("offer", content);
        let ran = self.import(&["offer"]);
        assert_eq!(ran.exit, exit, "{what}: {}", ran.said);
        let ran = ran.exits(exit).says(code);
        assert_eq!(self.proposal(), before, "{what}");
        ran
    }
}

fn key(number: usize) -> PrivateKeySigner {
    ACCOUNTS[number].key.parse().unwrap()
}

fn signed(number: usize, tx: &SafeTx) -> OwnerSignature {
    OwnerSignature::Eip712(key(number).sign_hash_sync(&tx.hash()).unwrap())
}

fn file(number: usize, tx: &SafeTx) -> Value {
    let file = SignatureFile::new(tx, ACCOUNTS[number].address, &signed(number, tx));
    serde_json::from_str(&file.to_json()).unwrap()
}

fn digits(number: usize, tx: &SafeTx) -> String {
    hex::encode_prefixed(signed(number, tx).to_bytes())
}

/// A list of a Safe Transaction Service that names these owners beside these signatures.
fn confirmations(all: &[(usize, &str)]) -> Vec<u8> {
    let all = all.iter();
    let all: Vec<Value> = all
        .map(|(owner, signature)| json!({"owner": ACCOUNTS[*owner].address.to_checksum(None), "signature": signature}))
        .collect();
    json!({"count": all.len(), "next": null, "results": all})
        .to_string()
        .into_bytes()
}

fn other(tx: &SafeTx, change: impl FnOnce(&mut SafeDomain, &mut SafeTxFields)) -> SafeTx {
    let (mut domain, mut fields) = (*tx.domain(), tx.fields().clone());
    change(&mut domain, &mut fields);
    SafeTx::accept(domain, fields, true).unwrap()
}

fn sorted(mut owners: Vec<Address>) -> Vec<Address> {
    owners.sort();
    owners
}

fn cast(home: &Path, number: usize, more: &[&str]) -> Vec<u8> {
    let output = std::process::Command::new("node")
        .arg(crate::support::packages().join("@foundry-rs/cast/bin.mjs"))
        .args(["wallet", "sign", "--data", "--from-file", "typed.json", "--private-key"])
        .arg(ACCOUNTS[number].key)
        .args(more)
        .current_dir(home)
        .env("HOME", home)
        .output()
        .unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    output.stdout
}

#[test]
fn bug_b21_one_signature_given_twice_is_one_and_what_is_none_is_told() {
    let world = world();
    let flow = Flow::new(&world);
    flow.step("prepare").exits(0);
    let desk = Desk::new(&flow, "desk");
    let tx = desk.tx(false);
    let line = digits(0, &tx);
    let mut marked = signed(0, &tx).to_bytes().to_vec();
    marked[64] += 4;
    let told = desk.refuses("B21 mark", hex::encode(&marked), 5, "SIGNATURE_REFUSED");
    assert!(told.said.contains("the mark of a message"), "{}", told.said);
    let batch = json!({"version": "1.0", "chainId": "31337", "meta": {}, "transactions": []});
    let told = desk.refuses("B21 batch", batch.to_string(), 3, "INPUT_SIGNATURES");
    assert!(told.said.contains("nonce of its own"), "{}", told.said);

    let bytes = signed(0, &tx).to_bytes();
    let parts = json!({"r": hex::encode(&bytes[..32]), "s": hex::encode(&bytes[32..64]), "v": bytes[64]});
    desk.put("twice.hex", format!("{line}\n{line}\n"));
    desk.put("parts.json", parts.to_string());
    let taken = desk.import(&["twice.hex", "parts.json"]).exits(0);
    assert!(
        taken.json["message"].as_str().unwrap().starts_with("1 signature for "),
        "{}",
        taken.said
    );
    let listed = taken.json["data"]["signatures"].as_array().unwrap();
    assert_eq!(listed.len(), 1, "{}", taken.said);
    assert_eq!(
        (&listed[0]["outcome"], &listed[0]["owner"]),
        (&json!("new"), &json!(ACCOUNTS[0].address))
    );
    assert_eq!(desk.signed_by(), [ACCOUNTS[0].address]);
}

#[test]
fn owners_sign_exported_files_with_cast_and_anybody_sends_the_exported_calldata() {
    let world = world();
    let flow = Flow::new(&world);
    flow.step("prepare").exits(0);
    let desk = Desk::new(&flow, "desk");
    let export = ["export", "proposal.json", "--format"];
    desk.run(&[&export[..], &["typed-data", "--out", "typed.json"]].concat())
        .exits(0);
    let early = desk.run(&[&export[..], &["calldata"]].concat()).exits(0);
    assert_eq!(early.json["data"]["call"], "inner");
    assert_eq!(early.json["data"]["signatures"], json!([]));
    let warning = early.json["warnings"].as_array().unwrap().last().unwrap();
    assert_eq!(warning["code"], "SAFE_SIGNATURES_MISSING", "{}", early.said);
    assert!(warning["text"].as_str().unwrap().starts_with("0 of 2 "), "{warning}");
    let mut aloud = flow.command(&["export", "proposal.json", "--format", "calldata"]);
    let aloud = aloud.current_dir(&desk.home).output().unwrap();
    assert!(String::from_utf8_lossy(&aloud.stderr).contains("SAFE_SIGNATURES_MISSING"));
    let early: Value = serde_json::from_str(early.json["data"]["content"].as_str().unwrap()).unwrap();
    assert_eq!(early["call"], "inner");
    assert_eq!(early, serde_json::from_slice::<Value>(&aloud.stdout).unwrap());

    desk.put("alice", cast(&desk.home, 0, &[]));
    desk.put("carol", cast(&desk.home, 2, &["-v", "--json"]));
    let first = desk.import(&["alice"]).exits(0);
    assert_eq!(first.json["data"]["signatures"][0]["outcome"], "new", "{}", first.said);
    assert_eq!(first.json["next"], "countersign review proposal.json");
    let second = desk.import(&["carol", "alice"]).exits(0);
    assert_eq!(second.json["data"]["signatures"][1]["outcome"], "same");
    assert_eq!(second.json["next"], "countersign execute proposal.json");
    assert_eq!(
        sorted(desk.signed_by()),
        sorted(vec![ACCOUNTS[0].address, ACCOUNTS[2].address])
    );

    let late = desk.run(&[&export[..], &["calldata"]].concat()).exits(0);
    assert_eq!(late.json["data"]["call"], "execTransaction");
    assert_eq!(late.json["data"]["signatures"].as_array().unwrap().len(), 2);
    let missing = |warning: &Value| warning["code"] == "SAFE_SIGNATURES_MISSING";
    assert!(
        !late.json["warnings"].as_array().unwrap().iter().any(missing),
        "{}",
        late.said
    );
    let late: Value = serde_json::from_str(late.json["data"]["content"].as_str().unwrap()).unwrap();
    assert_eq!(late["call"], "execTransaction");
    let to: Address = serde_json::from_value(late["to"].clone()).unwrap();
    let data: Bytes = serde_json::from_value(late["data"].clone()).unwrap();
    assert_eq!(Some(to), world.safe);
    let rpc = world.rpc();
    let receipt = rpc.mined(rpc.send(ACCOUNTS[4].address, Some(to), &data));
    assert_eq!(receipt["status"], "0x1");
    // Sent by a stranger, found by what it did.
    flow.with("resume", &[]).exits(0);
    flow.landed_once();
}

#[test]
fn every_format_is_the_same_bytes_on_stdout_and_in_a_file_each_time() {
    let world = world();
    let flow = Flow::new(&world);
    flow.step("prepare").exits(0);
    let desk = Desk::new(&flow, "desk");
    for format in [
        "builder-file",
        "builder-file-raw",
        "typed-data",
        "calldata",
        "eip712sign",
    ] {
        let export = ["export", "proposal.json", "--format", format];
        let written = desk.run(&[&export[..], &["--out", "out"]].concat()).exits(0);
        assert_eq!(written.json["data"]["file"], "out");
        let told = desk.run(&export).exits(0);
        let plain = desk.flow.command(&export).current_dir(&desk.home).output().unwrap();
        let file = std::fs::read(desk.home.join("out")).unwrap();
        assert_eq!(plain.stdout, file, "{format}");
        assert_eq!(told.json["data"]["content"].as_str().unwrap().as_bytes(), file);
        let of_builder = format.starts_with("builder");
        assert_eq!(
            told.said.contains("SAFE_NONCE_NOT_IN_FILE"),
            of_builder,
            "{}",
            told.said
        );
        let rejection = desk.run(&[&export[..], &["--reject"]].concat());
        assert_eq!(rejection.exit, if of_builder { 2 } else { 0 }, "{}", rejection.said);
    }
    desk.run(&["export", "proposal.json", "--format", "word"]).exits(2);
}

#[test]
fn proposals_that_went_to_two_people_come_together_again() {
    let world = world();
    let flow = Flow::new(&world);
    flow.step("prepare").exits(0);
    for (name, number) in [("alice", 0), ("bob", 1)] {
        let desk = Desk::new(&flow, name);
        let signer = format!("env:SIGNER_{number}");
        desk.run(&["sign", "proposal.json", "--signer", &signer, "--yes"])
            .exits(0);
    }
    let desk = Desk::new(&flow, "desk");
    let untouched = desk.import(&["../upgrade/proposal.json"]).exits(3);
    assert!(untouched.said.contains("holds no signature"), "{}", untouched.said);
    desk.import(&["../alice/proposal.json", "../bob/proposal.json"])
        .exits(0);
    assert_eq!(
        sorted(desk.signed_by()),
        sorted(vec![ACCOUNTS[0].address, ACCOUNTS[1].address])
    );
    // Into the upgrade itself, which keeps a journal.
    let dir = flow.dir.to_str().unwrap();
    let ran = desk.run(&["import", "proposal.json", "--dir", dir]).exits(0);
    assert_eq!(ran.fact("signed_by").as_array().unwrap().len(), 2, "{}", ran.said);
    flow.with("wait", &["--timeout", "1s"])
        .exits(8)
        .says("PENDING_EXECUTION");
    // Once more changes nothing, and writes nothing.
    let again = desk.run(&["import", "proposal.json", "--dir", dir]).exits(0);
    let records = ran.fact("journal_records");
    assert!(records.is_u64());
    assert_eq!(again.fact("journal_records"), records);
}

#[test]
fn a_signature_of_the_rejection_is_not_taken_for_one_of_the_upgrade() {
    let world = world();
    let flow = Flow::new(&world);
    flow.step("prepare").exits(0);
    let desk = Desk::new(&flow, "desk");
    desk.put("no", digits(0, &desk.tx(true)));
    let ran = desk.import(&["no"]).exits(0);
    assert_eq!(ran.json["data"]["signatures"][0]["rejects"], true, "{}", ran.said);
    assert!(desk.signed_by().is_empty());
    let proposal: Value = serde_json::from_slice(&desk.proposal()).unwrap();
    assert_eq!(proposal["safe"]["rejection"]["signatures"].as_array().unwrap().len(), 1);
}

#[test]
#[expect(clippy::too_many_lines, reason = "a table of cases")]
fn i1_to_i11_i17_malformed_files_are_refused_with_3_and_nothing_changes() {
    let world = world();
    let flow = Flow::new(&world);
    flow.step("prepare").exits(0);
    let desk = Desk::new(&flow, "desk");
    let tx = desk.tx(false);
    let honest = file(0, &tx);
    let line = digits(0, &tx);
    let edited = |key: &str, value: Value| {
        let mut file = honest.clone();
        file[key] = value;
        file.to_string()
    };
    let wide: Vec<u8> = line.encode_utf16().flat_map(u16::to_le_bytes).collect();
    let code = "INPUT_SIGNATURES";
    for (what, content) in [
        ("I1 empty", Vec::new()),
        ("I1 blank", b" \r\n".to_vec()),
        ("I2 too long", format!("{line}\n").repeat(1_000).into_bytes()),
        ("I3 UTF-16", [&[0xff, 0xfe], &wide[..]].concat()),
        ("I5 deep", format!("{}{}", "[".repeat(40), "]".repeat(40)).into_bytes()),
        (
            "I6 double",
            honest.to_string().replacen('{', "{\"nonce\":\"1\",", 1).into_bytes(),
        ),
        ("I7 unknown", edited("more", json!("x")).into_bytes()),
        (
            "I8 version",
            edited("schema", json!("countersign.signature/9")).into_bytes(),
        ),
        ("I9 number", edited("chainId", json!(31337)).into_bytes()),
        (
            "I9 too large",
            edited("chainId", json!("18446744073709551616")).into_bytes(),
        ),
        (
            "I9 not finite",
            edited("nonce", json!(0)).replace(":0,", ":1e999,").into_bytes(),
        ),
        ("I10 odd digits", line.as_bytes()[..line.len() - 1].to_vec()),
        (
            "I10 no prefix",
            edited("signature", json!(line.trim_start_matches("0x"))).into_bytes(),
        ),
        ("I10 short hash", edited("safeTxHash", json!("0x12")).into_bytes()),
        (
            "I11 checksum",
            edited("owner", json!("0xF39Fd6e51aad88F6F4ce6aB8827279cffFb92266")).into_bytes(),
        ),
        ("I15 64 bytes", line.as_bytes()[..130].to_vec()),
        ("I15 66 bytes", format!("{line}00").into_bytes()),
        ("no signature", b"hello".to_vec()),
        ("two owners", confirmations(&[(0, &line), (1, &line)])),
        (
            "two signatures",
            confirmations(&[(1, &digits(1, &tx)), (0, &line), (0, &digits(2, &tx))]),
        ),
    ] {
        desk.refuses(what, content, 3, code);
    }
    let signature = signed(0, &tx).to_bytes();
    let high = (ORDER - U256::from_be_slice(&signature[32..64])).to_be_bytes::<32>();
    for (what, range, with) in [
        ("I15 r zero", 0..32, vec![0; 32]),
        ("I15 s zero", 32..64, vec![0; 32]),
        ("I15 v other", 64..65, vec![35]),
    ] {
        let mut bytes = signature.to_vec();
        bytes[range].copy_from_slice(&with);
        desk.refuses(what, hex::encode(bytes), 3, code);
    }
    // With the upper s and the parity of the lower one it is nobody's who owns the Safe.
    let mut bytes = signature.to_vec();
    bytes[32..64].copy_from_slice(&high);
    desk.refuses("I15 s high", hex::encode(bytes), 5, "SIGNATURE_REFUSED");

    let before = desk.proposal();
    let fifo = desk.home.join("fifo");
    rustix::fs::mknodat(
        rustix::fs::CWD,
        &fifo,
        rustix::fs::FileType::Fifo,
        rustix::fs::Mode::RUSR | rustix::fs::Mode::WUSR,
        0,
    )
    .unwrap();
    symlink("/dev/zero", desk.home.join("zero")).unwrap();
    symlink("nowhere", desk.home.join("dangling")).unwrap();
    std::fs::create_dir(desk.home.join("folder")).unwrap();
    desk.put("huge", vec![b'a'; 3 << 20]);
    for name in ["fifo", "zero", "dangling", "folder", "huge", "missing"] {
        desk.import(&[name]).exits(3).says("INPUT_FILE");
    }
    // One malformed file keeps the others out as well.
    desk.put("good", &line);
    desk.put("bad", "hello");
    desk.import(&["good", "bad"]).exits(3);
    assert_eq!(desk.proposal(), before);

    // I4: what does not change the hash is no fault.
    desk.put(
        "crlf",
        format!("\u{feff}{}\r\n", honest.to_string().replace(',', ",\r\n")),
    );
    desk.import(&["crlf"]).exits(0);
    assert_eq!(desk.signed_by(), [ACCOUNTS[0].address]);
}

#[test]
#[expect(clippy::too_many_lines, reason = "a table of cases")]
fn i12_to_i18_m11_m26_what_was_signed_for_something_else_is_refused_with_5_and_named() {
    let world = world();
    let flow = Flow::new(&world);
    flow.step("prepare").exits(0);
    let desk = Desk::new(&flow, "desk");
    let tx = desk.tx(false);
    let code = "SIGNATURE_REFUSED";
    let chain = other(&tx, |domain, _| domain.chain_id = 8453);
    let nonce = other(&tx, |_, fields| fields.nonce += U256::from(1));
    let safe = other(&tx, |domain, _| domain.safe = ACCOUNTS[4].address);
    let version = other(&tx, |domain, _| domain.version = SafeVersion::new(1, 2, 0));
    for (what, content, says) in [
        ("M26", digits(0, &chain), "signed it for chain 8453"),
        ("M11 nonce", digits(0, &nonce), "signed it for nonce 1"),
        ("M11 version", digits(0, &version), "as a Safe of version 1.2.0"),
        ("M11 Safe", digits(0, &safe), "no owner of the Safe"),
        ("V15 stranger", digits(4, &tx), "no owner of the Safe"),
        (
            "I12 chain",
            file(0, &chain).to_string(),
            "the chain id is 8453, but here it is 31337",
        ),
        (
            "I12 nonce",
            file(0, &nonce).to_string(),
            "the nonce is 1, but here it is 0",
        ),
        ("I12 Safe", file(0, &safe).to_string(), "the Safe is"),
        (
            "I13",
            {
                let mut file = file(0, &tx);
                file["safeTxHash"] = json!(nonce.hash());
                file.to_string()
            },
            "the safeTxHash is",
        ),
        (
            "another owner",
            {
                let mut file = file(0, &tx);
                file["owner"] = json!(ACCOUNTS[1].address.to_checksum(None));
                file.to_string()
            },
            "the signer is",
        ),
    ] {
        let ran = desk.refuses(what, content, 5, code);
        assert!(ran.said.contains(says), "{what}: {}", ran.said);
    }

    // I14: a file's own words are passed over; I18: names are shown harmlessly.
    let service = json!({
        "safeTxHash": tx.hash(),
        "dataDecoded": {"method": "everything is fine"},
        "confirmations": [{"owner": ACCOUNTS[0].address.to_checksum(None), "signature": digits(0, &tx)}],
    });
    let name = "al\u{202e}ice\u{1b}[2J";
    desk.put(name, service.to_string());
    let mut command = flow.command(&["import", name, "--proposal", "proposal.json"]);
    let output = command
        .current_dir(&desk.home)
        .env("HOME", &desk.home)
        .output()
        .unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let said = String::from_utf8([output.stdout, output.stderr].concat()).unwrap();
    assert!(!said.contains('\u{202e}') && !said.contains('\u{1b}'), "{said}");
    assert!(!said.contains("everything is fine"));

    // I16: a second signature of the same owner changes nothing; what counts is kept where another does not.
    let message = key(0).sign_message_sync(tx.hash().as_slice()).unwrap();
    desk.put("again", hex::encode(message.as_bytes()));
    let ran = desk.import(&["again"]).exits(0);
    assert_eq!(ran.json["data"]["signatures"][0]["outcome"], "kept", "{}", ran.said);
    desk.put("both", format!("{}\n{}\n", digits(4, &tx), digits(1, &tx)));
    let ran = desk.import(&["both"]).exits(5).says(code);
    assert!(ran.said.contains("1 of 2 signatures"), "{}", ran.said);
    assert_eq!(
        sorted(desk.signed_by()),
        sorted(vec![ACCOUNTS[0].address, ACCOUNTS[1].address])
    );
}
