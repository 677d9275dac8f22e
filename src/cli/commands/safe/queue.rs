//! `safe queue`: what waits for a Safe at the Safe Transaction Service, and what of it is true.

use std::collections::BTreeSet;

use alloy::primitives::{Address, B256, Bytes, U256, keccak256};
use clap::Args;
use serde_json::{Value, json};

use super::place::{not_a_safe, place};
use crate::chain::Call;
use crate::cli::args::values;
use crate::cli::args::{Notices, Reach, SharedOptions};
use crate::cli::exit::Exit;
use crate::cli::failure::error::CliError;
use crate::cli::failure::{Commands as _, Next};
use crate::cli::session::Session;
use crate::cli::show::report::Report;
use crate::cli::show::view;
use crate::code::Code;
use crate::safe::service::{NextNonce, ServiceTx, Unsigned, at_nonce, links, next_nonce, prove};
use crate::safe::{SafeDomain, decode::decode, info::SafeInfo, itself::changes_itself};
use crate::upgrade::review::{not_theirs, unseen_unsigned};

/// Show what waits for a Safe at the Safe Transaction Service, checked against the chain
///
/// Every record's hash is computed again, owners and nonce come from the chain. Signatures of keys are recovered, and those of
/// contracts and approvals asked of the chain. Of what nobody has signed, which anybody can post, only some is shown. Ends
/// with 5 when a record is not the transaction that it says.
#[derive(Debug, Args)]
#[command(after_help = "Examples:\n  \
    countersign safe queue base:0x5aAeb6053F3E94C9b9A09f33669435E7Ef1BeAed\n  \
    countersign safe queue 0x5aAeb6053F3E94C9b9A09f33669435E7Ef1BeAed --chain-id 8453")]
pub(super) struct Queue {
    /// The Safe, with or without the prefix of its chain
    #[arg(value_name = "SAFE", value_parser = values::safe_address)]
    safe: String,
    /// Chain of the Safe, when its address has no prefix
    #[arg(long, value_name = "N", value_parser = values::whole::<u64>(1..))]
    chain_id: Option<u64>,
    #[command(flatten)]
    reach: Reach,
    #[command(flatten)]
    notices: Notices,
}

/// Most transactions that nobody has signed of which all is shown: anybody can write more.
const SHOWN: usize = 5;
/// Longest calldata that is shown on a page, bytes.
const LONG: usize = 1024;

/// One proposal, and what of it is true.
struct Checked<'a> {
    tx: &'a ServiceTx,
    /// Whether the fields have the hash.
    sound: Result<B256, String>,
    /// Owners who agreed to it.
    signed_by: BTreeSet<Address>,
}

impl Queue {
    pub(super) async fn run(self, session: &Session) -> Result<Report, CliError> {
        let (chain_id, safe) = place(&self.safe, self.chain_id)?;
        let typed = SharedOptions {
            reach: Some(&self.reach),
            notices: Some(&self.notices),
            ..SharedOptions::default()
        };
        let mut settings = session.settings(typed)?;
        settings.quorum.partial = true;
        let outside = session.outside(&settings);
        let service = session.service(&settings, chain_id)?;
        let chain = outside.world().chain(chain_id).await?;
        let info = SafeInfo::read(&chain, safe).await?;
        let info = info.ok_or_else(|| not_a_safe(safe, chain_id))?;
        let mut found = service.queue(safe, info.nonce).await?;
        prove(&chain, &info, &mut found).await?;
        let mut next = next_nonce(info.nonce, &found);
        // Who has not signed does not hold a nonce, and may still be in the way of one.
        let unsigned = service.unsigned(safe, next.nonce, &found).await;
        next.competitors.extend(at_nonce(next.nonce, &unsigned.read));
        let shown = found.iter().chain(unsigned.read.iter().take(SHOWN));
        let checked: Vec<Checked<'_>> = shown.map(|tx| Checked::of(tx, &info)).collect();
        let mut report = report(session, &info, &checked, &next);
        tell_unsigned(&mut report, &unsigned, next.nonce);
        let wrong = not_theirs(checked.iter().map(|one| one.tx));
        view::remarks(&mut report.page, "warnings", wrong.as_slice());
        report.warnings.extend(wrong);
        if let Some(data) = &mut report.data {
            data["requests"] = service.requests().into();
            data["quotaLeft"] = service.quota_left().into();
        }
        Ok(report)
    }
}

/// How much there is that nobody has signed, and why it was not seen.
fn tell_unsigned(report: &mut Report, unsigned: &Unsigned, nonce: U256) {
    let read = unsigned.read.len();
    let count = u64::try_from(read).unwrap_or(u64::MAX).saturating_add(unsigned.more);
    let left = count.saturating_sub(u64::try_from(read.min(SHOWN)).unwrap_or(u64::MAX));
    if left > 0 {
        let text = format!("{left} more wait at nonce {nonce} that nobody has signed");
        report.page.block(&text);
    }
    let failure = unseen_unsigned(unsigned, nonce);
    if let Some(data) = &mut report.data {
        data["unsigned"] = json!({
            "count": count,
            "unseen": failure.as_ref().map(|warning| &warning.text),
        });
    }
    view::remarks(&mut report.page, "warnings", failure.as_slice());
    report.warnings.extend(failure);
}

impl<'a> Checked<'a> {
    fn of(tx: &'a ServiceTx, info: &SafeInfo) -> Self {
        Self {
            sound: tx.computed_hash(&domain(info)).map_err(|why| why.to_string()),
            signed_by: if tx.trusted { tx.agreed() } else { BTreeSet::new() },
            tx,
        }
    }

    fn json(&self, info: &SafeInfo) -> Value {
        let fields = &self.tx.fields;
        json!({
            "nonce": fields.nonce.to_string(),
            "safeTxHash": self.tx.claimed_hash,
            "hashIsRight": self.sound.is_ok(),
            "wrong": self.sound.as_ref().err(),
            "to": fields.to,
            "value": fields.value.to_string(),
            "data": fields.data,
            "operation": u8::from(fields.operation),
            "does": does(self.tx, info),
            "changesTheSafe": changes_itself(fields, &domain(info)),
            "signedBy": self.signed_by,
            "notTheirs": view::not_theirs(self.tx),
            "unconfirmed": self.tx.unconfirmed(),
            "threshold": info.threshold,
            "rejects": self.rejects(info),
            "visible": self.tx.trusted,
            "proposer": self.tx.proposer,
            "delegate": self.tx.delegate,
            "origin": self.tx.origin,
            "link": links::transaction(info.chain_id, info.address, self.tx.claimed_hash),
        })
    }
}

impl Checked<'_> {
    /// Whether it only uses up its nonce.
    fn rejects(&self, info: &SafeInfo) -> bool {
        let accepted = self.tx.accept(domain(info));
        accepted.is_ok_and(|tx| tx.is_rejection())
    }
}

fn domain(info: &SafeInfo) -> SafeDomain {
    SafeDomain {
        chain_id: info.chain_id,
        safe: info.address,
        version: info.version,
    }
}

fn report(session: &Session, info: &SafeInfo, checked: &[Checked<'_>], next: &NextNonce) -> Report {
    let mut report = Report::done("safe queue", "");
    let waiting = checked.iter().filter(|one| one.tx.trusted).count();
    report.message = format!(
        "{waiting} waiting, the next free nonce is {} (the chain is at {})",
        next.nonce, info.nonce
    );
    view::safe(&mut report.page, info);
    report.page.block(&report.message);
    for one in checked {
        proposal(&mut report, info, one);
    }
    gaps(&mut report, next);
    let queue = links::queue(info.chain_id, info.address);
    report.page.facts(&[("queue", queue.as_ref().map(ToString::to_string))]);
    report.data = Some(json!({
        "safe": info.address,
        "chainId": info.chain_id,
        "chainNonce": info.nonce.to_string(),
        "nextNonce": next.nonce.to_string(),
        "competitors": next.competitors,
        "gaps": next.gaps.iter().map(|gap| json!([gap.first.to_string(), gap.last.to_string()])).collect::<Vec<_>>(),
        "queue": checked.iter().map(|one| one.json(info)).collect::<Vec<_>>(),
        "link": queue,
    }));
    if checked.iter().any(|one| one.sound.is_err()) {
        report.exit = Exit::Verify;
        report.code = Code::ServiceTampered;
        report.message = "a record at the Safe Transaction Service is not the transaction it says it is".to_owned();
        report.hint = Some("sign nothing that was found there; ask the proposer for the file".to_owned());
        report.next = Some(session.typed().command(&Next::Again));
    }
    report
}

fn proposal(report: &mut Report, info: &SafeInfo, one: &Checked<'_>) {
    let (tx, fields) = (one.tx, &one.tx.fields);
    report.page.heading(&format!("nonce {}", fields.nonce));
    report.page.facts(&[
        ("safeTxHash", Some(tx.claimed_hash.to_string())),
        ("WRONG", one.sound.as_ref().err().cloned()),
        ("to", Some(fields.to.to_string())),
        (
            "value",
            (!fields.value.is_zero()).then(|| format!("{} wei", fields.value)),
        ),
        (
            "operation",
            (u8::from(fields.operation) == 1).then(|| "delegate call".to_owned()),
        ),
        ("does", Some(does(tx, info).join("; ")).filter(|does| !does.is_empty())),
        (
            "rejects",
            one.rejects(info)
                .then(|| "whatever else has this nonce: it only uses it up".to_owned()),
        ),
        ("data", Some(data(&fields.data))),
        (
            "CHANGES THE SAFE",
            Some(changes_itself(fields, &domain(info)).join("; ")).filter(|told| !told.is_empty()),
        ),
        (
            "signatures",
            Some(format!("{} of {}", one.signed_by.len(), info.threshold)),
        ),
        (
            "NOT CONFIRMED by the chain",
            Some(list(&tx.unconfirmed())).filter(|names| !names.is_empty()),
        ),
        (
            "shown in wallets",
            (!tx.trusted).then(|| "no: no owner signed it".to_owned()),
        ),
        ("proposed by", view::proposer(tx.proposer, tx.delegate)),
        ("from", tx.origin.clone()),
    ]);
}

fn list(owners: &BTreeSet<Address>) -> String {
    let names: Vec<String> = owners.iter().map(ToString::to_string).collect();
    names.join(", ")
}

/// Calldata as it is, or how long it is and its hash.
fn data(data: &Bytes) -> String {
    if data.len() <= LONG {
        return data.to_string();
    }
    format!("{} bytes with keccak256 {}", data.len(), keccak256(data))
}

/// What each call does, by our own interfaces: a change of the Safe that waits before ours is a change of who signs.
fn does(tx: &ServiceTx, info: &SafeInfo) -> Vec<String> {
    let alone = || {
        vec![Call {
            to: tx.fields.to,
            value: tx.fields.value,
            data: tx.fields.data.clone(),
        }]
    };
    let calls = tx
        .accept(domain(info))
        .map_or_else(|_| alone(), |tx| tx.calls().to_vec());
    let calls = calls.iter().filter(|call| !call.data.is_empty());
    calls
        .map(|call| match decode(&call.data) {
            Some(known) => format!("{}: {}", known.function, known.meaning),
            None => format!("an unknown function of {}", call.to),
        })
        .collect()
}

fn gaps(report: &mut Report, next: &NextNonce) {
    for gap in &next.gaps {
        report.page.block(&format!(
            "nobody proposed nonce {} to {}: what comes after waits for it",
            gap.first, gap.last
        ));
    }
}
