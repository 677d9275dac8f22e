//! What the owners of a Safe do: one reviews and signs without a network, and five of them agree by files alone.

use std::path::{Path, PathBuf};
use std::process::Command;

use crate::measure::{self, Cost};
use crate::support::world::{CVM, NEW_COMPOSE};
use crate::support::{SafeOptions, World, WorldOptions, repository};
use crate::table::{Costs, Row, Target, Unit};

/// What one command of an owner may take who is asked to check, milliseconds.
const COMMAND: f64 = 50.0;
/// What all commands of a ceremony may take together, milliseconds.
const CEREMONY: f64 = 2000.0;

/// A 3-of-5 Safe and the app that it owns.
struct Owners {
    world: World,
}

/// Review, signature and ceremony.
pub fn rows(rounds: u32) -> Vec<Row> {
    // Apart, since whoever prepares while another update is pending is refused.
    let (owners, others) = (Owners::start(), Owners::start());
    let prepared = owners.prepare();
    let mut review = Costs::new("review --offline", Target::AtMost(COMMAND), Target::None);
    let mut sign = Costs::new("sign --offline", Target::AtMost(COMMAND), Target::None);
    let target = Target::AtMost(CEREMONY);
    let mut all = Row::new("ceremony of a 3-of-5 Safe: wall time", Unit::Milliseconds, target);
    for round in 0..=rounds {
        let proposal = owners.pass_on(&prepared, round);
        let (reviewed, signed) = (owners.review(&proposal), owners.sign(&proposal, round));
        let ceremony = others.ceremony(round);
        // The first round brings files into the page cache.
        if round > 0 {
            review.ours(reviewed);
            sign.ours(signed);
            all.ours.add(ceremony.wall.as_secs_f64() * 1e3);
        }
    }
    review.rows().into_iter().chain(sign.rows()).chain([all]).collect()
}

impl Owners {
    fn start() -> Self {
        let safe = SafeOptions {
            release: 2,
            l2: true,
            threshold: 3,
            owners: 5,
        };
        let world = World::with(WorldOptions {
            safe: Some(safe),
            ..WorldOptions::default()
        });
        Self { world }
    }

    /// The proposal of an upgrade that waits for signatures.
    fn prepare(&self) -> PathBuf {
        let dir = self.world.folder().join("upgrade");
        let mut prepare = self.world.countersign(crate::BINARY);
        prepare
            .args(["prepare", "--cvm", CVM, "--json", "-c"])
            .arg(self.change(""));
        self.run(prepare.arg("--dir").arg(&dir));
        dir.join("proposal.json")
    }

    /// A copy as an owner gets it, alone in a folder.
    fn pass_on(&self, proposal: &Path, round: u32) -> PathBuf {
        let folder = self.world.folder().join(format!("owner-{round}"));
        std::fs::create_dir_all(&folder).unwrap();
        let copy = folder.join("proposal.json");
        std::fs::copy(proposal, &copy).unwrap();
        copy
    }

    fn review(&self, proposal: &Path) -> Cost {
        let mut review = self.world.countersign(crate::BINARY);
        self.run(review.arg("review").arg(proposal).args(["--offline", "--json"]))
    }

    fn sign(&self, proposal: &Path, round: u32) -> Cost {
        let mut sign = self.world.countersign(crate::BINARY);
        // What a machine signed it remembers, and each owner has one of their own.
        sign.env("XDG_STATE_HOME", self.world.folder().join(format!("state-{round}")));
        sign.arg("sign").arg(proposal).args(["--offline", "--yes", "--json"]);
        self.run(sign.args(["--signer", "env:SIGNER_0"]))
    }

    /// The script of the examples: prepare, three reviews and signatures, import, execute, wait, commit.
    fn ceremony(&self, round: u32) -> Cost {
        let compose = self.change(&format!("# the ceremony's round {round}\n"));
        let mut script = self.world.countersign("bash");
        script
            .arg(repository().join("examples/ceremony.sh"))
            .arg(self.world.folder().join(format!("people-{round}")))
            .arg(CVM)
            .arg(compose)
            .env("COUNTERSIGN", crate::BINARY);
        self.run(&mut script)
    }

    fn change(&self, more: &str) -> PathBuf {
        self.world.file("docker-compose.yml", &format!("{NEW_COMPOSE}{more}"))
    }

    fn run(&self, command: &mut Command) -> Cost {
        measure::run(command, self.world.folder()).0
    }
}
