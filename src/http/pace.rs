//! How many requests a second a server gets at most: the slots of one server are a line in which each request takes the next.

use std::collections::BTreeMap;
use std::fmt;
use std::str::FromStr;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::time::Instant;
use url::Url;

/// Requests that a server gets at most, each of them as long after the one before as this says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Rate(Duration);

/// The slots of every server.
#[derive(Debug, Clone, Default)]
pub(super) struct Pace {
    between: Option<Rate>,
    next: Arc<Mutex<BTreeMap<String, Instant>>>,
}

impl Pace {
    pub(super) fn new(rate: Rate) -> Self {
        Self {
            between: Some(rate),
            next: Arc::default(),
        }
    }

    /// Waits for the next slot of the server; `false` where that is after `end`, and then none is taken.
    pub(super) async fn turn(&self, url: &Url, end: Option<Instant>) -> bool {
        let Some(at) = self.take(url, end, Instant::now()) else {
            return false;
        };
        tokio::time::sleep_until(at).await;
        true
    }

    fn take(&self, url: &Url, end: Option<Instant>, now: Instant) -> Option<Instant> {
        let Some(Rate(between)) = self.between else {
            return Some(now);
        };
        let mut next = self.next.lock().unwrap_or_else(PoisonError::into_inner);
        let slot = next.entry(url.authority().to_owned()).or_insert(now);
        let at = (*slot).max(now);
        if end.is_some_and(|end| at >= end) {
            return None;
        }
        *slot = at + between;
        Some(at)
    }
}

impl FromStr for Rate {
    type Err = &'static str;

    /// `5/s`, `0.5/s` or `300/m`; at least one an hour, at most 10,000 a second.
    fn from_str(text: &str) -> Result<Self, Self::Err> {
        const WHY: &str = "a rate is so many requests a second or minute, for example 5/s or 30/m";
        let (count, unit) = text.split_once('/').ok_or(WHY)?;
        let unit = match unit {
            "s" => 1.0,
            "m" => 60.0,
            _ => return Err(WHY),
        };
        let (whole, parts) = count.split_once('.').unwrap_or((count, "0"));
        let digits = |part: &str| !part.is_empty() && part.len() <= 9 && part.bytes().all(|byte| byte.is_ascii_digit());
        let is_plain = whole == "0" || !whole.starts_with('0');
        if !digits(whole) || !digits(parts) || !is_plain {
            return Err(WHY);
        }
        let count: f64 = count.parse().map_err(|_not| WHY)?;
        let seconds = unit / count;
        match seconds.is_finite() && (0.000_1..=3600.0).contains(&seconds) {
            true => Ok(Self(Duration::from_secs_f64(seconds))),
            false => Err(WHY),
        }
    }
}

impl fmt::Display for Rate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "one request each {:?}", self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn url(text: &str) -> Url {
        text.parse().unwrap()
    }

    #[test]
    fn each_server_has_a_line_of_its_own_and_nobody_waits_past_the_end() {
        let pace = Pace::new("10/s".parse().unwrap());
        let (one, other) = (url("https://a.example/x"), url("https://b.example/x"));
        let began = Instant::now();
        let after = |millis| began + Duration::from_millis(millis);
        for number in 0..21 {
            assert_eq!(pace.take(&one, None, began), Some(after(number * 100)));
        }
        assert_eq!(
            pace.take(&other, None, began),
            Some(began),
            "another server waits for nobody"
        );
        assert_eq!(pace.take(&one, Some(after(2100)), began), None);
        assert_eq!(
            pace.take(&one, None, began),
            Some(after(2100)),
            "the slot is still there"
        );
        // Slots that passed are not made up for.
        assert_eq!(pace.take(&one, None, after(60_000)), Some(after(60_000)));
        assert_eq!(pace.take(&one, None, after(60_000)), Some(after(60_100)));
    }

    #[test]
    fn without_a_rate_nobody_waits() {
        let (pace, now) = (Pace::default(), Instant::now());
        for _ in 0..100 {
            assert_eq!(pace.take(&url("https://a.example"), None, now), Some(now));
        }
    }

    #[test]
    fn a_rate_is_a_number_and_a_unit_and_nothing_else() {
        let between = |text: &str| text.parse().map(|Rate(between)| between);
        assert_eq!(between("5/s"), Ok(Duration::from_millis(200)));
        assert_eq!(between("0.5/s"), Ok(Duration::from_secs(2)));
        assert_eq!(between("30/m"), Ok(Duration::from_secs(2)));
        for bad in [
            "",
            "5",
            "5/h",
            "/s",
            "0/s",
            "-1/s",
            "1e3/s",
            "05/s",
            "5 /s",
            "1_0/s",
            "999999999/s",
            ".5/s",
            "5./s",
        ] {
            assert!(bad.parse::<Rate>().is_err(), "{bad:?}");
        }
    }
}
