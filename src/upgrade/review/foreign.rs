//! A transaction that came from somewhere else: decoded by our own interfaces, compared by content with the upgrade
//! that it should be, and never believed.

use std::collections::BTreeSet;

use alloy::primitives::Address;

use crate::chain::{AppQuery, Call, ChainError};
use crate::code::Code;
use crate::safe::{
    SafeDomain,
    builder_file::{Batch, Checksum, Imported, Mislabelled},
    recognise::{Recognition, recognise_batch},
};
use crate::upgrade::{
    Stop, UpgradeError, World,
    finding::Warning,
    model::Proposal,
    review::{
        model::{CallShown, Found, FoundTx, Source},
        offline::{show, told},
        problem::Problem,
    },
};

/// What becomes of a batch in the wallet.
const NONCE: &str = "Safe{Wallet} gives the batch that it imports a nonce of its own: what owners signed before, here or for \
    the proposal, does not count for it";

impl Found {
    pub(super) fn stop(&mut self, stop: Stop) {
        let problem = Problem::Stop(stop);
        if !self.problems.contains(&problem) {
            self.problems.push(problem);
        }
    }

    pub(super) fn decide(&mut self, code: Code, message: impl Into<String>) {
        self.problems.push(Problem::Decide {
            code: code.to_owned(),
            message: message.into(),
        });
    }

    /// Whether nothing stands against it.
    pub const fn is_clean(&self) -> bool {
        self.problems.is_empty()
    }

    /// Calls that no upgrade makes, and calls that go to more than one contract.
    pub(super) fn judge_calls(&mut self) {
        let judged = self.transactions.iter().filter(|tx| tx.judged);
        let calls: Vec<CallShown> = judged.flat_map(|tx| tx.calls.clone()).collect();
        for (index, call) in calls.iter().enumerate() {
            let of_an_upgrade = call.decoded.as_ref().is_some_and(|decoded| decoded.of_an_upgrade);
            if !of_an_upgrade {
                let what = format!("call {index}");
                self.stop(Stop::new(Code::CallRefused, what, "a call of an upgrade", told(call)));
            }
            if !call.value.is_zero() {
                let (what, found) = (format!("value of call {index}"), format!("{} wei", call.value));
                self.stop(Stop::new(Code::CallRefused, what, "0 wei", found));
            }
            if !call.to_the_app {
                let first = calls.first().map(|first| first.to).filter(|first| *first != call.to);
                let app = first.map_or_else(|| "an app of the Safe".to_owned(), |app| app.to_string());
                let what = format!("target of call {index}");
                self.stop(Stop::new(Code::ForeignTarget, what, app, call.to));
            }
        }
    }

    /// Without an upgrade to compare with: whether what is called is an app, and whether the Safe owns it.
    ///
    /// # Errors
    /// The chain did not answer.
    pub async fn ask(&mut self, world: &World<'_>) -> Result<(), UpgradeError> {
        let judged = self.transactions.iter().filter(|tx| tx.judged);
        let targets = judged.flat_map(|tx| &tx.calls).map(|call| call.to);
        let targets: BTreeSet<Address> = targets.collect();
        let chain = world.chain(self.chain_id).await?;
        for app in targets {
            let query = AppQuery {
                app,
                kms: None,
                hash: None,
                running: None,
                device: None,
                os_image: None,
                kind: false,
            };
            match chain.app(&query).await {
                Ok(state) => {
                    if let Some(safe) = self.safe.filter(|safe| *safe != state.owner) {
                        let stop = Stop::new(Code::OwnerMismatch, "owner of the app", safe, state.owner);
                        self.stop(stop);
                    }
                }
                Err(ChainError::NotAnApp { .. }) => {
                    self.stop(Stop::new(Code::NotAnApp, "target", "an app's contract", app));
                }
                Err(error) => return Err(error.into()),
            }
        }
        Ok(())
    }

    /// Nothing is there to compare with.
    pub(super) fn miss_hash(&mut self) {
        self.unchecked
            .push("whether its compose hash is the right one: no proposal was named to compare it with".to_owned());
    }

    /// Nobody is asked.
    pub fn stay_offline(&mut self) {
        self.unchecked
            .push("whether the target is an app, and whether this Safe owns it".to_owned());
    }
}

/// A batch file that somebody sent, compared with the upgrade that it should be, if one is named. Pure.
pub fn review_batch(imported: &Imported, proposal: Option<&Proposal>) -> Found {
    let file = &imported.batch;
    let apps = proposal.map_or_else(
        || file.calls.first().map(|call| call.to).into_iter().collect(),
        Proposal::addresses,
    );
    let mut found = Found {
        source: Source::BuilderFile {
            name: file.name.clone(),
            checksum: imported.checksum == Checksum::Right,
        },
        chain_id: file.chain_id,
        safe: file.safe,
        transactions: vec![FoundTx {
            judged: true,
            ours: None,
            difference: None,
            fields: None,
            hashes: None,
            claimed_hash: None,
            posted: None,
            calls: file.calls.iter().map(|call| show(call, &apps)).collect(),
        }],
        warnings: Vec::new(),
        unchecked: vec![
            "its nonce and its hash: the wallet chooses the nonce when the file is imported, so compare the device with \
             a review of the transaction that comes of it"
                .to_owned(),
        ],
        problems: Vec::new(),
    };
    found.remark(imported);
    found.judge_labels(imported);
    let Some(proposal) = proposal else {
        found.judge_calls();
        found.miss_hash();
        return found;
    };
    let difference = difference(file, proposal);
    if let Some(difference) = &difference {
        let (what, expected) = ("calls of the file", calls(&proposal.calls));
        found.stop(Stop::new(Code::BatchDiffers, what, expected, difference));
        found.judge_calls();
    }
    for tx in &mut found.transactions {
        tx.ours = Some(difference.is_none());
        tx.difference.clone_from(&difference);
    }
    found
}

impl Found {
    /// Calls that the file shows as something else than what they do: the wallet executes the data and may show the method.
    fn judge_labels(&mut self, file: &Imported) {
        for Mislabelled { index, method, .. } in &file.mislabelled {
            let does = file.batch.calls.get(*index).map_or_else(String::new, does);
            let what = format!("data of call {index}");
            self.stop(Stop::new(
                Code::BatchDiffers,
                what,
                format!("what its method says: `{method}`"),
                does,
            ));
        }
    }

    fn remark(&mut self, imported: &Imported) {
        let file = &imported.batch;
        let mut warn = |code: Code, text: &str| {
            self.warnings.push(Warning {
                code: code.to_owned(),
                text: text.to_owned(),
            });
        };
        warn(Code::SafeNonceNotInFile, NONCE);
        for remark in &imported.remarks {
            warn(Code::BuilderFileOdd, &remark.to_string());
        }
        if imported.checksum == Checksum::Missing {
            warn(
                Code::NoChecksum,
                "the file has no checksum; the wallet warns when it is imported",
            );
        }
        if file.safe.is_none() {
            warn(
                Code::NoSafeNamed,
                "the file does not say for which Safe it is; it can be imported into any",
            );
        }
    }
}

/// The first thing in which the file is not the upgrade.
fn difference(file: &Batch, proposal: &Proposal) -> Option<String> {
    let plan = &proposal.plan;
    let Some(safe) = &plan.safe else {
        return Some(format!("who has to act is {}, which is no Safe", plan.asked_address()));
    };
    let domain = SafeDomain {
        chain_id: plan.chain_id,
        safe: safe.address,
        version: safe.version,
    };
    match recognise_batch(file, &domain, &proposal.expected_calls()) {
        Recognition::Same => None,
        Recognition::Different(difference) => Some(difference.to_string()),
        Recognition::NotOurs => Some("it calls something else altogether".to_owned()),
    }
}

/// What the data of a call does, in a line.
fn does(call: &Call) -> String {
    if call.data.is_empty() {
        return format!("nothing but {} wei for {}", call.value, call.to);
    }
    format!("{} at {}", told(&show(call, &[call.to])), call.to)
}

fn calls(all: &[Call]) -> String {
    let told: Vec<String> = all.iter().map(|call| told(&show(call, &[call.to]))).collect();
    told.join("; ")
}
