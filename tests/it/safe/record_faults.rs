//! The record of what an owner agreed to, where a run dies right after it or the disk does not take it: nobody agrees to anything
//! that is not on it, and what is on it holds.

use std::os::unix::process::ExitStatusExt as _;
use std::path::{Path, PathBuf};
use std::process::Command;

use crate::harness::flow::{Flow, Ran};
use crate::harness::judge::{can_trace, skipped};
use crate::support::command::{path_of, run, shown};
use crate::support::{ACCOUNTS, SafeOptions, World, WorldOptions};

/// The ways in which an owner agrees.
const WAYS: [&str; 3] = ["sign", "sign --on-chain", "execute"];

/// Two upgrades at one nonce of a Safe of two of three; the second owner signed the first of them.
struct Ground {
    world: World,
}

impl Ground {
    fn new() -> Self {
        let world = World::with(WorldOptions {
            safe: Some(SafeOptions {
                release: 1,
                l2: true,
                threshold: 2,
                owners: 3,
            }),
            ..WorldOptions::default()
        });
        Self { world }
    }
    fn prepared(&self, name: &str) -> Flow<'_> {
        let text = format!("services:\n  web:\n    image: nginx:{name}\n");
        let mut flow = Flow::new(&self.world);
        flow.dir = self.world.folder().join(name);
        flow.compose = self.world.file(&format!("{name}.yml"), &text);
        flow.hash = self.world.hash_with(&text);
        let same = [
            "--supersede",
            "--safe-nonce",
            "0",
            "--accept",
            "SAFE_NONCE_TAKEN_HERE=0",
        ];
        flow.with("prepare", &same).exits(0);
        flow
    }
    /// How many transactions the first owner sent.
    fn sent(&self) -> u64 {
        self.world.rpc().nonce(ACCOUNTS[0].address)
    }
}

fn command(flow: &Flow<'_>, words: &str, key: &str) -> Command {
    let file: PathBuf = flow.dir.join("proposal.json");
    let mut words: Vec<&str> = words.split(' ').collect();
    words.insert(1, file.to_str().unwrap());
    words.extend(["--signer", key, "--yes", "--json"]);
    flow.command(&words)
}

fn digest(flow: &Flow<'_>) -> String {
    let proposal = flow.json_file("proposal.json");
    proposal["safe"]["digests"]["safe_tx"].as_str().unwrap().to_owned()
}

#[test]
fn k_who_dies_between_the_record_and_the_agreement_agrees_to_nothing_else_and_can_go_on() {
    for way in WAYS {
        let ground = Ground::new();
        let (a, b) = (ground.prepared("a"), ground.prepared("b"));
        Ran::of(&mut command(&a, "sign", "env:SIGNER_1")).exits(0);
        let sent = ground.sent();
        let died = run(command(&a, way, "env:SIGNER_0").env("FAILPOINTS", "consents.d=return"));
        assert_eq!(died.status.signal(), Some(9), "{way}: {}", shown(&died));
        for other in ["sign", "sign --on-chain"] {
            let refused = Ran::of(&mut command(&b, other, "env:SIGNER_0"))
                .exits(6)
                .says("ALREADY_SIGNED");
            assert!(refused.said.contains(&digest(&a)), "{way}, {other}: {}", refused.said);
        }
        assert_eq!(ground.sent(), sent, "{way}");
        Ran::of(&mut command(&a, way, "env:SIGNER_0")).exits(0);
    }
}

/// The command, with a disk that does not take what is written to `path`.
fn without_room(inner: &Command, path: &Path) -> Command {
    let mut outer = Command::new(path_of("strace"));
    outer
        .args(["-f", "-qq", "-o", "/dev/null", "-P", path.to_str().unwrap()])
        .args(["-e", "trace=write", "-e", "inject=write:error=ENOSPC"])
        .arg(inner.get_program())
        .args(inner.get_args())
        .env_clear()
        .envs(inner.get_envs().filter_map(|(name, value)| Some((name, value?))))
        .current_dir(inner.get_current_dir().unwrap())
        .stdin(std::process::Stdio::null());
    outer
}

#[test]
fn d_where_the_record_cannot_be_written_nobody_agrees_in_any_way() {
    if !can_trace() {
        return skipped("a record that cannot be written", "no strace that changes calls");
    }
    for way in WAYS {
        let ground = Ground::new();
        let a = ground.prepared("a");
        Ran::of(&mut command(&a, "sign", "env:SIGNER_1")).exits(0);
        let (sent, before) = (ground.sent(), a.kinds());
        let state = ground.world.folder().join("state");
        let mut inner = command(&a, way, "env:SIGNER_0");
        inner.env("XDG_STATE_HOME", &state);
        let full = Ran::of(&mut without_room(&inner, &state.join("countersign/signed"))).exits(12);
        let full = full.says("STORAGE_FULL");
        assert_eq!(ground.sent(), sent, "{way}: {}", full.said);
        let after = a.kinds();
        for kind in ["safe.signature", "tx.signed"] {
            let count = |kinds: &[String]| kinds.iter().filter(|one| *one == kind).count();
            assert_eq!(count(&after), count(&before), "{way}, {kind}: {after:?}");
        }
        // With room again the same command goes on.
        Ran::of(&mut inner).exits(0);
    }
}
