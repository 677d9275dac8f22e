//! How many endpoints have to agree, how long one that is missing is waited for, and who answered.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use serde::Serialize;
use tokio::time::Instant;

use super::error::Missing;
use super::rpc::Node;

/// First wait before endpoints are asked again, doubled each time up to the second one.
const RETRY_WAIT: Duration = Duration::from_millis(250);
const RETRY_WAIT_MAX: Duration = Duration::from_secs(2);
/// How long endpoints are asked again while none answers: a hiccup should not end an upgrade, and who waits for long
/// decides so himself. As long for what only tells.
pub(super) const SHORT_PATIENCE: Duration = Duration::from_secs(3);
/// How long an endpoint that is missing while others answer is asked again: without it nothing goes on, and what limits
/// or restarts an endpoint is over soon.
pub(super) const PATIENCE: Duration = Duration::from_secs(10);

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

impl Turnout {
    /// What was heard so far; `None` before any endpoint was asked.
    pub fn heard(&self) -> Option<Heard> {
        let heard = self.lock();
        (heard.named > 0).then(|| heard.clone())
    }

    fn lock(&self) -> MutexGuard<'_, Heard> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn begin(&self, labels: Vec<String>, needed: usize) {
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
    pub(super) fn complete(&self, found: &[&Node]) {
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
