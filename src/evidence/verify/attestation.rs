//! What the hardware measured: the verdict, made again from what it was made of. Pure.

use jiff::{SignedDuration, Timestamp};

use crate::attest::saved::{Contracts, Measure};
use crate::attest::{Finding, Link, Root, Standing, TcbPolicy, TcbStatus};
use crate::chain::is_known_kms;
use crate::evidence::claim::Claim;
use crate::evidence::document::{Attestation, Evidence};

/// By what it is measured.
#[derive(Debug, Clone, Copy)]
pub struct Measured<'a> {
    /// Whom a quote has to come from.
    pub root: &'a Root,
    /// As of when the attestation is judged; nothing: when it was made.
    pub at: Option<Timestamp>,
}

/// How far the writer's clock and that of a block may be apart.
const CLOCKS: SignedDuration = SignedDuration::from_hours(1);

/// The claims about what was measured.
pub(super) fn claims(evidence: &Evidence, by: &Measured<'_>) -> Vec<Claim> {
    let Some(attestation) = &evidence.attestation else {
        return match evidence
            .added_hash()
            .or(evidence.code.as_ref().map(|code| code.compose_hash))
        {
            Some(_) => vec![Claim::open(
                "attestation",
                "what the hardware measured is not in the document",
            )],
            None => Vec::new(),
        };
    };
    let mut claims = vec![subject(evidence, attestation), kms(attestation)];
    claims.extend(links(attestation, by));
    claims
}

/// Whether it is about what was approved here.
fn subject(evidence: &Evidence, attestation: &Attestation) -> Claim {
    let about = "attestation";
    let wanted = &attestation.made_of.wanted;
    let code = evidence.code.as_ref();
    let hashes = code.map(|code| (code.compose_hash, code.previous_compose_hash));
    let transaction = evidence.transaction.map(|transaction| transaction.hash);
    let at = attestation.made_of.at;
    let block = Timestamp::from_second(i64::try_from(evidence.block.timestamp).unwrap_or_default());
    let is_earlier = block.is_ok_and(|block| at.duration_until(block) > CLOCKS);
    if is_earlier {
        return Claim::differs(about, format!("it is of {at}, before the change was made"));
    }
    let same = attestation.made_of.is_of_this_format()
        && wanted.chain_id == evidence.chain_id
        && wanted.app == evidence.app
        && evidence.said.kms.is_none_or(|kms| kms == wanted.kms)
        && hashes.is_some_and(|(now, before)| {
            now == wanted.compose_hash && wanted.previous_compose_hash.is_none_or(|wanted| before == Some(wanted))
        })
        && wanted.transaction.is_none_or(|wanted| transaction == Some(wanted));
    Claim::whether(
        about,
        same,
        [
            format!(
                "it is about {} of this app, looked at {at}, as the writer says",
                wanted.compose_hash
            ),
            "it is about another app, another hash or another KMS, or of another format".to_owned(),
        ],
    )
}

fn links(attestation: &Attestation, by: &Measured<'_>) -> Vec<Claim> {
    let saved = &attestation.made_of;
    let tcb = accepting(&attestation.accepted);
    let at = by.at.unwrap_or(saved.at);
    let measure = Measure {
        tcb: &tcb,
        root: by.root,
        at,
    };
    let verdict = saved.judge(&measure);
    // What somebody agreed to is the writer's word, and no proof.
    let strict = TcbPolicy::default();
    let unaccepted = saved.judge(&Measure {
        tcb: &strict,
        ..measure
    });
    let said = |link: Link| attestation.links.iter().find(|one| one.link == link);
    let is_genuine = verdict
        .findings
        .iter()
        .any(|one| one.link == Link::Genuine && one.standing == Standing::Holds);
    let links = verdict
        .findings
        .iter()
        .zip(&unaccepted.findings)
        .map(|(found, strictly)| {
            let about = format!("attestation.{}", found.link.name());
            match said(found.link) {
                Some(said) if said.standing != found.standing && by.at.is_none() => Claim::differs(
                    about,
                    format!(
                        "the document says that it {}, and it {}",
                        word(said.standing),
                        told(found)
                    ),
                ),
                None => Claim::differs(
                    about,
                    format!("the document says nothing of it, and it {}", told(found)),
                ),
                Some(_) if found.standing != Standing::Holds => of(found, about),
                Some(_) if strictly.standing != Standing::Holds => {
                    Claim::said(about, format!("holds, if it is agreed to: it {}", told(strictly)))
                }
                Some(_) if !is_genuine => Claim::open(about, "holds, if the quote is genuine"),
                Some(_) => of(found, about),
            }
        });
    let mut claims: Vec<Claim> = links.collect();
    if attestation.links.len() != verdict.findings.len() {
        claims.push(Claim::differs(
            "attestation",
            "it names links twice, or others than there are",
        ));
    }
    claims
}

/// Everything that is proven stands on the key that the KMS's contract names: somebody has to know that contract.
fn kms(attestation: &Attestation) -> Claim {
    let (about, wanted) = ("attestation.kms-contract", &attestation.made_of.wanted);
    match is_known_kms(wanted.chain_id, wanted.kms) {
        true => Claim::holds(about, format!("{} is a KMS that Phala runs", wanted.kms)),
        false => Claim::said(
            about,
            format!("{}: compare it with what whoever runs the KMS says", wanted.kms),
        ),
    }
}

/// The links that stand on what the contracts said, were `contracts` their answer; with how each is told.
pub(in crate::evidence) fn by_contracts(
    attestation: &Attestation,
    contracts: Contracts,
    root: &Root,
) -> Vec<(Link, Standing, String)> {
    let mut saved = attestation.made_of.clone();
    saved.contracts = Some(contracts);
    let tcb = accepting(&attestation.accepted);
    let measure = Measure {
        tcb: &tcb,
        root,
        at: saved.at,
    };
    let findings = saved.judge(&measure).findings.into_iter();
    let findings = findings.filter(|found| found.link.is_by_contracts());
    findings
        .map(|found| (found.link, found.standing, told(&found)))
        .collect()
}

fn of(found: &Finding, about: String) -> Claim {
    match found.standing {
        Standing::Holds if found.link.is_by_contracts() => {
            Claim::said(about, "holds, if the contracts said what the document says")
        }
        Standing::Holds if found.link == Link::Fresh => {
            Claim::said(about, "holds, if the number was one that nobody knew before")
        }
        Standing::Holds => Claim::holds(about, "holds, as of that time"),
        Standing::NotKnown => Claim::open(about, told(found)),
        Standing::Broken => Claim::differs(about, told(found)),
    }
}

fn told(found: &Finding) -> String {
    let why = found.reason.as_ref().map(|reason| format!(": {reason}"));
    format!("{}{}", word(found.standing), why.unwrap_or_default())
}

const fn word(standing: Standing) -> &'static str {
    match standing {
        Standing::Holds => "holds",
        Standing::Broken => "is broken",
        Standing::NotKnown => "is not known",
    }
}

fn accepting(accepted: &[TcbStatus]) -> TcbPolicy {
    accepted
        .iter()
        .fold(TcbPolicy::default(), |policy, status| policy.accept(*status))
}
