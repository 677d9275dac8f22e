//! The attestation of a CVM: what Phala Cloud, the guest itself, a server of Intel's collateral and the contracts say, and the
//! verdict that is made of it. Reads only.
//!
//! Nobody of these is believed but the contracts. What one of them does not give is not known, and never a failure: the verdict
//! says which link is missing.

use std::error::Error;

use alloy::primitives::{Address, B256, FixedBytes};
use jiff::Timestamp;
use url::Url;

use crate::attest::fetch::{self, FetchError, Guest, GuestInfo, GuestQuote, Nonce};
use crate::attest::saved::{Gathered, Measure, NamedBy, Saved, Wanted};
use crate::attest::{AppCertificate, Collateral, ExpectedInstance, Link, Reason, Root, Standing};
use crate::attest::{TcbPolicy, TcbStatus, Verdict};
use crate::chain::is_known_kms;
use crate::cloud::{Cvm, CvmId, health};
use crate::code::Code;
use crate::compose::ComposeHash;
use crate::evidence;
use crate::upgrade::{
    Accepted, UpgradeError, World,
    checks::kms,
    finding::{self, Finding},
};

/// Status of a CVM that is up.
const RUNNING: &str = "running";

/// What is asked.
#[derive(Debug)]
pub struct Request<'a> {
    /// The CVM.
    pub cvm: &'a CvmId,
    /// What is known of what it should be.
    pub known: &'a Known,
    /// Where evidence is asked for, besides Phala Cloud.
    pub places: &'a Places,
    /// Which machines are safe enough.
    pub tcb: &'a TcbPolicy,
    /// Whom the quote has to come from.
    pub root: &'a Root,
    /// What somebody agreed to by name.
    pub accepted: &'a Accepted,
}

/// What is known of a CVM before anybody is asked.
#[derive(Debug, Clone, Default)]
pub struct Known {
    /// The hash that should run, and who named it.
    pub hash: Option<(ComposeHash, NamedBy)>,
    /// The hash that ran before.
    pub previous: Option<ComposeHash>,
    /// The transaction by which the app allowed it.
    pub transaction: Option<B256>,
    /// The app.
    pub app: Option<Address>,
    /// The chain of the contracts.
    pub chain_id: Option<u64>,
    /// The KMS's contract, as the upgrade has it.
    pub kms: Option<Address>,
    /// The KMS's contract, as somebody named it.
    pub named_kms: Option<Address>,
}

/// Where evidence is asked for, besides Phala Cloud.
#[derive(Debug, Clone)]
pub struct Places {
    /// Intel's collateral.
    pub pccs: Url,
    /// The guest's agent, in place of the address that follows from the CVM's record.
    pub guest: Option<Url>,
    /// The app, which answers a number; with the number.
    pub app: Option<(Url, Nonce)>,
    /// Collateral that is here already.
    pub collateral: Option<Collateral>,
}

/// Something that could not be had.
#[derive(Debug)]
pub struct Missing {
    /// From whom.
    pub from: Giver,
    /// Why.
    pub error: Box<dyn Error + Send + Sync>,
    /// Whether the same request can fare better later.
    pub is_passing: bool,
}

/// Who gives evidence.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Giver {
    /// Phala Cloud.
    PhalaCloud,
    /// The guest.
    Guest,
    /// A server of Intel's collateral.
    Pccs,
    /// The app, asked for an answer to a number.
    App,
}

/// A CVM that was looked at.
#[derive(Debug)]
pub struct Attested {
    /// All that the verdict was made of.
    pub saved: Saved,
    /// The verdict.
    pub verdict: Verdict,
    /// What could not be had.
    pub missing: Vec<Missing>,
    /// Whether Phala Cloud says that the CVM is up.
    pub is_up: bool,
}

/// How it ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Conclusion {
    /// Every link holds, but for when it was measured.
    Proven,
    /// This link is broken.
    Broken(Link),
    /// It is not up yet, or runs what it ran before.
    Pending,
    /// The machine is of a level that nobody accepted.
    Unsafe(TcbStatus),
    /// Nothing is missing but Intel's collateral, whose server could not be reached.
    NoCollateral,
    /// This link is the first that is missing.
    NotProven(Link),
}

impl Giver {
    /// As it is told.
    pub const fn name(self) -> &'static str {
        match self {
            Self::PhalaCloud => "Phala Cloud",
            Self::Guest => "the guest",
            Self::Pccs => "the server of Intel's collateral",
            Self::App => "the app",
        }
    }
}

/// Asks everybody who has something to say of a CVM, and judges it.
///
/// # Errors
/// Phala Cloud does not say what the CVM is, it is none that contracts guard, the KMS is one that nobody named, or the chain
/// does not answer.
pub async fn attest(world: &World<'_>, request: &Request<'_>) -> Result<Attested, UpgradeError> {
    let record = world.cloud.cvm(request.cvm).await?;
    let mut wanted = wanted(&record, request)?;
    let mut missing = Vec::new();
    let (gathered, is_online) = gather(world, &record, request, &mut missing).await;
    if gathered.member_of(wanted.compose_hash, "no_instance_id") == Some(true.into()) {
        wanted.instance = ExpectedInstance::Without;
    }
    let at = Timestamp::now();
    let by = Measure {
        tcb: request.tcb,
        root: request.root,
        at,
    };
    let mut saved = Saved::new(at, request.cvm.to_string(), wanted, gathered);
    saved.gathered.collateral = collateral(world, request, saved.judge(&by), &mut missing).await;
    let chain = world.chain(saved.wanted.chain_id).await?;
    saved.contracts = Some(evidence::ask_contracts(&chain, &saved, &by).await?);
    Ok(Attested {
        verdict: saved.judge(&by),
        saved,
        missing,
        is_up: is_online != Some(false)
            && record.progress.is_none()
            && record.status.as_deref().is_none_or(|status| status == RUNNING),
    })
}

impl Attested {
    /// What was saved, judged again; nobody is asked. The KMS's contract that the file names is held against what is known,
    /// as that of Phala Cloud's record is.
    ///
    /// # Errors
    /// It is another one, on another chain, or one that nobody named.
    pub fn again(saved: Saved, known: &Known, accepted: &Accepted, by: &Measure<'_>) -> Result<Self, UpgradeError> {
        let wanted = &saved.wanted;
        kms::refuse_other(known.kms, Some(wanted.kms))?;
        kms::refuse_other(known.named_kms, Some(wanted.kms))?;
        if let Some(expected) = known.chain_id.filter(|chain_id| *chain_id != wanted.chain_id) {
            let what = "chain of the contracts";
            return Err(UpgradeError::stop(Code::ChainMismatch, what, expected, wanted.chain_id));
        }
        trusted(wanted.kms, wanted.chain_id, known, accepted)?;
        Ok(Self {
            verdict: saved.judge(by),
            saved,
            missing: Vec::new(),
            is_up: true,
        })
    }

    /// How it ended.
    pub fn conclusion(&self, by: &Measure<'_>) -> Conclusion {
        let Some(first) = self.verdict.first() else {
            return Conclusion::Proven;
        };
        if self.is_what_ran_before(by) {
            return Conclusion::Pending;
        }
        match (first.standing, &first.reason) {
            (Standing::Broken, _) => Conclusion::Broken(first.link),
            _ if !self.is_up && self.verdict.quote.is_none() => Conclusion::Pending,
            (_, Some(Reason::NotSafe { status, .. })) => Conclusion::Unsafe(*status),
            _ if self.misses_collateral_alone() => Conclusion::NoCollateral,
            _ => Conclusion::NotProven(first.link),
        }
    }

    /// Whether nothing contradicts that the CVM still runs what it ran before the upgrade. The contracts may have taken that
    /// from their list already.
    fn is_what_ran_before(&self, by: &Measure<'_>) -> bool {
        let (wanted, boot) = (&self.saved.wanted, self.verdict.boot.as_ref());
        let previous = wanted.previous_compose_hash.filter(|hash| *hash != wanted.compose_hash);
        let Some(previous) = previous.filter(|hash| boot.is_some_and(|boot| boot.compose_hash == *hash)) else {
            return false;
        };
        let before = self.saved.judge_as(previous, by);
        let mut broken = before.findings.iter().filter(|one| one.standing == Standing::Broken);
        broken.all(|one| one.link == Link::Chain)
    }

    fn misses_collateral_alone(&self) -> bool {
        let unreachable = self.missing.iter().any(|one| one.from == Giver::Pccs && one.is_passing);
        let known_by_it = [Link::Genuine, Link::Tcb, Link::Chain, Link::Fresh];
        let mut open = self
            .verdict
            .findings
            .iter()
            .filter(|one| one.standing != Standing::Holds);
        unreachable && open.all(|one| known_by_it.contains(&one.link))
    }
}

/// What the CVM should be: what is known of it before Phala Cloud's record.
fn wanted(record: &Cvm, request: &Request<'_>) -> Result<Wanted, UpgradeError> {
    let known = request.known;
    let on_chain = || {
        UpgradeError::decide(
            Code::KmsOffchain,
            "no KMS on a chain guards the CVM: no contract says what may run, so that nothing that is measured could be \
             compared with it",
        )
    };
    let (app, kms) = (record.app_id, record.kms.kms_contract);
    if let (Some(expected), Some(found)) = (known.app, app)
        && expected != found
    {
        return Err(UpgradeError::stop(Code::AppMismatch, "app of the CVM", expected, found));
    }
    kms::refuse_other(known.kms.or(known.named_kms), kms)?;
    kms::refuse_other(known.named_kms, kms)?;
    let chain_id = known.chain_id.or(record.kms.chain_id).ok_or_else(on_chain)?;
    let kms = known.kms.or(kms).ok_or_else(on_chain)?;
    trusted(kms, chain_id, known, request.accepted)?;
    let reported = record.compose_hash.map(|hash| (hash, NamedBy::PhalaCloud));
    let (compose_hash, named_by) = known.hash.or(reported).ok_or_else(|| {
        UpgradeError::decide(
            Code::HashNotAllowed,
            "Phala Cloud does not say which compose hash the CVM runs: name the one that was approved by --compose-hash",
        )
    })?;
    let instance = record.instance_id.as_deref().and_then(instance_id);
    Ok(Wanted {
        compose_hash,
        named_by,
        previous_compose_hash: known.previous,
        transaction: known.transaction,
        chain_id,
        app: known.app.or(app).ok_or_else(on_chain)?,
        kms,
        instance: instance.map_or(ExpectedInstance::NotKnown, ExpectedInstance::Is),
        device_id: record.device_id,
    })
}

/// All that is proven in the end stands on the key that the KMS's contract names: somebody has to know that contract, and
/// Phala Cloud's word is not enough.
fn trusted(kms: Address, chain_id: u64, known: &Known, accepted: &Accepted) -> Result<(), UpgradeError> {
    if is_known_kms(chain_id, kms) || known.named_kms == Some(kms) {
        return Ok(());
    }
    let text = format!(
        "every proof would stand on the KMS contract {kms}, which this version does not know: compare it with what whoever runs \
         the KMS says, and name the contract as `kms` in phala.toml"
    );
    let doubt = Finding::decision(Code::KmsNotKnown, Some(kms.to_string()), text);
    let verdict = finding::Verdict::new(vec![doubt], Vec::new(), accepted);
    match verdict.forbidding() {
        None => Ok(()),
        Some(_) => Err(UpgradeError::Forbidden(Box::new(verdict))),
    }
}

/// What Phala Cloud and the guest show; and whether Phala Cloud could ask the CVM.
async fn gather(
    world: &World<'_>,
    record: &Cvm,
    request: &Request<'_>,
    missing: &mut Vec<Missing>,
) -> (Gathered, Option<bool>) {
    let places = request.places;
    let app = async {
        match &places.app {
            Some((url, nonce)) => Some((nonce, fetch::answer(world.http, url.clone()).await)),
            None => None,
        }
    };
    let cloud = world.cloud.attestation(request.cvm);
    let (cloud, guest, app) = tokio::join!(cloud, ask_guest(world, record, places), app);
    let mut shown = health::Evidence::default();
    let mut is_online = None;
    match cloud {
        Ok(said) => {
            is_online = said.is_online;
            shown = said.evidence;
        }
        Err(error) => missing.push(Missing {
            from: Giver::PhalaCloud,
            error: error.into(),
            is_passing: false,
        }),
    }
    let (info, quote) = guest.unwrap_or_else(|error| {
        missing.push(Missing::of(Giver::Guest, error));
        (GuestInfo::default(), None)
    });
    let mut gathered = joined(info, quote, shown);
    if let Some((nonce, answer)) = app {
        gathered.nonce = Some(nonce.bytes().to_vec().into());
        match answer {
            Ok(answer) => gathered.answer = Some(answer.into()),
            Err(error) => missing.push(Missing::of(Giver::App, error)),
        }
    }
    (gathered, is_online)
}

/// The guest by its instance's name, or by its app's where that leads nowhere; a quote of the moment where it has no
/// certificate that holds one.
async fn ask_guest(
    world: &World<'_>,
    record: &Cvm,
    places: &Places,
) -> Result<(GuestInfo, Option<GuestQuote>), FetchError> {
    let guests = guests(world, record, places)?;
    let mut failed = FetchError::NoAddress {
        why: "it names neither instance nor app",
    };
    for guest in guests {
        match guest.info().await {
            Ok(info) if has_evidence(&info) => return Ok((info, None)),
            Ok(info) => return Ok((info, guest.quote().await.ok())),
            Err(error) => failed = error,
        }
    }
    Err(failed)
}

fn guests(world: &World<'_>, record: &Cvm, places: &Places) -> Result<Vec<Guest>, FetchError> {
    if let Some(url) = &places.guest {
        return Ok(vec![Guest::at(world.http, of_instance(url, record)?)]);
    }
    let domain = record.gateway_domain().ok_or(FetchError::NoAddress {
        why: "it names no gateway",
    })?;
    let app = record.app_id.map(|app| app.0);
    let ids = record
        .instance_id
        .as_deref()
        .and_then(instance_id)
        .into_iter()
        .chain(app);
    ids.map(|id| Guest::of(world.http, id, &domain)).collect()
}

/// An address that somebody named, with the instance's id where it says `{instance}`.
fn of_instance(url: &Url, record: &Cvm) -> Result<Url, FetchError> {
    const PLACE: &str = "%7Binstance%7D";
    if !url.as_str().contains(PLACE) {
        return Ok(url.clone());
    }
    let nowhere = FetchError::NoAddress {
        why: "it names no instance",
    };
    let id = record.instance_id.as_deref().and_then(instance_id).ok_or(nowhere)?;
    let named = url.as_str().replace(PLACE, &hex::encode(id));
    Url::parse(&named).map_err(|_no_url| FetchError::NoAddress {
        why: "`{instance}` stands where no id can",
    })
}

/// Whether a quote and a log are inside its certificate.
fn has_evidence(info: &GuestInfo) -> bool {
    let certificate = info.certificate.as_ref();
    let read = certificate.and_then(|pem| AppCertificate::parse(pem.as_bytes()).ok());
    read.is_some_and(|read| read.evidence().is_ok())
}

/// Quote and log from one hand: the guest's own before Phala Cloud's.
fn joined(info: GuestInfo, quote: Option<GuestQuote>, shown: health::Evidence) -> Gathered {
    let certified = has_evidence(&info);
    let mut gathered = Gathered {
        certificate: info.certificate,
        manifest: info.manifest.or(shown.manifest),
        vm_config: info.vm_config,
        log: info.log,
        ..Gathered::default()
    };
    match quote {
        Some(quote) => {
            gathered.quote = Some(quote.quote.into());
            gathered.log = Some(quote.log);
            gathered.vm_config = quote.vm_config.or(gathered.vm_config);
        }
        None if certified => {}
        None => {
            gathered.quote = shown.quote.map(Into::into);
            gathered.log = shown.log;
            gathered.log_is_second_version = is_second_version(gathered.manifest.as_deref());
        }
    }
    gathered
}

/// Whether a manifest asks for event logs of the second version, which Phala Cloud's API does not pass on.
fn is_second_version(manifest: Option<&str>) -> bool {
    let value = manifest.and_then(|text| serde_json::from_str::<serde_json::Value>(text).ok());
    value.is_some_and(|value| value.get("event_log_version") == Some(&2.into()))
}

/// Intel's collateral for the machine whose quote this is.
async fn collateral(
    world: &World<'_>,
    request: &Request<'_>,
    first: Verdict,
    missing: &mut Vec<Missing>,
) -> Option<Collateral> {
    if let Some(here) = &request.places.collateral {
        return Some(here.clone());
    }
    let machine = first.quote?.platform(request.root).ok()?;
    match fetch::collateral(world.http, &request.places.pccs, &machine).await {
        Ok(collateral) => Some(collateral),
        Err(error) => {
            missing.push(Missing::of(Giver::Pccs, error));
            None
        }
    }
}

/// An instance id as records write it: 40 hex digits.
fn instance_id(text: &str) -> Option<FixedBytes<20>> {
    let digits = text.strip_prefix("instance_").unwrap_or(text);
    let bytes = hex::decode(digits).ok()?;
    FixedBytes::try_from(bytes.as_slice()).ok()
}

impl Missing {
    fn of(from: Giver, error: FetchError) -> Self {
        Self {
            from,
            is_passing: error.is_passing(),
            error: Box::new(error),
        }
    }
}
