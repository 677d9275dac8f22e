//! How many endpoints have to agree, and what became of each: the one place where all of them are asked.
//!
//! Whatever a proof, a signature, a fee or an execution rests on comes through [`Chain::gather`]: it waits for as many as
//! have to agree, asks the others again, and says which were missing and why. What is only a hint, to be confirmed by
//! such a reading, comes through [`Chain::hear`].

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use futures_util::future::join_all;
use serde::Serialize;
use tokio::time::Instant;

use super::rpc::{self, Node};
use super::{Chain, ChainError};

/// First wait before endpoints are asked again, doubled each time up to the second one.
const RETRY_WAIT: Duration = Duration::from_millis(250);
const RETRY_WAIT_MAX: Duration = Duration::from_secs(2);
/// How long endpoints are asked again while none answers: a hiccup should not end an upgrade, and who waits for long
/// decides so himself. As long for what only tells.
const SHORT_PATIENCE: Duration = Duration::from_secs(3);
/// The same for one that is missing while others answer: without it nothing goes on, and what limits or restarts an
/// endpoint is over soon.
const PATIENCE: Duration = Duration::from_secs(10);
/// A pause that somebody who waits should hear of.
const LONG_PAUSE: Duration = Duration::from_secs(3);
/// Shortest time for a question when the time for the run is over: its last look has to be possible.
const LAST_LOOK: Duration = Duration::from_secs(2);

/// How many endpoints have to agree, and how long one that is missing is waited for.
#[derive(Debug, Clone, Default)]
pub struct Quorum {
    /// So many have to agree; without a number all that were named.
    pub needed: Option<usize>,
    /// When the time for the run is over: an endpoint that asks for a pause is left alone until then at most.
    pub until: Option<Instant>,
    /// Fewer are enough, down to one: for what only tells, and binds nobody.
    pub partial: bool,
    /// Where it is written down who answered.
    pub turnout: Turnout,
    /// Hears of a pause long enough to wonder about.
    pub notice: Option<fn(&str)>,
}

/// Who answered in a run and who did not, over all its connections.
#[derive(Debug, Clone, Default)]
pub struct Turnout(Arc<Mutex<Heard>>);

/// What was heard of the endpoints.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct Heard {
    /// How many were named.
    pub named: usize,
    /// How many of them have to agree.
    pub needed: usize,
    /// Those that answered whenever they had to, scheme and host.
    pub agreed: Vec<String>,
    /// Those that did not, and why, as far as that still stands.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub missing: Vec<Missing>,
    /// Something was read from fewer than have to agree.
    #[serde(skip)]
    pub short: bool,
}

/// An endpoint that is missing where others agree.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Missing {
    /// Scheme and host.
    pub endpoint: String,
    /// Why, for people.
    pub why: String,
}

impl std::fmt::Display for Missing {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}: {}", self.endpoint, self.why)
    }
}

impl Missing {
    pub(super) fn new(node: &Node, why: impl Into<String>) -> Self {
        Self {
            endpoint: node.label().to_owned(),
            why: why.into(),
        }
    }

    /// What an error of an endpoint says of it, without its name again.
    fn of(node: &Node, error: &ChainError) -> Self {
        let told = super::logs::whole(error);
        let why = told.strip_prefix(node.label()).map_or(told.as_str(), str::trim_start);
        Self::new(node, why)
    }
}

impl Turnout {
    /// What was heard so far; `None` before any endpoint was asked.
    pub fn heard(&self) -> Option<Heard> {
        let heard = self.lock();
        (heard.named > 0).then(|| heard.clone())
    }

    fn lock(&self) -> MutexGuard<'_, Heard> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn begin(&self, labels: Vec<String>, needed: usize) {
        let mut heard = self.lock();
        if heard.named == 0 {
            heard.named = labels.len();
            heard.needed = needed;
            heard.agreed = labels;
        }
    }

    /// Endpoints are missing in a reading that fewer made than have to agree, unless `enough` did.
    pub(super) fn miss(&self, missing: &[Missing], enough: bool) {
        let mut heard = self.lock();
        heard.short |= !enough && !missing.is_empty();
        for one in missing {
            heard.agreed.retain(|label| *label != one.endpoint);
            heard.missing.retain(|other| other.endpoint != one.endpoint);
            heard.missing.push(one.clone());
        }
    }

    /// All that have to agree did: what one of them was missing for is over, unless something was read without it.
    fn complete(&self, found: &[&Node]) {
        let mut heard = self.lock();
        if heard.short {
            return;
        }
        for node in found {
            let known = heard.missing.len();
            heard.missing.retain(|missing| missing.endpoint != node.label());
            if heard.missing.len() < known {
                heard.agreed.push(node.label().to_owned());
            }
        }
    }
}

/// When to ask again, and when no more.
pub(super) struct Patience {
    began: Instant,
    wait: Duration,
    until: Option<Instant>,
}

impl Patience {
    pub(super) fn new(quorum: &Quorum) -> Self {
        Self {
            began: Instant::now(),
            wait: RETRY_WAIT,
            until: quorum.until,
        }
    }

    /// Sleeps before the next try; `false` when there is none. A pause that an endpoint asked for is kept as long as the
    /// run has time.
    pub(super) async fn wait(&mut self, asked: Option<Duration>, patience: Duration) -> bool {
        let usual = self.began + patience;
        let end = match (asked, self.until) {
            (Some(_), Some(until)) => until,
            (_, Some(until)) => usual.min(until),
            (_, None) => usual,
        };
        let pause = asked.unwrap_or(self.wait);
        match Instant::now().checked_add(pause) {
            Some(next) if next <= end => {}
            _ => return false,
        }
        tokio::time::sleep(pause).await;
        self.wait = (self.wait * 2).min(RETRY_WAIT_MAX);
        true
    }

    /// As for an endpoint that is missing while others answer.
    pub(super) async fn wait_for_one(&mut self, quorum: &Quorum) -> bool {
        let patience = if quorum.partial { SHORT_PATIENCE } else { PATIENCE };
        self.wait(None, patience).await
    }
}

/// What one round of questions brought.
struct Round<'s, T> {
    found: BTreeMap<usize, (&'s Node, T)>,
    trouble: BTreeMap<usize, (&'s Node, ChainError)>,
}

impl<T> Default for Round<'_, T> {
    fn default() -> Self {
        Self {
            found: BTreeMap::new(),
            trouble: BTreeMap::new(),
        }
    }
}

impl<T> Round<'_, T> {
    fn missing(&self) -> Vec<Missing> {
        let each = self.trouble.values();
        each.map(|(node, error)| Missing::of(node, error)).collect()
    }

    /// The longest pause that one of the missing asked for.
    fn asked_delay(&self) -> Option<Duration> {
        let each = self.trouble.values();
        each.filter_map(|(_, error)| rpc::asked_delay(error)).max()
    }
}

/// One that gives no answer just now, in contrast to one that gives a wrong one.
pub(super) const fn is_absence(error: &ChainError) -> bool {
    matches!(error, ChainError::Unavailable { .. } | ChainError::Stale { .. })
}

/// The time for a run is over.
#[derive(Debug, thiserror::Error)]
#[error("no answer within the time for this run")]
struct OutOfTime;

impl Chain {
    /// How many have to agree on what binds somebody.
    pub(super) fn required(&self) -> usize {
        self.quorum.needed.unwrap_or(self.nodes.len()).max(1)
    }

    /// How many have to agree on what is read now.
    fn least(&self) -> usize {
        if self.quorum.partial { 1 } else { self.required() }
    }

    pub(super) fn begin_turnout(&self) {
        let labels = self.nodes.iter().map(|node| node.label().to_owned()).collect();
        self.quorum.turnout.begin(labels, self.required());
    }

    /// Who is missing in what was read so far, where something was read from fewer than have to agree.
    pub(crate) fn missing_now(&self) -> Vec<Missing> {
        let heard = self.quorum.turnout.heard().filter(|heard| heard.short);
        heard.map(|heard| heard.missing).unwrap_or_default()
    }

    /// The endpoints that are missing while fewer than have to agree do.
    pub(super) fn too_few(&self, answered: usize, missing: Vec<Missing>) -> ChainError {
        self.quorum.turnout.miss(&missing, true);
        ChainError::TooFew {
            answered,
            named: self.nodes.len(),
            needed: self.required(),
            missing,
        }
    }

    /// Asks every endpoint, all at once, until as many answered as have to agree; those that did not are asked again for
    /// a while, one that asks for a pause after it. What contradicts or endangers is an error at once.
    ///
    /// # Errors
    /// Fewer answered, or an answer says that something is wrong.
    pub(super) async fn gather<'s, T, F, R>(&'s self, ask: F) -> Result<Vec<(&'s Node, T)>, ChainError>
    where
        F: Fn(&'s Node) -> R,
        R: Future<Output = Result<T, ChainError>>,
    {
        let mut round = Round::default();
        let mut patience = Patience::new(&self.quorum);
        let mut open = self.ready();
        // Whoever only tells does not wait again for one that was waited for a moment ago.
        let wanted = match self.quorum.partial {
            true => self.required().min(open.len()),
            false => self.required(),
        };
        loop {
            self.ask_these(&open, &ask, &mut round).await?;
            if round.found.len() >= wanted {
                break;
            }
            let length = match (round.found.is_empty(), self.quorum.partial) {
                (false, false) => PATIENCE,
                _ => SHORT_PATIENCE,
            };
            let asked = round.asked_delay().filter(|_| round.found.len() < self.least());
            self.tell_of_pause(asked, &round.missing());
            if !patience.wait(asked, length).await {
                break;
            }
            open = (0..self.nodes.len())
                .filter(|index| !round.found.contains_key(index))
                .collect();
        }
        self.settle(round)
    }

    fn tell_of_pause(&self, asked: Option<Duration>, missing: &[Missing]) {
        let long = asked.filter(|pause| *pause >= LONG_PAUSE);
        let time = self
            .quorum
            .until
            .map(|until| until.saturating_duration_since(Instant::now()));
        if let (Some(pause), Some(notice)) = (
            long.filter(|pause| time.is_none_or(|time| *pause <= time)),
            self.quorum.notice,
        ) {
            notice(&format!(
                "waiting {} seconds; {}",
                pause.as_secs(),
                super::told(missing)
            ));
        }
    }

    /// What a round came to, once nobody is asked again.
    fn settle<'s, T>(&'s self, round: Round<'s, T>) -> Result<Vec<(&'s Node, T)>, ChainError> {
        let enough = round.found.len() >= self.required();
        let missing = round.missing();
        for (node, error) in round.trouble.values() {
            tracing::warn!(endpoint = node.label(), %error, "endpoint set aside");
            node.set_aside(true);
        }
        if enough {
            let nodes: Vec<&Node> = round.found.values().map(|(node, _)| *node).collect();
            self.quorum.turnout.complete(&nodes);
        }
        if round.found.len() >= self.least() {
            self.quorum.turnout.miss(&missing, enough);
            return Ok(round.found.into_values().collect());
        }
        if round.found.is_empty() {
            let first = round.trouble.into_values().next();
            return Err(first.map_or(ChainError::NoEndpoint { chain: self.id }, |(_, error)| error));
        }
        Err(self.too_few(round.found.len(), missing))
    }

    /// Whom to ask first: those that failed a moment ago only where the others are too few.
    fn ready(&self) -> Vec<usize> {
        let ready: Vec<usize> = (0..self.nodes.len())
            .filter(|index| self.nodes.get(*index).is_some_and(|node| !node.is_aside()))
            .collect();
        if ready.len() >= self.least() {
            return ready;
        }
        (0..self.nodes.len()).collect()
    }

    async fn ask_these<'s, T, F, R>(
        &'s self,
        open: &[usize],
        ask: &F,
        round: &mut Round<'s, T>,
    ) -> Result<(), ChainError>
    where
        F: Fn(&'s Node) -> R,
        R: Future<Output = Result<T, ChainError>>,
    {
        let asked: Vec<(usize, &Node)> = open
            .iter()
            .filter_map(|index| Some((*index, self.nodes.get(*index)?)))
            .collect();
        let replies = join_all(asked.iter().map(|(_, node)| self.in_time(node, ask(node)))).await;
        for ((index, node), reply) in asked.into_iter().zip(replies) {
            match reply {
                Ok(value) => {
                    node.set_aside(false);
                    round.trouble.remove(&index);
                    round.found.insert(index, (node, value));
                }
                Err(error) if is_absence(&error) => {
                    round.trouble.insert(index, (node, error));
                }
                Err(error) => return Err(error),
            }
        }
        Ok(())
    }

    /// An answer that comes before the time for the run is over.
    pub(super) async fn in_time<T>(
        &self,
        node: &Node,
        answer: impl Future<Output = Result<T, ChainError>>,
    ) -> Result<T, ChainError> {
        let Some(until) = self.quorum.until else {
            return answer.await;
        };
        let end = until.max(Instant::now() + LAST_LOOK);
        match tokio::time::timeout_at(end, answer).await {
            Ok(answer) => answer,
            Err(_elapsed) => Err(node.unavailable("the question", OutOfTime)),
        }
    }

    /// Asks every endpoint that works for a hint: what any of them says, whether or not the others say it. Nothing rests
    /// on it before a reading that all have to agree on confirms it.
    ///
    /// # Errors
    /// None answered.
    pub(super) async fn hear<'s, T, F, R>(&'s self, ask: F) -> Result<Vec<(&'s Node, T)>, ChainError>
    where
        F: Fn(&'s Node) -> R,
        R: Future<Output = Result<T, ChainError>>,
    {
        let mut patience = Patience::new(&self.quorum);
        loop {
            let mut round = Round::default();
            let ready: Vec<usize> = self.ready();
            self.ask_these(&ready, &ask, &mut round).await?;
            if !round.found.is_empty() {
                return Ok(round.found.into_values().collect());
            }
            if !patience.wait(round.asked_delay(), SHORT_PATIENCE).await {
                let first = round.trouble.into_values().next();
                return Err(first.map_or(ChainError::NoEndpoint { chain: self.id }, |(_, error)| error));
            }
        }
    }
}
