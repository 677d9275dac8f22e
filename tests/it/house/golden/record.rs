//! Runs the commands of a flow, and compares what came of them with its files.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::path::{Path, PathBuf};

use alloy::primitives::{Address, B256, keccak256};
use serde_json::Value;
use sha2::{Digest, Sha256};

use super::clean::{Names, readable};
use crate::harness::flow::{Flow, Ran};
use crate::support::cloud::Request;
use crate::support::command::{run, shown};
use crate::support::{ACCOUNTS, Action, FaultProxy, Match, Nth, SafeService, World, repository};

/// Headers that change what a request means.
const HEADERS: [&str; 4] = [
    "x-phala-version",
    "x-prepare-only",
    "x-compose-hash",
    "x-transaction-hash",
];
/// Headers that carry a key: only that they are there.
const KEYS: [&str; 2] = ["x-api-key", "authorization"];

/// A flow whose records are kept.
pub struct Golden<'w> {
    /// The upgrade.
    pub flow: Flow<'w>,
    /// The Safe Transaction Service, where the flow has one.
    pub service: Option<SafeService>,
    name: &'static str,
    chain: FaultProxy,
    pieces: RefCell<Vec<Piece>>,
    /// Files that were there before.
    given: Vec<PathBuf>,
    probed: Option<(Address, Address)>,
}

/// What is added to a file.
struct Piece {
    file: &'static str,
    text: String,
    /// It is JSON, and may be long.
    json: bool,
}

impl<'w> Golden<'w> {
    /// The flow of this name; what was asked before is not part of it.
    pub fn of(name: &'static str, world: &'w World) -> Self {
        let chain = FaultProxy::to(&world.anvil.url());
        let send = Match::Rpc("eth_sendRawTransaction");
        chain.on(send, Nth::Every, Action::AnswerWhenMined);
        let flow = Flow::new(world).chain_at(&chain.url());
        world.cloud.forget_requests();
        Self {
            flow,
            service: None,
            name,
            chain,
            pieces: RefCell::default(),
            given: files(world.folder()),
            probed: None,
        }
    }
    /// Runs a command in the world's folder with `--json`; `words` are split at spaces.
    pub fn json(&self, words: &str, code: i32) -> Ran {
        self.run(words, &["--json"], code).exits(code)
    }
    /// Runs a command as a person does.
    pub fn page(&self, words: &str, code: i32) {
        let ran = self.run(words, &[], code);
        assert_eq!(ran.exit, code, "{words}: {}", ran.said);
    }
    fn run(&self, words: &str, more: &[&str], code: i32) -> Ran {
        let all: Vec<&str> = words.split(' ').chain(more.iter().copied()).collect();
        let output = run(&mut self.flow.command(&all));
        let exit = output.status.code().unwrap_or(-1);
        let heading = format!("$ countersign {}\n", all.join(" "));
        self.add("said.txt", &format!("{heading}exit {exit}\n"));
        for (name, said) in [("stdout", &output.stdout), ("stderr", &output.stderr)] {
            if !said.is_empty() {
                self.add("said.txt", &format!("-- {name}\n"));
                let text = String::from_utf8_lossy(said).into_owned();
                self.piece("said.txt", (text, name == "stdout"));
            }
        }
        self.add("said.txt", "\n");
        self.requests(&heading);
        let ran = Ran {
            exit,
            json: serde_json::from_slice(&output.stdout).unwrap_or(Value::Null),
            said: shown(&output),
        };
        assert_eq!(exit, code, "{words}: {}", ran.said);
        ran
    }
    /// `owner` is a contract that is asked on behalf of `safe` about signatures that nobody made.
    pub fn is_probed(&mut self, owner: Address, safe: Address) {
        self.probed = Some((owner, safe));
    }
    fn add(&self, file: &'static str, text: &str) {
        self.piece(file, (text.to_owned(), false));
    }
    fn piece(&self, file: &'static str, (text, json): (String, bool)) {
        self.pieces.borrow_mut().push(Piece { file, text, json });
    }
    /// Takes down what was asked since the last time.
    fn requests(&self, heading: &str) {
        let cloud = self.flow.world.cloud.requests();
        self.flow.world.cloud.forget_requests();
        let service = self.service.as_ref().map(SafeService::take_requests);
        let chain = self.chain.seen();
        self.chain.forget();
        let of = |all: &[Request]| ordered(all).iter().map(|one| request(one)).collect();
        let groups: [(_, Vec<String>); 3] = [
            ("cloud.txt", of(&cloud)),
            ("service.txt", of(&service.unwrap_or_default())),
            (
                "chain.txt",
                readings(chain.iter().map(|seen| calls(&seen.calls)).collect()),
            ),
        ];
        for (file, lines) in groups {
            if !lines.is_empty() {
                self.add(file, &format!("{heading}{}\n", lines.concat()));
            }
        }
    }
    /// Compares everything with the flow's files, or writes them.
    pub fn compare(self) {
        let kept = self.kept();
        let names = self.names(&kept);
        let mut found: BTreeMap<String, String> = BTreeMap::new();
        for (name, text) in &kept {
            let text = match name.ends_with("evidence.json") {
                true => &without_times(text),
                false => text,
            };
            found.insert(format!("kept/{}", names.clean(name)), shortened(&names.clean(text)));
        }
        for Piece { file, text, json } in self.pieces.borrow().iter() {
            let mut text = shortened(&without_probes(&names.clean(text)));
            if *file == "chain.txt" {
                text = with_addresses(self.flow.world, &text);
            }
            let text = if *json { readable(&text) } else { text };
            found.entry((*file).to_owned()).or_default().push_str(&text);
        }
        let home = repository().join("tests/golden").join(self.name);
        if std::env::var_os("GOLDEN").is_some_and(|value| value == "overwrite") {
            write(&home, &found);
        }
        same(&home, &found);
    }
    /// Every file that the flow made; of locks, which name a process, and keys only that
    /// they are there.
    fn kept(&self) -> Vec<(String, String)> {
        let folder = self.flow.world.folder();
        let made = files(folder).into_iter().filter(|path| !self.given.contains(path));
        let read = |path: PathBuf| {
            // Not hidden, so that no `.gitignore` of a flow is one here.
            let name = path.strip_prefix(folder).unwrap().to_str().unwrap();
            let name = name.replace("/.", "/dot.");
            let name = name
                .strip_prefix('.')
                .map_or(name.clone(), |rest| format!("dot.{rest}"));
            let text = match path.extension().is_some_and(|end| end == "lock" || end == "key") {
                true => String::new(),
                false => String::from_utf8_lossy(&std::fs::read(&path).unwrap()).into_owned(),
            };
            (name, text)
        };
        made.map(read).collect()
    }
    /// Names for everything that varies.
    fn names(&self, kept: &[(String, String)]) -> Names {
        let world = self.flow.world;
        let mut names = Names::default();
        let host = |url: &str| url.split('/').nth(2).unwrap_or_default().to_owned();
        names.call(host(&self.chain.url()), "$CHAIN");
        names.call(host(&world.cloud.prefix()), "$CLOUD");
        if let Some(service) = &self.service {
            names.call(host(&service.url()), "$SERVICE");
        }
        names.call(world.folder().to_str().unwrap(), "$FOLDER");
        let rpc = world.rpc();
        for number in 0..=rpc.height() {
            let block = rpc.call(
                "eth_getBlockByNumber",
                serde_json::json!([format!("0x{number:x}"), false]),
            );
            let hash = block["hash"].as_str().unwrap();
            names.call(hash, format!("<block {number}>"));
            names.call(hash.trim_start_matches("0x"), format!("<block {number}>"));
            if let Some((owner, safe)) = self.probed {
                let hash: B256 = hash.parse().unwrap();
                let probe = keccak256([owner.as_slice(), safe.as_slice(), hash.as_slice()].concat());
                names.call(hex::encode(probe), format!("<probe {number}>"));
            }
        }
        for (index, token) in world.cloud.tokens().iter().enumerate() {
            let sum = hex::encode(Sha256::digest(token.text.as_bytes()));
            names.call(&token.text, format!("<token {}>", index + 1));
            names.call(sum, format!("<sum of token {}>", index + 1));
        }
        let journals = kept.iter().filter(|(name, _)| name.ends_with("journal"));
        numbered(journals.map(|(_, text)| text), ("\"update\":\"", "update"), &mut names);
        let pieces = self.pieces.borrow();
        let asked = pieces.iter().filter(|piece| piece.file == "cloud.txt");
        let sealed = numbered(
            asked.map(|piece| &piece.text),
            ("\"encrypted_env\":\"", "sealed"),
            &mut names,
        );
        if sealed > 0 {
            // The request whose digest is recorded holds the sealed bytes.
            let journals = kept.iter().filter(|(name, _)| name.ends_with("journal"));
            let records = journals.flat_map(|(_, text)| text.lines());
            let asked = records
                .filter(|record| record.contains("\"kind\":\"prepare.try\""))
                .map(str::to_owned);
            let asked: Vec<String> = asked.collect();
            numbered(asked.iter(), ("\"digest\":\"", "digest"), &mut names);
        }
        names
    }
}

/// Numbers texts that follow a label in the order in which they come; what is in hex digits, with its SHA-256.
fn numbered<'t>(texts: impl Iterator<Item = &'t String>, (label, name): (&str, &str), names: &mut Names) -> usize {
    let mut count = 0;
    for rest in texts.flat_map(|text| text.split(label).skip(1)) {
        let Some((value, _)) = rest.split_once('"') else {
            continue;
        };
        count += usize::from(names.call(value, format!("<{name} {}>", count + 1)));
        let sum = hex::encode(Sha256::digest(value.as_bytes()));
        names.call(sum, format!("<sum of {name} {count}>"));
    }
    count
}

/// Requests in an order that does not depend on the machine: reads between two writes are made at once or until something
/// has happened, so they are sorted; after a write that was taken, each stands there once.
fn ordered(requests: &[Request]) -> Vec<&Request> {
    let is_read = |request: &Request| request.method == "GET";
    let mut all = Vec::new();
    let mut written = false;
    for group in requests.chunk_by(|one, other| is_read(one) == is_read(other)) {
        let mut group: Vec<&Request> = group.iter().collect();
        if is_read(group[0]) {
            group.sort_by(|one, other| (&one.path, &one.query).cmp(&(&other.path, &other.query)));
            if written {
                group.dedup_by(|one, other| (&one.path, &one.query) == (&other.path, &other.query));
            }
        } else {
            written |= group.iter().any(|request| request.status < 300);
        }
        all.extend(group);
    }
    all
}

/// A request in one or two lines.
fn request(request: &Request) -> String {
    let mut line = format!("{} {}", request.method, request.path);
    if !request.query.is_empty() {
        write!(line, "?{}", request.query).unwrap();
    }
    write!(line, " -> {}", request.status).unwrap();
    for name in HEADERS {
        if let Some(value) = request.header(name) {
            write!(line, " {name}: {value}").unwrap();
        }
    }
    if KEYS.iter().any(|name| request.header(name).is_some()) {
        line.push_str(" with a key");
    }
    if !request.body.is_empty() {
        write!(line, "\n  {}", String::from_utf8_lossy(&request.body)).unwrap();
    }
    line.push('\n');
    line
}

/// The calls of one request, a line each.
fn calls(calls: &[Value]) -> String {
    let mut text = String::new();
    for (index, call) in calls.iter().enumerate() {
        let mark = if index == 0 { '>' } else { ' ' };
        write!(text, "{mark} {}", call["method"].as_str().unwrap_or_default()).unwrap();
        for value in call["params"].as_array().into_iter().flatten() {
            write!(text, " {}", param(value)).unwrap();
        }
        text.push('\n');
    }
    text
}

/// A parameter: a block as `@hash`, a call as its target, its data and what else it says.
fn param(value: &Value) -> String {
    let text = |name: &str| value[name].as_str().unwrap_or_default();
    let Some(members) = value.as_object() else {
        return value.as_str().map_or_else(|| value.to_string(), str::to_owned);
    };
    if members.contains_key("blockHash") && value["requireCanonical"] == true && members.len() == 2 {
        return format!("@{}", text("blockHash"));
    }
    if !members.contains_key("data") {
        return value.to_string();
    }
    let more = members
        .iter()
        .filter(|(name, _)| !["to", "data"].contains(&name.as_str()));
    let more: String = more.map(|(name, value)| format!(" {name}={}", param(value))).collect();
    format!("{} {}{more}", text("to"), text("data"))
}

/// Targets and senders have names where requests are listed.
fn with_addresses(world: &World, text: &str) -> String {
    let accounts = ACCOUNTS.iter().enumerate();
    let accounts = accounts.map(|(index, account)| (account.address, format!("account-{index}")));
    let known = [(world.app, "app".to_owned()), (world.kms, "kms".to_owned())];
    let safe = world.safe.map(|safe| (safe, "safe".to_owned()));
    accounts
        .chain(known)
        .chain(safe)
        .fold(text.to_owned(), |text, (address, name)| {
            text.replace(&format!("0x{}", hex::encode(address)), &name)
        })
}

/// What is asked about a probe depends on it, and is cut behind it.
fn without_probes(text: &str) -> String {
    let mut parts = text.split("<probe ");
    let mut out = parts.next().unwrap_or_default().to_owned();
    for part in parts {
        let (number, rest) = part.split_once('>').unwrap_or((part, ""));
        let rest = rest.trim_start_matches(|c: char| c.is_ascii_hexdigit());
        write!(out, "<probe {number}>…{rest}").unwrap();
    }
    out
}

/// Requests to the chain in an order that does not depend on the machine: what is read between two transactions is sorted,
/// since much of it is asked for at once. A look for a transaction stands there once, however often it was repeated, whether
/// or not it came before the block, which it then asks whether another transaction took the nonce.
fn readings(mut requests: Vec<String>) -> Vec<String> {
    let sends = |text: &String| text.contains("eth_sendRawTransaction");
    let looks = |text: &String| text.contains("eth_getTransactionReceipt") && text.contains("eth_getTransactionByHash");
    let mut kept: Vec<String> = Vec::new();
    for part in requests.chunk_by_mut(|one, next| !sends(one) && !sends(next)) {
        part.sort();
        let is_look = part.iter().any(looks);
        let of_nonce = |text: &&String| text.starts_with("> eth_getTransactionCount");
        for text in part.iter().filter(|text| !(is_look && of_nonce(text))) {
            if !looks(text) || kept.last() != Some(text) {
                kept.push(text.clone());
            }
        }
    }
    kept
}

/// Evidence without what follows from the time of a block or of a record: headers, the tries below them, sums of files.
fn without_times(text: &str) -> String {
    const TIMED: [&str; 3] = ["\"header\": \"", "\"proposal_sha256\": \"", "\"journal_head\": \""];
    let mut is_node = false;
    let mut out = String::with_capacity(text.len());
    for line in text.lines() {
        is_node &= !line.trim_start().starts_with(']');
        if is_node {
            continue;
        }
        is_node = line.ends_with("\"nodes\": [");
        let timed = TIMED.iter().find_map(|label| {
            let (before, value) = line.split_once(label)?;
            let (_, after) = value.split_once('"')?;
            Some(format!("{before}{label}…\"{after}"))
        });
        writeln!(out, "{}", timed.as_deref().unwrap_or(line)).unwrap();
    }
    out
}

/// Long runs of hex digits are cut in the middle, and carry their SHA-256.
fn shortened(text: &str) -> String {
    const LONG: usize = 2 * (4 + 2 * 32);
    let mut out = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(begin) = rest.find(|c: char| c.is_ascii_hexdigit()) {
        let (before, from) = rest.split_at(begin);
        out.push_str(before);
        let end = from.find(|c: char| !c.is_ascii_hexdigit()).unwrap_or(from.len());
        let (run, after) = from.split_at(end);
        if run.len() > LONG {
            let sum = hex::encode(Sha256::digest(run.as_bytes()));
            let (head, sum) = (run.split_at(16).0, sum.split_at(8).0);
            write!(out, "{head}…[{} digits, {sum}]", run.len()).unwrap();
        } else {
            out.push_str(run);
        }
        rest = after;
    }
    out.push_str(rest);
    out
}

/// Every file below a folder.
fn files(folder: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for entry in std::fs::read_dir(folder).into_iter().flatten() {
        let path = entry.unwrap().path();
        match path.is_dir() {
            true => found.extend(files(&path)),
            false => found.push(path),
        }
    }
    found.sort();
    found
}

fn write(home: &Path, found: &BTreeMap<String, String>) {
    if home.exists() {
        std::fs::remove_dir_all(home).unwrap();
    }
    for (name, text) in found {
        let path = home.join(name);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, text).unwrap();
    }
}

#[track_caller]
fn same(home: &Path, found: &BTreeMap<String, String>) {
    let names: Vec<String> = files(home)
        .iter()
        .map(|path| path.strip_prefix(home).unwrap().to_str().unwrap().to_owned())
        .collect();
    let mut wrong = String::new();
    for name in names.iter().filter(|name| !found.contains_key(*name)) {
        writeln!(wrong, "{name} is not there any more").unwrap();
    }
    for (name, text) in found {
        let expected = std::fs::read_to_string(home.join(name)).unwrap_or_default();
        if *text != expected {
            writeln!(wrong, "{name}").unwrap();
            let diff = similar::TextDiff::from_lines(&expected, text);
            writeln!(wrong, "{}", diff.unified_diff().context_radius(1)).unwrap();
        }
    }
    assert!(
        wrong.is_empty(),
        "{}: not as it was; if that is meant, run this again with GOLDEN=overwrite\n{wrong}",
        home.display()
    );
}
