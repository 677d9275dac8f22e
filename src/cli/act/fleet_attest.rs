//! Proves at the hardware what the CVMs of a fleet run, each by itself.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, MutexGuard, PoisonError};

use futures_util::StreamExt as _;
use serde_json::{Value, json};
use tokio::time::Instant;

use crate::cli::act::attest::{self, Attesting, Looked, Shortfall};
use crate::cli::exit::Exit;
use crate::cli::failure::error::CliError;
use crate::cli::failure::{self, by_code};
use crate::cli::session::Session;
use crate::cli::session::settings::Settings;
use crate::cli::show::attestation as page;
use crate::cli::show::report::Report;
use crate::upgrade::fleet::{Halt, Member};
use crate::upgrade::{Upgrade, UpgradeError};

/// The proofs of a fleet's CVMs.
pub(in crate::cli) struct Proofs<'a> {
    session: &'a Session,
    /// How; nothing where no proof is asked for.
    how: Option<Attesting<'a>>,
    parallel: usize,
    /// By the directory of each upgrade.
    seen: Mutex<BTreeMap<PathBuf, Seen>>,
}

/// What was found of one CVM.
struct Seen {
    /// In one line.
    headline: String,
    data: Value,
    /// What a proof falls short of, where that ends the run.
    end: Option<Shortfall>,
}

impl<'a> Proofs<'a> {
    /// What a command's options and the project ask for.
    pub(in crate::cli) fn of(session: &'a Session, settings: &'a Settings) -> Result<Self, CliError> {
        Ok(Self {
            session,
            how: Attesting::of(session, settings)?,
            parallel: settings.limits.parallel.max(1),
            seen: Mutex::default(),
        })
    }

    /// Looks at a wave whose CVMs run the hash.
    ///
    /// # Errors
    /// What is found of one of them ends the run.
    pub(in crate::cli) async fn check(&self, dirs: &[PathBuf]) -> Result<(), Halt> {
        self.look(dirs).await;
        let seen = self.seen();
        let ended = dirs.iter().find_map(|dir| Some((dir, seen.get(dir)?.end.as_ref()?)));
        match ended {
            None => Ok(()),
            Some((dir, short)) => Err(Halt::of(
                &name(dir),
                UpgradeError::decide(short.meant.code, short.why.clone()),
            )),
        }
    }

    /// Looks at those of the members that are live and were not looked at in this run.
    pub(in crate::cli) async fn look_at_rest(&self, members: &[Member]) {
        let live = members.iter().filter(|member| member.is_live());
        let dirs: Vec<PathBuf> = live.map(|member| member.dir.clone()).collect();
        self.look(&dirs).await;
    }

    async fn look(&self, dirs: &[PathBuf]) {
        let Some(how) = &self.how else { return };
        let end = Instant::now() + how.time();
        let new: Vec<&PathBuf> = {
            let seen = self.seen();
            dirs.iter().filter(|dir| !seen.contains_key(*dir)).collect()
        };
        let each = new
            .into_iter()
            .map(|dir| async move { (dir, self.of_one(how, dir, end).await) });
        let mut each = futures_util::stream::iter(each).buffer_unordered(self.parallel);
        while let Some((dir, found)) = each.next().await {
            if let Some(found) = found {
                self.seen().insert(dir.clone(), found);
            }
        }
    }

    async fn of_one(&self, how: &Attesting<'_>, dir: &Path, end: Instant) -> Option<Seen> {
        let proved = match Upgrade::peek(dir) {
            Ok(state) => how.prove(dir, &state, end).await,
            Err(error) => Err(error.into()),
        };
        let (headline, data, short) = match proved {
            Ok(None) => return None,
            Ok(Some(Looked::Unseen(short))) => (not_proven(&short), attest::unseen(&short), Some(short)),
            Ok(Some(Looked::Judged { seen, ended, unkept })) => {
                let source = how.source(&seen);
                let unkept = unkept.map(|why| format!("; {}", attest::not_kept(&why)));
                let headline = page::headline(ended, &seen.verdict, source) + &unkept.unwrap_or_default();
                (headline, page::data(&seen, source), attest::shortfall(&seen, ended))
            }
            Err(error) => {
                let told = failure::report(&error, self.session.command(), &self.session.typed());
                let short = Shortfall {
                    why: told.message,
                    meant: by_code(told.code),
                };
                (not_proven(&short), attest::unseen(&short), Some(short))
            }
        };
        Some(Seen {
            headline,
            data,
            end: short.filter(|short| how.ends_by(short)),
        })
    }

    /// Adds what was found to the report of the run, and ends it where that is its end.
    pub(in crate::cli) fn tell(self, mut report: Report) -> Report {
        let seen = self.seen.into_inner().unwrap_or_else(PoisonError::into_inner);
        if seen.is_empty() {
            return report;
        }
        report.page.heading("hardware");
        let names: Vec<String> = seen.keys().map(|dir| name(dir)).collect();
        let rows = names.iter().zip(seen.values());
        let rows: Vec<_> = rows
            .map(|(name, one)| (name.as_str(), Some(one.headline.clone())))
            .collect();
        report.page.facts(&rows);
        let data = names.iter().zip(seen.values());
        let data: Vec<Value> = data
            .map(|(name, one)| json!({ "cvm": name, "attestation": one.data }))
            .collect();
        report.set_data("hardware", &data);
        let ended = seen.into_iter().filter_map(|(dir, one)| Some((dir, one.end?)));
        // The gravest: what is broken before what is missing.
        let ended = ended.min_by_key(|(_, short)| short.meant.exit != Exit::Verify);
        if let Some((dir, mut short)) = ended
            && (report.exit == Exit::Done || report.code == short.meant.code)
        {
            short.why = format!("{}: {}", name(&dir), short.why);
            short.end(self.session, &mut report);
            report.next = Some(self.session.typed().within(Some(&dir)).step("attest"));
        }
        report
    }

    fn seen(&self) -> MutexGuard<'_, BTreeMap<PathBuf, Seen>> {
        self.seen.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn not_proven(short: &Shortfall) -> String {
    format!("NOT PROVEN: {}", short.why)
}

/// The CVM that a directory is named after.
fn name(dir: &Path) -> String {
    dir.file_name().unwrap_or_default().to_string_lossy().into_owned()
}
