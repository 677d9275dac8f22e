//! Committing a fleet, wave after wave: the canaries alone, then the others. A wave in which something fails is the last.

use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, Ordering};

use futures_util::StreamExt as _;
use jiff::Timestamp;

use crate::code::Code;
use crate::compose::ComposeHash;
use crate::signer::{Consent, Fact, Name};
use crate::upgrade::{
    Goal, Limits, Outcome, Upgrade, UpgradeError, Warning, World,
    fleet::{Fleet, Halt, Named, Standing, hold, standing_in},
    record::{
        fleet_decisions::{Decision, Roster, WaveEnd},
        journal::FleetJournal,
    },
};

/// What is left to do.
#[derive(Debug, Default)]
struct Left {
    live: Vec<String>,
    waiting: Vec<String>,
}

/// What is done once all of a wave run the hash, with their directories; the next wave begins only where it stops nothing.
pub trait AfterWave: AsyncFn(&[PathBuf]) -> Result<(), Halt> {}

impl<F: AsyncFn(&[PathBuf]) -> Result<(), Halt>> AfterWave for F {}

/// How a fleet is committed.
#[derive(Debug)]
pub struct Waves<F> {
    /// How many go first, alone.
    pub canary: usize,
    /// What follows each wave.
    pub after: F,
}

impl Fleet {
    /// Commits every member that does not run the hash yet and was not given up, first the canaries, alone: no other is
    /// touched before all of them run the hash. Nothing is signed:
    /// each proves by itself that the hash is allowed. A wave in which something fails is the last one.
    ///
    /// As many CVMs as there are canaries have to run the hash before the others follow, and after a wave that was stopped
    /// as many go alone again. What Phala Cloud reported of those that are done is looked at once more: where it was false,
    /// they are committed with the others. Gives what that look found, one warning for each CVM.
    ///
    /// # Errors
    /// The approval is not proved yet, consent was refused, or what stopped a member; [`Self::members`] says what became of
    /// each.
    pub async fn commit<F: AfterWave>(
        &self,
        world: &World<'_>,
        limits: &Limits,
        waves: &Waves<F>,
    ) -> Result<Vec<Warning>, Halt> {
        let journal = hold(&self.dir, world.ask)?;
        let Some(roster) = journal.roster() else {
            return Err(unprepared());
        };
        let Some((hash, members)) = &roster.prepared else {
            return Err(unprepared());
        };
        require_approval(&journal, &roster)?;
        let mut left = look(&journal, members)?;
        let told = look_again(&journal, world, limits, &left.live).await?;
        if !left.live.is_empty() {
            left = look(&journal, members)?;
        }
        if left.waiting.is_empty() {
            return Ok(told);
        }
        if was_stopped(&roster) && !left.live.is_empty() {
            // What stopped it may be what was found of one that runs the hash.
            (waves.after)(&dirs(&journal, &left.live)).await?;
        }
        agree(world, &left.waiting, *hash)?;
        // Once for all of them.
        world.chain(roster.charter.chain_id).await?;
        let (first, rest) = left.waiting.split_at(canaries(&roster, &left, waves.canary));
        for (canary, wave) in [(true, first), (false, rest)] {
            if wave.is_empty() {
                continue;
            }
            journal.record(Decision::Wave {
                canary,
                members: wave.to_vec(),
                at: Timestamp::now(),
            })?;
            // Canaries are watched to the end, whoever does not wait for the others.
            let limits = Limits {
                no_wait: limits.no_wait && !canary,
                ..limits.clone()
            };
            send(&journal, world, &limits, wave).await?;
            if !limits.no_wait {
                pass(&journal, world, waves, wave).await?;
            }
        }
        Ok(told)
    }
}

/// How many of those that wait go alone.
fn canaries(roster: &Roster, left: &Left, wanted: usize) -> usize {
    let missing = if was_stopped(roster) {
        wanted
    } else {
        wanted.saturating_sub(left.live.len())
    };
    missing.min(left.waiting.len())
}

/// Whether something stopped the last wave.
fn was_stopped(roster: &Roster) -> bool {
    let last = roster.wave.as_ref();
    last.is_some_and(|wave| wave.end == Some(WaveEnd::Stopped))
}

/// The directories of members.
fn dirs(journal: &FleetJournal, members: &[String]) -> Vec<PathBuf> {
    members.iter().map(|cvm| journal.path().with_file_name(cvm)).collect()
}

fn unprepared() -> Halt {
    UpgradeError::TooEarly {
        message: "the fleet is not prepared to its end yet".to_owned(),
        command: "fleet prepare",
    }
    .into()
}

/// The first one's proposal has to be approved, and proved to be.
fn require_approval(journal: &FleetJournal, roster: &Roster) -> Result<(), Halt> {
    let Some(first) = roster.approval() else {
        return Err(unprepared());
    };
    let (_, state) = standing_in(journal, first).map_err(|error| Halt::of(first, error))?;
    if state.proof().is_some() {
        return Ok(());
    }
    let error = match &state.abandoned {
        Some(why) => UpgradeError::decide(
            Code::Abandoned,
            format!("the upgrade whose proposal was to be approved was given up: {why}"),
        ),
        None => UpgradeError::TooEarly {
            message: "the effect on chain is not proved yet".to_owned(),
            command: "wait",
        },
    };
    Err(Halt::of(first, error))
}

fn look(journal: &FleetJournal, members: &[String]) -> Result<Left, Halt> {
    let mut left = Left::default();
    for cvm in members {
        let (standing, _) = standing_in(journal, cvm).map_err(|error| Halt::of(cvm, error))?;
        match standing {
            Standing::Live => left.live.push(cvm.clone()),
            Standing::GivenUp => {}
            _ => left.waiting.push(cvm.clone()),
        }
    }
    Ok(left)
}

/// Looks once more at what Phala Cloud reported of those that are done.
async fn look_again(
    journal: &FleetJournal,
    world: &World<'_>,
    limits: &Limits,
    done: &[String],
) -> Result<Vec<Warning>, Halt> {
    let each = done.iter().map(|cvm| async move {
        let named = Named {
            ask: world.ask,
            cvm,
            agreed: true,
        };
        let looked = async {
            let mut upgrade = Upgrade::open_in(journal, cvm)?;
            upgrade.look_again(&member_world(world, &named), limits).await?;
            Ok(upgrade.remarks().to_vec())
        };
        looked
            .await
            .map_err(|error| Halt::of(cvm, error))
            .map(|found: Vec<Warning>| {
                let of_cvm = |Warning { code, text }| Warning {
                    code,
                    text: format!("{cvm}: {text}"),
                };
                found.into_iter().map(of_cvm).collect::<Vec<_>>()
            })
    });
    let mut each = futures_util::stream::iter(each).buffer_unordered(limits.parallel.max(1));
    let (mut told, mut failed) = (Vec::new(), None);
    while let Some(looked) = each.next().await {
        match looked {
            Ok(found) => told.extend(found),
            Err(halt) => failed = failed.or(Some(halt)),
        }
    }
    failed.map_or(Ok(told), Err)
}

/// The world as a member sees it: without a key, and with its own name before what is told.
fn member_world<'a>(world: &'a World<'a>, named: &'a Named<'a>) -> World<'a> {
    World {
        reached: world.reached.clone(),
        signer: None,
        ask: named,
        ..*world
    }
}

/// Commits one wave: what is under way goes on to its end, and after a failure nothing new begins.
async fn send(journal: &FleetJournal, world: &World<'_>, limits: &Limits, wave: &[String]) -> Result<(), Halt> {
    let stopped = AtomicBool::new(false);
    let stop = &stopped;
    let each = wave.iter().map(|cvm| async move {
        if stop.load(Ordering::Relaxed) {
            return Ok(());
        }
        let ended = commit_one(journal, world, limits, cvm).await;
        stop.fetch_or(ended.is_err(), Ordering::Relaxed);
        ended.map_err(|error| Halt::of(cvm, error))
    });
    let mut each = futures_util::stream::iter(each).buffer_unordered(limits.parallel.max(1));
    let (mut failed, mut live, mut halted) = (None, 0_usize, 0_usize);
    while let Some(ended) = each.next().await {
        match ended {
            Ok(()) => live = live.saturating_add(1),
            Err(halt) => {
                note_stop(journal, world, &halt)?;
                failed = failed.or(Some(halt));
                halted = halted.saturating_add(1);
            }
        }
        world
            .ask
            .waits(&format!("{live} of {} of this wave done, {halted} failed", wave.len()));
    }
    failed.map_or(Ok(()), Err)
}

/// A wave whose members all run the hash has passed, unless what is looked at then stops it.
async fn pass<F: AfterWave>(
    journal: &FleetJournal,
    world: &World<'_>,
    waves: &Waves<F>,
    wave: &[String],
) -> Result<(), Halt> {
    if let Err(halt) = (waves.after)(&dirs(journal, wave)).await {
        note_stop(journal, world, &halt)?;
        return Err(halt);
    }
    Ok(journal.record(Decision::Passed { at: Timestamp::now() })?)
}

fn note_stop(journal: &FleetJournal, world: &World<'_>, halt: &Halt) -> Result<(), UpgradeError> {
    let Some(cvm) = halt.cvm.clone() else { return Ok(()) };
    world.ask.tell(&format!("{cvm}: stopped: {}", halt.error));
    journal.record(Decision::Stopped {
        cvm,
        why: halt.error.to_string(),
        at: Timestamp::now(),
    })?;
    Ok(())
}

/// One member to its end. It has no key: what it cannot adopt, it does not do.
async fn commit_one(journal: &FleetJournal, world: &World<'_>, limits: &Limits, cvm: &str) -> Result<(), UpgradeError> {
    let named = Named {
        ask: world.ask,
        cvm,
        agreed: true,
    };
    let own = member_world(world, &named);
    let mut upgrade = Upgrade::open_in(journal, cvm)?;
    let outcome = match upgrade.adopt_in_force(&own, limits).await? {
        Outcome::Reached => upgrade.advance(&own, Goal::Live, limits).await?,
        pending @ Outcome::Pending(_) => pending,
    };
    match outcome {
        Outcome::Reached => {
            own.ask.tell("done");
            Ok(())
        }
        Outcome::Pending(pending) => Err(UpgradeError::Later {
            code: Code::FleetMemberPending,
            message: format!("{cvm} is not done: {}", pending.what),
            source: None,
        }),
    }
}

/// One question for all of them.
fn agree(world: &World<'_>, waiting: &[String], hash: ComposeHash) -> Result<(), UpgradeError> {
    let consent = Consent::ask(
        format!("Commit the update of {} CVMs? It restarts each of them.", waiting.len()),
        vec![
            Fact::new(Name::ComposeHash, hash),
            Fact::new(Name::Cvms, waiting.join(", ")),
        ],
    );
    if world.ask.consent(&consent)? {
        return Ok(());
    }
    Err(UpgradeError::Declined {
        what: "committing".to_owned(),
    })
}
