//! A whole upgrade on this machine: a real EVM node with the contracts, a simulated Phala Cloud with a guest whose hardware
//! a test made, and the real binary doing each step, up to the proof at that hardware and to its evidence in a stranger's
//! hands; then the same with a guest that lies, and with a cloud that does. `make rehearsal` runs it, in a build that takes the
//! test's root in Intel's place; nothing leaves this machine, and nothing is left running.
#![allow(
    clippy::print_stdout,
    clippy::disallowed_methods,
    clippy::unwrap_used,
    reason = "a program for people to watch; when the world itself is broken it stops there"
)]

#[path = "../tests/it/support/mod.rs"]
mod support;

use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode};
use std::time::Duration;

use support::command::{countersign, run};
use support::world::{CVM, NEW_COMPOSE};
use support::{Attested, World};

const STEPS: [(&str, &str, i32); 6] = [
    (
        "What would change, and who has to approve it?",
        "plan --cvm payments-prod -c docker-compose.yml",
        0,
    ),
    (
        "Ask for hash and token; recompute the hash here.",
        "prepare --cvm payments-prod -c docker-compose.yml --dir upgrade",
        0,
    ),
    (
        "The owner's key approves on chain.",
        "execute --dir upgrade --signer env:OWNER_KEY --yes",
        0,
    ),
    (
        "A receipt is not a proof: event, block, state.",
        "wait --dir upgrade",
        0,
    ),
    (
        "Only now the cloud is told to go on; then the hardware is asked what runs.",
        "commit --dir upgrade --yes --attest require --guest-url {guest} --pccs {pccs}",
        0,
    ),
    ("Where it stands.", "status --dir upgrade", 0),
];

/// What a stranger does with the evidence, in an empty folder.
const VERIFY: (&str, &str, i32) = (
    "Anybody proves it again: an empty folder, no key, no account, no network.",
    "verify evidence.json",
    0,
);

const LYING_GUEST: (&str, &str, i32) = (
    "This time something else was started in the CVM, and the hardware measured that.",
    "attest --dir upgrade --guest-url {guest} --pccs {pccs}",
    5,
);

const REFUSED: (&str, &str, i32) = (
    "This time the cloud names a hash that is not the hash of our files.",
    "prepare --cvm payments-prod -c next.yml --dir refused",
    5,
);

fn main() -> ExitCode {
    let Some(binary) = binary() else {
        println!("countersign is not beside this program: run `make rehearsal`");
        return ExitCode::FAILURE;
    };
    let world = World::start();
    let attested = Attested::of(&world);
    world.cloud.set_boot_time(Duration::from_secs(1));
    world.file("docker-compose.yml", NEW_COMPOSE);
    world.file("next.yml", &NEW_COMPOSE.replace("1.28", "1.29"));
    introduce(&world);
    let stage = Stage {
        before: nonce(&world),
        binary,
        world: &world,
        attested: &attested,
    };
    let good = stage.good_upgrade() && stage.lies();
    drop(attested);
    drop(world);
    println!(
        "\n{}",
        if good {
            "The rehearsal went as it should."
        } else {
            "The rehearsal FAILED, see above."
        }
    );
    if good { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

/// The binary that cargo put beside this example.
fn binary() -> Option<PathBuf> {
    let here = std::env::current_exe().ok()?;
    let folder = here.parent().and_then(Path::parent)?;
    Some(folder.join("countersign")).filter(|path| path.is_file())
}

fn introduce(world: &World) {
    println!("chain    {} (anvil, chain id 31337)", world.anvil.url());
    println!("cloud    {} (simulated)", world.cloud.prefix());
    println!("kms      {}", world.kms);
    println!("app      {} owned by {}", world.app, world.owner.address);
    println!("cvm      {CVM} running 0x{}", hex::encode(world.first_hash));
}

/// Where the steps are done.
struct Stage<'a> {
    /// Transactions of the owner before the upgrade.
    before: u64,
    binary: PathBuf,
    world: &'a World,
    attested: &'a Attested,
}

impl Stage<'_> {
    /// The upgrade, up to its evidence in the hands of somebody who has nothing else.
    fn good_upgrade(&self) -> bool {
        let done = STEPS.iter().all(|step| self.act(step)) && landed(self.world, self.before);
        if !done {
            return false;
        }
        evidence(self.world);
        let elsewhere = tempfile::tempdir().unwrap();
        let file = self.world.folder().join("upgrade/evidence.json");
        std::fs::copy(file, elsewhere.path().join("evidence.json")).unwrap();
        self.show(countersign(&self.binary, elsewhere.path()), &VERIFY)
    }

    /// A guest and a cloud that lie.
    fn lies(&self) -> bool {
        self.attested.lie(|cvm| cvm.measure("compose-hash", &[0x66; 32]));
        let seen = self.act(&LYING_GUEST);
        self.world.cloud.lie(|lies| lies.hash = Some("ab".repeat(32)));
        seen && self.act(&REFUSED) && untouched(self.world, self.before)
    }

    fn act(&self, step: &(&str, &str, i32)) -> bool {
        self.show(self.world.countersign(&self.binary), step)
    }

    /// Runs one step as a person would type it; `false` when it ends otherwise than it should.
    fn show(&self, mut command: Command, (why, line, expected): &(&str, &str, i32)) -> bool {
        let line = line.replace("{guest}", &self.attested.guest());
        let line = line.replace("{pccs}", &self.attested.pccs());
        println!("\n━━ {why}\n$ countersign {line}");
        command.env("COUNTERSIGN_TEST_ROOT", self.attested.root());
        let output = run(command.args(line.split(' ')));
        for stream in [&output.stderr, &output.stdout] {
            for row in String::from_utf8_lossy(stream).lines() {
                println!("  {row}");
            }
        }
        let good = output.status.code() == Some(*expected);
        if !good {
            println!("  ended with {}, not with exit code {expected}", output.status);
        }
        good
    }
}

/// The outcome by the word of chain and cloud, not of the tool.
fn landed(world: &World, before: u64) -> bool {
    let hash = world.hash_with(NEW_COMPOSE);
    let (allowed, commits) = (world.is_allowed(hash), world.cloud.commits(CVM));
    let (runs, sent) = (world.cloud.cvm(CVM).compose_hash, nonce(world) - before);
    println!("\n━━ Judged by the chain and the cloud themselves");
    println!("  app allows {hash}: {allowed}; transactions of the owner: {sent}");
    println!(
        "  commits that the cloud accepted: {}; the CVM runs {runs}",
        commits.len()
    );
    allowed && sent == 1 && commits == [hash] && runs == hash
}

fn untouched(world: &World, before: u64) -> bool {
    let (sent, commits) = (nonce(world) - before, world.cloud.commits(CVM).len());
    println!("\n━━ Judged again: transactions of the owner: {sent}; commits: {commits}");
    sent == 1 && commits == 1
}

fn nonce(world: &World) -> u64 {
    world.rpc().nonce(world.owner.address)
}

fn evidence(world: &World) {
    println!("\n━━ What remains for an auditor: upgrade/evidence.md");
    for row in std::fs::read_to_string(world.folder().join("upgrade/evidence.md"))
        .unwrap_or_default()
        .lines()
    {
        println!("  {row}");
    }
}
