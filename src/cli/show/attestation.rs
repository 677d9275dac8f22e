//! The attestation of a CVM for people and for programs: one line for each link, and what none of them says. Makes text, prints
//! nothing.

use jiff::Timestamp;
use serde_json::{Value, json};

use crate::attest::saved::{NamedBy, Saved};
use crate::attest::{Finding, ImageWay, Link, Standing, TcbStatus, Verdict};
use crate::cli::show::text::{Page, told};
use crate::upgrade::attestation::{Attested, Conclusion};

/// Where a saved attestation came from, when it is judged again.
#[derive(Debug, Clone, Copy)]
pub(in crate::cli) struct Source<'a> {
    /// The file; nothing where everybody was asked just now.
    pub(in crate::cli) file: Option<&'a str>,
    /// As of when it was judged.
    pub(in crate::cli) at: Timestamp,
    /// A root that a test made counts as Intel's.
    pub(in crate::cli) is_test_root: bool,
}

/// Shows an attestation.
pub(in crate::cli) fn show(page: &mut Page, seen: &Attested, ended: Conclusion, source: Source<'_>) {
    let (saved, verdict) = (&seen.saved, &seen.verdict);
    if source.is_test_root {
        page.line("TEST ROOT: this build takes evidence of a root that a test made. NOTHING HERE IS PROVEN of any real machine.");
    }
    let instance = verdict.boot.as_ref().and_then(|boot| boot.instance_id);
    let named = instance.map_or_else(String::new, |id| format!(" (instance {id})"));
    page.line(&format!(
        "attestation of {}{named}: {}",
        saved.cvm,
        headline(ended, verdict, source)
    ));
    let lines = verdict
        .findings
        .iter()
        .map(|one| (one.link.name(), Some(line(one, saved, verdict))));
    page.facts(&lines.collect::<Vec<_>>());
    for one in &seen.missing {
        page.line(&format!(
            "{} was asked and gave nothing: {}",
            one.from.name(),
            told(&*one.error)
        ));
    }
    match source.file {
        Some(file) => page.line(&format!(
            "judged from `{file}` as of {}: what the contracts said, and what should run, is the word of whoever wrote it, \
             and nobody was asked again",
            source.at
        )),
        None => page.line(&format!("looked at {}", source.at)),
    };
    page.line(
        "no link covers values of the environment, images without a digest, what is on the disk, or what the app does after it \
         was measured",
    );
}

/// For programs.
pub(in crate::cli) fn data(seen: &Attested, source: Source<'_>) -> Value {
    let (saved, verdict) = (&seen.saved, &seen.verdict);
    let links: Vec<Value> = verdict
        .findings
        .iter()
        .map(|one| {
            json!({ "link": one.link, "standing": one.standing,
                "reason": one.reason.as_ref().map(|reason| told(reason)) })
        })
        .collect();
    let missing: Vec<Value> = seen
        .missing
        .iter()
        .map(|one| json!({ "from": one.from.name(), "why": told(&*one.error) }))
        .collect();
    let platform = verdict.platform.as_ref();
    json!({
        "standing": verdict.standing(),
        "links": links,
        "image_by": verdict.image,
        "not_had": missing,
        "at": source.at,
        "wanted": saved.wanted,
        "measured_compose_hash": verdict.boot.as_ref().map(|boot| boot.compose_hash),
        "measured_instance": verdict.boot.as_ref().map(|boot| boot.instance_id),
        "tcb_status": platform.map(|platform| platform.status),
        "advisories": platform.map(|platform| &platform.advisories),
        "collateral_good_until": platform.map(|platform| platform.window.until),
        "certified_about": verdict.certified_about,
        "block": saved.contracts.as_ref().map(|said| said.block),
        "judged_from": source.file,
        "test_root": source.is_test_root,
    })
}

/// What an attestation comes to, in one line.
pub(in crate::cli) fn headline(ended: Conclusion, verdict: &Verdict, source: Source<'_>) -> String {
    let by = match source.file {
        Some(_) => ", if the contracts said what the file says",
        None => "",
    };
    let is_fresh = verdict
        .findings
        .iter()
        .any(|one| one.link == Link::Fresh && one.standing == Standing::Holds);
    match ended {
        Conclusion::Proven if is_fresh => format!("PROVEN{by}"),
        Conclusion::Proven => format!("PROVEN except: fresh{by}"),
        Conclusion::Broken(link) => format!("BROKEN: {link}"),
        Conclusion::Pending => "not up with what was approved yet".to_owned(),
        Conclusion::Unsafe(_) => format!("NOT PROVEN: {}", Link::Tcb),
        Conclusion::NoCollateral => format!("NOT PROVEN: {}, for want of Intel's collateral", Link::Genuine),
        Conclusion::NotProven(link) => format!("NOT PROVEN: {link}"),
    }
}

fn line(one: &Finding, saved: &Saved, verdict: &Verdict) -> String {
    let why = one.reason.as_ref().map(|reason| told(reason)).unwrap_or_default();
    match one.standing {
        Standing::Holds => holds(one.link, saved, verdict).unwrap_or_default(),
        Standing::Broken => format!("BROKEN: {why}"),
        Standing::NotKnown if one.link == Link::Fresh => {
            let about = verdict.certified_about.map_or_else(String::new, |at| {
                format!("; the certificate was issued about {at} by the KMS's clock")
            });
            format!("not proven: {why}{about}")
        }
        Standing::NotKnown => format!("not known: {why}"),
    }
}

/// What a link that holds says; nothing where what it stands on is not there.
fn holds(link: Link, saved: &Saved, verdict: &Verdict) -> Option<String> {
    let (wanted, said) = (&saved.wanted, saved.contracts.as_ref());
    let (boot, platform) = (verdict.boot.as_ref(), verdict.platform.as_ref());
    Some(match link {
        Link::Genuine => {
            let (version, window) = (verdict.quote.as_ref()?.version(), platform?.window);
            format!(
                "Intel TDX v{version}; collateral of {}, good until {}",
                window.from, window.until
            )
        }
        Link::Tcb => level(platform?.status, &platform?.advisories),
        Link::Log => {
            let later = boot?.uncovered.len();
            let more = if later == 0 {
                String::new()
            } else {
                format!("; {later} later events are covered by nothing")
            };
            format!("its events lead to RTMR0 to RTMR3 of the quote{more}")
        }
        Link::Compose => {
            let twice = match verdict.config_id {
                Some(Standing::Holds) => " and MRCONFIGID",
                _ => "",
            };
            format!("{} measured in RTMR3{twice} = {}", wanted.compose_hash, approved(saved))
        }
        Link::App => format!("{} = the contract", wanted.app),
        Link::Instance => match boot?.instance_id {
            Some(id) => format!("{id} = the CVM's in Phala Cloud's record"),
            None => "none, as the manifest says".to_owned(),
        },
        Link::Device => {
            let by = match said?.any_device {
                true => "the app's contract lets any machine",
                false => "the app's contract allows it",
            };
            match platform {
                Some(platform) => format!("{}; {by}", platform.device_id),
                None => by.to_owned(),
            }
        }
        Link::Kms => format!("key provider = kmsInfo().caPubkey of {}", wanted.kms),
        Link::Image => verdict.image.iter().map(way).collect::<Vec<_>>().join("; "),
        Link::Chain => format!("isAppAllowed of {}: yes, at block {}", wanted.kms, said?.block),
        Link::Fresh => "the app answered a number that was made for this run".to_owned(),
    })
}

fn level(status: TcbStatus, advisories: &[String]) -> String {
    let agreed = match status {
        TcbStatus::UpToDate => "",
        _ => ", which was agreed to by --accept",
    };
    match advisories {
        [] => format!("{status}{agreed}, no advisories"),
        advisories => format!("{status}{agreed}; Intel's advisories: {}", advisories.join(", ")),
    }
}

fn approved(saved: &Saved) -> String {
    let wanted = &saved.wanted;
    match (wanted.named_by, wanted.transaction) {
        (NamedBy::Upgrade, Some(transaction)) => format!("approved in transaction {transaction}"),
        (NamedBy::Upgrade, None) => "what the upgrade is for".to_owned(),
        (NamedBy::Person, _) => "the hash that was named".to_owned(),
        (NamedBy::PhalaCloud, _) => "what Phala Cloud says it runs; that it may is what `chain` says".to_owned(),
    }
}

fn way(way: &ImageWay) -> String {
    match way {
        ImageWay::Kms => "certified by that KMS".to_owned(),
        ImageWay::Document(image) => {
            format!("its registers are those of the image {image}, which the KMS's contract allows")
        }
        ImageWay::Reference => "MRTD, RTMR1 and RTMR2 as before the upgrade".to_owned(),
    }
}
