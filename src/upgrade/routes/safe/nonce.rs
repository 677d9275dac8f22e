//! Which nonce a new transaction of a Safe takes: the first one that nothing holds which waits at the Safe Transaction
//! Service, where somebody named one. The service is a notice board: what it says can make a transaction wait, and
//! nothing worse, so that without it, or when it lies, the Safe's own nonce is taken and that is said. What it calls agreed
//! without a key's signature is asked of the chain, and a nonce that waits for more than a few is somebody's decision.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::time::Duration;

use alloy::primitives::{B256, U256};
use tokio::time::Instant;

use crate::chain::Call;
use crate::code::Code;
use crate::http::RetryPolicy;
use crate::safe::{
    info::SafeInfo,
    itself::changes_itself,
    recognise::{Recognition, recognise},
    service::{NextNonce, Service, ServiceError, ServiceTx, Unsigned, at_nonce, next_nonce, prove},
};
use crate::upgrade::{
    Limits, UpgradeError, Warning, World,
    checks::{safe::agreed, verdict::far_ahead},
    model::safe_approval::domain,
};

/// How long the service is asked in all: nothing depends on it.
const PATIENCE: Duration = Duration::from_secs(10);
const ATTEMPTS: u32 = 3;
/// Most hashes that one sentence names.
const NAMED: usize = 5;

/// A nonce, and what a person should know about it.
#[derive(Debug, PartialEq, Eq)]
pub(in crate::upgrade) struct Chosen {
    pub(in crate::upgrade) nonce: U256,
    pub(in crate::upgrade) remarks: Vec<Warning>,
    /// That nobody named it and it waits for more than a few, which somebody has to agree to.
    pub(in crate::upgrade) far: Option<Warning>,
}

impl Chosen {
    /// The nonce and the remarks, if it is near or was agreed to.
    ///
    /// # Errors
    /// It waits for more than a few transactions.
    pub(in crate::upgrade) fn agreed(self, limits: &Limits) -> Result<(U256, Vec<Warning>), UpgradeError> {
        match self.far.filter(|far| !agreed(limits, far.code, self.nonce)) {
            Some(far) => Err(UpgradeError::decide(far.code, far.text)),
            None => Ok((self.nonce, self.remarks)),
        }
    }
}

/// What the board shows of a Safe, as far as it is true.
struct Board<'a> {
    info: &'a SafeInfo,
    waiting: Vec<ServiceTx>,
    /// What anybody can have written at the nonce that is taken.
    unsigned: Unsigned,
    next: NextNonce,
    /// The nonce that is taken.
    nonce: U256,
    taken: &'a Taken,
}

/// Nonces of a Safe that other upgrades of this machine have chosen, and which upgrades.
pub(in crate::upgrade) type Taken = BTreeMap<U256, PathBuf>;

/// What a nonce is chosen for.
pub(in crate::upgrade) struct Asked<'a> {
    /// The nonce that a person named.
    pub(in crate::upgrade) wish: Option<U256>,
    /// What the Safe transaction makes.
    pub(in crate::upgrade) calls: &'a [Call],
    pub(in crate::upgrade) taken: &'a Taken,
}

/// Chooses the nonce of a Safe transaction. The service is asked only where one was named or a key for Safe's own is there.
///
/// # Errors
/// The service's URL can be none. One that does not answer is a remark.
pub(in crate::upgrade) async fn choose(
    world: &World<'_>,
    info: &SafeInfo,
    asked: &Asked<'_>,
) -> Result<Chosen, UpgradeError> {
    let Asked { wish, calls, taken } = *asked;
    let Some(service) = service(world, info.chain_id)? else {
        return Ok(match wish {
            Some(nonce) => Chosen {
                nonce,
                remarks: Vec::new(),
                far: None,
            },
            None => unseen(info, wish, &not_asked(info), taken),
        });
    };
    match Board::read(world, &service, info, asked).await {
        Ok(board) => Ok(board.choose(wish, calls)),
        Err(error) => {
            let why = format!("{} could not be relied on ({error})", service.host());
            Ok(unseen(info, wish, &why, taken))
        }
    }
}

/// The service that is asked beside what is done, where somebody named one or has a key for Safe's own; not for long.
///
/// # Errors
/// Its URL can be none.
pub(in crate::upgrade) fn service(world: &World<'_>, chain_id: u64) -> Result<Option<Service>, UpgradeError> {
    let policy = RetryPolicy {
        attempts: ATTEMPTS,
        deadline: Some(PATIENCE),
        ..RetryPolicy::default()
    };
    let end = Instant::now() + PATIENCE;
    let end = world.quorum.until.map_or(end, |until| until.min(end));
    let http = world.http.clone().with_retries(policy).until(end);
    world
        .services
        .configured(&http, chain_id)
        .map_err(UpgradeError::Service)
}

/// A nonce that the Safe has used.
pub(in crate::upgrade) fn used_up(info: &SafeInfo, nonce: U256) -> Warning {
    remark(
        Code::SafeNonceTaken,
        format!("nonce {nonce} of the Safe is used up; its next one is {}", info.nonce),
    )
}

/// The first nonce from this one on that nothing holds, here or, by `is_held`, elsewhere.
fn free(first: U256, taken: &Taken, is_held: impl Fn(U256) -> bool) -> U256 {
    let mut nonce = first;
    while taken.contains_key(&nonce) || is_held(nonce) {
        nonce = nonce.saturating_add(U256::ONE);
    }
    nonce
}

/// That nonces were passed over which other upgrades here have chosen.
fn passed_over(first: U256, nonce: U256, taken: &Taken) -> Option<Warning> {
    let (held, dir) = taken.range(first..nonce).next()?;
    let text = format!(
        "`{}` has chosen nonce {held} of the Safe: nonce {nonce} is taken here, and waits for those before it",
        dir.display()
    );
    Some(remark(Code::SafeNonceTakenHere, text))
}

fn not_asked(info: &SafeInfo) -> String {
    let url = Service::default_base(info.chain_id);
    let url = url.map_or_else(|| "URL".to_owned(), |url| url.to_string());
    format!("no Safe Transaction Service was asked (--service-url {url} names one)")
}

/// The Safe's own nonce, or the one that was named.
fn unseen(info: &SafeInfo, wish: Option<U256>, why: &str, taken: &Taken) -> Chosen {
    let nonce = wish.unwrap_or_else(|| free(info.nonce, taken, |_| false));
    let passed = passed_over(info.nonce, nonce, taken).filter(|_| wish.is_none());
    let text = format!("whether other transactions wait for nonce {nonce} of the Safe is not known: {why}");
    Chosen {
        nonce,
        remarks: passed
            .into_iter()
            .chain([remark(Code::SafeQueueUnseen, text)])
            .collect(),
        far: None,
    }
}

fn remark(code: Code, text: String) -> Warning {
    Warning {
        code: code.to_owned(),
        text,
    }
}

/// The first of these hashes, and how many more there are besides, `unread` of which nobody read.
pub(in crate::upgrade) fn named(hashes: &[B256], unread: u64) -> String {
    let names: Vec<String> = hashes.iter().take(NAMED).map(ToString::to_string).collect();
    let left = u64::try_from(hashes.len().saturating_sub(NAMED)).unwrap_or(u64::MAX);
    match left.saturating_add(unread) {
        0 => names.join(", "),
        more => format!("{} and {more} more", names.join(", ")),
    }
}

/// That what nobody has signed could not be read to its end.
pub fn unseen_unsigned(unsigned: &Unsigned, nonce: U256) -> Option<Warning> {
    let failure = unsigned.failure.as_ref()?;
    let text = format!(
        "what nobody has signed at nonce {nonce} of the Safe was not seen, which hides nothing that owners signed: {failure}"
    );
    Some(remark(Code::ServiceUnsignedUnseen, text))
}

/// That what the service shows as signatures of owners is not theirs and was left out: whose, and why.
pub fn not_theirs<'a>(shown: impl IntoIterator<Item = &'a ServiceTx>) -> Option<Warning> {
    let wrong = shown.into_iter().flat_map(|tx| {
        let hash = tx.claimed_hash;
        let named = tx.not_theirs().into_iter();
        named.map(move |(owner, why)| format!("{owner} ({hash}: {why})"))
    });
    let mut wrong: Vec<String> = wrong.collect();
    let more = wrong.len().saturating_sub(NAMED);
    wrong.truncate(NAMED);
    let besides = if more > 0 {
        format!(" and {more} more")
    } else {
        String::new()
    };
    let text = format!(
        "the service names owners of signatures that are not theirs, which were left out: {}{besides}",
        wrong.join(", ")
    );
    (!wrong.is_empty()).then(|| remark(Code::ServiceNotTheirs, text))
}

/// What the Safe changes of itself before it is the turn of `nonce`.
pub(in crate::upgrade) fn owners_queued(info: &SafeInfo, waiting: &[ServiceTx], nonce: U256) -> Option<Warning> {
    let domain = domain(info);
    let before = waiting.iter().filter(|tx| {
        let turn = tx.fields.nonce;
        tx.holds_its_nonce() && info.nonce <= turn && turn < nonce
    });
    let told: Vec<String> = before
        .flat_map(|tx| {
            let changes = changes_itself(&tx.fields, &domain).into_iter();
            changes.map(|change| format!("{change} (nonce {})", tx.fields.nonce))
        })
        .take(NAMED)
        .collect();
    let text = format!(
        "the Safe is about to change before nonce {nonce} is due, and signatures of today may not count then: {}",
        told.join("; ")
    );
    (!told.is_empty()).then(|| remark(Code::SafeOwnersQueued, text))
}

impl<'a> Board<'a> {
    async fn read(
        world: &World<'_>,
        service: &Service,
        info: &'a SafeInfo,
        asked: &Asked<'a>,
    ) -> Result<Self, UpgradeError> {
        let (safe, wish, taken) = (info.address, asked.wish, asked.taken);
        let mut waiting = service.queue(safe, info.nonce).await.map_err(UpgradeError::Service)?;
        let domain = domain(info);
        for tx in &waiting {
            if let Err(why) = tx.computed_hash(&domain) {
                let hash = tx.claimed_hash;
                return Err(UpgradeError::Service(ServiceError::Tampered { hash, why: Some(why) }));
            }
        }
        prove(&world.chain(info.chain_id).await?, info, &mut waiting).await?;
        let held = |nonce| {
            waiting
                .iter()
                .any(|tx| tx.holds_its_nonce() && tx.fields.nonce == nonce)
        };
        let nonce = wish.unwrap_or_else(|| free(info.nonce, taken, held));
        // What nobody signed holds no nonce, and becomes a competitor when somebody signs it.
        let unsigned = service.unsigned(safe, nonce, &waiting).await;
        let next = next_nonce(info.nonce, &waiting);
        Ok(Self {
            info,
            waiting,
            unsigned,
            next,
            nonce,
            taken,
        })
    }

    fn choose(&self, wish: Option<U256>, calls: &[Call]) -> Chosen {
        let nonce = self.nonce;
        let passed = passed_over(self.info.nonce, nonce, self.taken).filter(|_| wish.is_none());
        let remarks = [
            passed,
            self.same(calls),
            self.before(nonce),
            owners_queued(self.info, &self.waiting, nonce),
            self.competitors(nonce),
            unseen_unsigned(&self.unsigned, nonce),
            not_theirs(&self.waiting),
            self.gap_before(nonce),
        ];
        let after = nonce.saturating_add(U256::ONE);
        let behind = self.next.gaps.iter().map(|gap| (gap.first.max(after), gap.last));
        let behind = behind.filter(|(first, last)| first <= last).map(|(first, last)| {
            let text = format!(
                "nobody proposed nonce {first} to {last} of the Safe: what was proposed after them waits for them"
            );
            remark(Code::SafeNonceGap, text)
        });
        Chosen {
            nonce,
            remarks: remarks.into_iter().flatten().chain(behind).collect(),
            far: far_ahead(self.info.nonce, nonce)
                .filter(|_| wish.is_none())
                .map(|text| remark(Code::SafeNonceFar, text)),
        }
    }

    /// Somebody proposed the same already: signatures of that one do not count for a new nonce.
    fn same(&self, calls: &[Call]) -> Option<Warning> {
        let domain = domain(self.info);
        let is_same =
            |tx: &&ServiceTx| tx.holds_its_nonce() && recognise(&tx.fields, &domain, calls) == Recognition::Same;
        let same = self.waiting.iter().find(is_same)?;
        let text = format!(
            "Safe transaction {} makes the same calls already and waits at nonce {}: sign that one, or take its place \
             with --safe-nonce {}",
            same.claimed_hash, same.fields.nonce, same.fields.nonce
        );
        Some(remark(Code::SafeQueueSame, text))
    }

    fn before(&self, nonce: U256) -> Option<Warning> {
        let first = self.info.nonce;
        let holds = |tx: &&ServiceTx| tx.holds_its_nonce() && tx.fields.nonce >= first && tx.fields.nonce < nonce;
        let count = self.waiting.iter().filter(holds).count();
        let text = format!(
            "the Safe is at nonce {first}, and {count} signed transactions wait before nonce {nonce}: they have to be \
             executed first"
        );
        (count > 0).then(|| remark(Code::SafeQueueBefore, text))
    }

    fn competitors(&self, nonce: U256) -> Option<Warning> {
        let mut others = at_nonce(nonce, &self.waiting);
        others.extend(at_nonce(nonce, &self.unsigned.read));
        let text = format!(
            "others were proposed for nonce {nonce} of the Safe, and only one of them can be executed: {}",
            named(&others, self.unsigned.more)
        );
        (!others.is_empty()).then(|| remark(Code::SafeCompetitors, text))
    }

    /// A nonce that was named may leave some before it that nobody fills.
    fn gap_before(&self, nonce: U256) -> Option<Warning> {
        let first = self.next.nonce;
        let text = format!("nobody proposed nonce {first} of the Safe: nonce {nonce} waits for it");
        (first < nonce && !self.taken.contains_key(&first)).then(|| remark(Code::SafeNonceGap, text))
    }
}
