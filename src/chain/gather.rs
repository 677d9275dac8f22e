//! The one place where all endpoints are asked.
//!
//! Whatever a proof, a signature, a fee or an execution rests on comes through [`Chain::gather`]: it waits for as many as
//! have to agree, asks the others again, and says which were missing and why. What is only a hint, to be confirmed by
//! such a reading, comes through [`Chain::hear`].

use std::collections::BTreeMap;
use std::time::Duration;

use futures_util::future::join_all;
use tokio::time::Instant;

use super::connection::Chain;
use super::error::{ChainError, Missing, told, whole};
use super::quorum::{PATIENCE, Patience, SHORT_PATIENCE};
use super::rpc::{self, Node};

/// A pause that somebody who waits should hear of.
const LONG_PAUSE: Duration = Duration::from_secs(3);

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
        each.map(|(node, error)| of(node, error)).collect()
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
            notice(&format!("waiting {} seconds; {}", pause.as_secs(), told(missing)));
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
            self.quorum.turnout.miss(&missing, true);
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
        let replies = join_all(asked.iter().map(|(_, node)| ask(node))).await;
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

    /// As [`Self::hear`], once; nothing where none answers.
    ///
    /// # Errors
    /// An answer says that something is wrong.
    pub(super) async fn hear_once<'s, T, F, R>(&'s self, ask: &F) -> Result<Vec<(&'s Node, T)>, ChainError>
    where
        F: Fn(&'s Node) -> R,
        R: Future<Output = Result<T, ChainError>>,
    {
        let mut round = Round::default();
        self.ask_these(&self.ready(), ask, &mut round).await?;
        Ok(round.found.into_values().collect())
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

/// What an error of an endpoint says of it, without its name again.
fn of(node: &Node, error: &ChainError) -> Missing {
    let told = whole(error);
    let why = told.strip_prefix(node.label()).map_or(told.as_str(), str::trim_start);
    node.missing(why)
}
