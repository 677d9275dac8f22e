//! A journal. Where its sums hold, its records are a beginning of those that were written; records whose sums somebody made
//! anew are refused or stand for one state, which opening the upgrade does not change.

use std::fs;
use std::path::PathBuf;

use countersign::upgrade::Upgrade;
use countersign::upgrade::model::Proposal;
use countersign_fuzz::{edits, repository, scratch};
use serde_json::Value;
use sha2::{Digest as _, Sha256};

use super::proposal::MADE;

const GENESIS: &str = "0000000000000000000000000000000000000000000000000000000000000000";

pub(crate) struct Target {
    dir: tempfile::TempDir,
    /// The journals that were written.
    written: Vec<Vec<u8>>,
    /// What each beginning of them comes to.
    states: Vec<String>,
}

impl Target {
    pub(crate) fn new() -> Self {
        let dir = scratch();
        let mut target = Self {
            written: Vec::new(),
            states: Vec::new(),
            dir,
        };
        for (number, path) in MADE.iter().enumerate() {
            let made = target.dir.path().join(format!("made-{number}"));
            let Ok(proposal) = Proposal::read(&repository().join(path)) else {
                continue;
            };
            if Upgrade::adopt(&made, proposal).is_ok() {
                target.written.push(fs::read(made.join("journal")).unwrap());
            }
        }
        assert!(!target.written.is_empty(), "no journal was written");
        for journal in target.written.clone() {
            let mut whole = Vec::new();
            for line in journal.split_inclusive(|byte| *byte == b'\n') {
                whole.extend_from_slice(line);
                target.states.extend(target.read(&whole));
            }
        }
        target
    }

    pub(crate) fn check(&self, input: &[u8]) {
        match input {
            [1, which, script @ ..] => {
                self.check_relinked(&self.written[usize::from(*which) % self.written.len()], script)
            }
            [2, which, script @ ..] => {
                let changed = spliced(&self.written[usize::from(*which) % self.written.len()], script);
                if let Some(state) = self.read(&changed) {
                    assert!(
                        self.states.contains(&state),
                        "a state that no beginning of the journal has"
                    );
                }
            }
            text => drop(self.read(text)),
        }
    }

    /// Records that somebody changed who can compute sums.
    fn check_relinked(&self, journal: &[u8], script: &[u8]) {
        let lines = journal.split(|byte| *byte == b'\n').filter(|line| !line.is_empty());
        let records: Vec<Value> = lines.map(|line| serde_json::from_slice(line).unwrap()).collect();
        let Value::Array(records) = edits::edited(Value::Array(records), script) else {
            return;
        };
        let (mut text, mut before) = (String::new(), GENESIS.to_owned());
        for (number, record) in records.iter().enumerate() {
            let covered = format!(
                r#"{{"seq":{},"prev":"{before}","kind":{},"body":{}"#,
                number + 1,
                record["kind"],
                record["body"]
            );
            before = Sha256::digest(covered.as_bytes())
                .iter()
                .map(|byte| format!("{byte:02x}"))
                .collect();
            text.push_str(&format!("{covered},\"sum\":\"{before}\"}}\n"));
        }
        let Some(state) = self.read(text.as_bytes()) else {
            return;
        };
        let opened = Upgrade::open(&self.place());
        if let Ok(opened) = opened {
            drop(opened);
            assert_eq!(told(&self.place()), Some(state), "opening changes what is known");
        }
    }

    fn place(&self) -> PathBuf {
        self.dir.path().join("upgrade")
    }

    fn read(&self, journal: &[u8]) -> Option<String> {
        let place = self.place();
        let _ = fs::remove_dir_all(&place);
        fs::create_dir(&place).unwrap();
        fs::write(place.join("journal"), journal).unwrap();
        told(&place)
    }
}

/// Everything that the records in a directory come to, as far as others see it.
fn told(place: &std::path::Path) -> Option<String> {
    let state = Upgrade::peek(place).ok()?;
    let proposal = Proposal::of(&state).map(|proposal| serde_json::to_string(&proposal).unwrap());
    let status = serde_json::to_string(&state.status()).unwrap();
    Some(format!("{:?} {proposal:?} {status}", state.next()))
}

/// Pieces of the text are taken out, doubled, or replaced.
fn spliced(text: &[u8], script: &[u8]) -> Vec<u8> {
    let mut text = text.to_vec();
    let mut rest = script;
    while let [what, high, low, length, more @ ..] = rest {
        rest = more;
        let at = usize::from(u16::from_be_bytes([*high, *low])) % text.len().max(1);
        let end = (at + usize::from(*length)).min(text.len());
        match what % 4 {
            0 => drop(text.drain(at..end)),
            1 => {
                let piece = text[at..end].to_vec();
                text.splice(at..at, piece);
            }
            2 => {
                let (piece, behind) = rest.split_at(rest.len().min(usize::from(*length)));
                text.splice(at..at, piece.iter().copied());
                rest = behind;
            }
            _ => text.truncate(at),
        }
    }
    text
}
