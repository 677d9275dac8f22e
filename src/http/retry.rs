//! What may be sent again, how often and how soon; pure.

use std::time::Duration;

use backon::{BackoffBuilder, ExponentialBuilder};

use super::answer::{Answer, HttpError, Kind, Sent};

/// Longest wait that a server can ask for: with more the answer is that it has none now, and a person decides.
const RETRY_AFTER_MAX: Duration = Duration::from_secs(60);

/// What may be sent again.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Retry {
    /// Reads: no connection, a broken one, no answer in time, and 408, 429, 500, 502, 503, 504.
    Read,
    /// Writes: only what certainly did not happen (it never left whole, or was answered 429).
    Write,
    /// One attempt.
    Once,
}

/// How often and how soon.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RetryPolicy {
    /// Attempts, the first one included; zero counts as one.
    pub attempts: u32,
    /// Wait before the second attempt; it doubles from there, and each wait is cut at random by up to a half.
    pub base: Duration,
    /// Longest wait, unless the server asks for more.
    pub cap: Duration,
    /// Time for all attempts and waits together; without one only `attempts` ends it.
    pub deadline: Option<Duration>,
}

impl Default for RetryPolicy {
    /// Six attempts within about half a minute of waiting: long enough for a restart behind a load balancer.
    fn default() -> Self {
        Self {
            attempts: 6,
            base: Duration::from_millis(500),
            cap: Duration::from_secs(8),
            deadline: None,
        }
    }
}

impl RetryPolicy {
    /// The waits between attempts.
    pub(super) fn waits(&self) -> impl Iterator<Item = Duration> + Send + use<> {
        // backon's jitter adds up to as much again, so half of each wait is the floor.
        ExponentialBuilder::new()
            .with_min_delay(self.base / 2)
            .with_max_delay(self.cap / 2)
            .with_factor(2.0)
            .with_jitter()
            .with_max_times(usize::try_from(self.attempts.saturating_sub(1)).unwrap_or(usize::MAX))
            .build()
    }
}

impl Retry {
    /// Whether another attempt is allowed, and the least wait that the server asked for. One that asks to be left alone for
    /// longer than a person waits is not asked again.
    pub(super) fn allows(self, outcome: &Result<Answer, HttpError>) -> Option<Duration> {
        let again = match (self, outcome) {
            (Self::Once, _) => false,
            (Self::Read, Ok(answer)) => matches!(answer.status, 408 | 429 | 500 | 502..=504),
            (Self::Write, Ok(answer)) => answer.status == 429,
            (Self::Read, Err(error)) => error.kind.is_passing(),
            (Self::Write, Err(error)) => error.kind.is_passing() && error.sent == Sent::No,
        };
        let asked = outcome.as_ref().ok().and_then(|answer| answer.retry_after);
        let asked = asked.unwrap_or_default();
        (again && asked <= RETRY_AFTER_MAX).then_some(asked)
    }
}

impl Kind {
    /// Whether the same request can fare better a moment later.
    const fn is_passing(&self) -> bool {
        matches!(self, Self::Connect | Self::Timeout | Self::Broken)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn answered(status: u16, retry_after: Option<u64>) -> Result<Answer, HttpError> {
        Ok(Answer {
            status,
            request_id: None,
            date: None,
            retry_after: retry_after.map(Duration::from_secs),
            quota_left: None,
            headers: reqwest::header::HeaderMap::new(),
            body: Vec::new(),
        })
    }

    fn failed(kind: Kind, sent: Sent) -> Result<Answer, HttpError> {
        Err(HttpError {
            verb: "POST".to_owned(),
            endpoint: "https://example.org".to_owned(),
            path: "/".to_owned(),
            kind,
            sent,
            source: None,
        })
    }

    #[test]
    fn a27_reads_are_repeated_on_gateway_trouble_and_writes_are_not() {
        for status in [408, 429, 500, 502, 503, 504] {
            assert!(Retry::Read.allows(&answered(status, None)).is_some(), "{status}");
            assert_eq!(
                Retry::Write.allows(&answered(status, None)).is_some(),
                status == 429,
                "{status}"
            );
            assert!(Retry::Once.allows(&answered(status, None)).is_none(), "{status}");
        }
        for status in [
            200, 202, 299, 301, 400, 401, 404, 409, 422, 465, 466, 467, 468, 501, 505, 599,
        ] {
            assert!(Retry::Read.allows(&answered(status, None)).is_none(), "{status}");
        }
    }

    #[test]
    fn a9_a_write_that_may_have_arrived_is_never_repeated() {
        for kind in [Kind::Timeout, Kind::Broken, Kind::Connect] {
            assert!(Retry::Write.allows(&failed(kind.clone(), Sent::Maybe)).is_none());
            assert!(Retry::Write.allows(&failed(kind.clone(), Sent::No)).is_some());
            assert!(Retry::Read.allows(&failed(kind, Sent::Maybe)).is_some());
        }
    }

    #[test]
    fn a4_a20_what_a_moment_cannot_cure_is_not_repeated() {
        let lasting = [
            Kind::Tls,
            Kind::NoTls,
            Kind::Insecure,
            Kind::TooLarge { limit: 1 },
            Kind::Redirect { to: "x".to_owned() },
        ];
        for kind in lasting {
            assert!(Retry::Read.allows(&failed(kind.clone(), Sent::No)).is_none());
            assert!(Retry::Write.allows(&failed(kind, Sent::No)).is_none());
        }
    }

    #[test]
    fn a26_retry_after_is_obeyed_up_to_a_minute_and_ends_the_attempts_beyond_it() {
        assert_eq!(
            Retry::Read.allows(&answered(429, Some(7))),
            Some(Duration::from_secs(7))
        );
        assert_eq!(Retry::Write.allows(&answered(429, Some(60))), Some(RETRY_AFTER_MAX));
        for longer in [61, 100_000, u64::MAX] {
            assert_eq!(Retry::Write.allows(&answered(429, Some(longer))), None);
            assert_eq!(Retry::Read.allows(&answered(503, Some(longer))), None);
        }
        assert_eq!(Retry::Read.allows(&answered(503, None)), Some(Duration::ZERO));
    }

    #[test]
    fn waits_double_to_the_cap_and_are_cut_by_at_most_a_half() {
        for _ in 0..50 {
            let waits: Vec<_> = RetryPolicy::default().waits().collect();
            let full = [500, 1000, 2000, 4000, 8000];
            assert_eq!(waits.len(), full.len(), "six attempts have five waits");
            for (wait, full) in waits.iter().zip(full) {
                let full = Duration::from_millis(full);
                assert!(*wait >= full / 2 && *wait <= full, "{wait:?} of {full:?}");
            }
        }
        let capped = RetryPolicy {
            attempts: 9,
            ..RetryPolicy::default()
        };
        assert!(capped.waits().all(|wait| wait <= capped.cap));
    }

    #[test]
    fn one_attempt_has_no_wait() {
        for attempts in [0, 1] {
            assert_eq!(
                RetryPolicy {
                    attempts,
                    ..RetryPolicy::default()
                }
                .waits()
                .count(),
                0
            );
        }
    }
}
