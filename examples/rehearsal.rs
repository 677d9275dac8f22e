//! A whole upgrade on this machine: a real EVM node with the contracts, a simulated Phala Cloud, and the real binary
//! doing each step; then the same with a cloud that lies. `make rehearsal` runs it; nothing leaves this machine, and
//! nothing is left running.
#![allow(
    clippy::print_stdout,
    clippy::disallowed_methods,
    clippy::unwrap_used,
    reason = "a program for people to watch; when the world itself is broken it stops there"
)]

#[path = "../tests/it/support/mod.rs"]
mod support;

use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::Duration;

use support::World;
use support::command::run;
use support::world::{CVM, NEW_COMPOSE};

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
    ("Only now the cloud is told to go on.", "commit --dir upgrade --yes", 0),
    ("Where it stands.", "status --dir upgrade", 0),
];

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
    world.cloud.set_boot_time(Duration::from_secs(1));
    world.file("docker-compose.yml", NEW_COMPOSE);
    world.file("next.yml", &NEW_COMPOSE.replace("1.28", "1.29"));
    introduce(&world);
    let mut good = STEPS.iter().all(|step| act(&world, &binary, step)) && landed(&world);
    if good {
        evidence(&world);
        world.cloud.lie(|lies| lies.hash = Some("ab".repeat(32)));
        good = act(&world, &binary, &REFUSED) && untouched(&world);
    }
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

/// Runs one step as a person would type it; `false` when it ends otherwise than it should.
fn act(world: &World, binary: &Path, (why, line, expected): &(&str, &str, i32)) -> bool {
    println!("\n━━ {why}\n$ countersign {line}");
    let output = run(world.countersign(binary).args(line.split(' ')));
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

/// The outcome by the word of chain and cloud, not of the tool.
fn landed(world: &World) -> bool {
    let hash = world.hash_with(NEW_COMPOSE);
    let (allowed, commits) = (world.is_allowed(hash), world.cloud.commits(CVM));
    let (runs, nonce) = (
        world.cloud.cvm(CVM).compose_hash,
        world.rpc().nonce(world.owner.address),
    );
    println!("\n━━ Judged by the chain and the cloud themselves");
    println!("  app allows {hash}: {allowed}; transactions of the owner: {nonce}");
    println!(
        "  commits that the cloud accepted: {}; the CVM runs {runs}",
        commits.len()
    );
    allowed && nonce == 1 && commits == [hash] && runs == hash
}

fn untouched(world: &World) -> bool {
    let (nonce, commits) = (world.rpc().nonce(world.owner.address), world.cloud.commits(CVM).len());
    println!("\n━━ Judged again: transactions of the owner: {nonce}; commits: {commits}");
    nonce == 1 && commits == 1
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
