//! Chains and times as people read them. Pure but for the clock.

use jiff::{SignedDuration, Timestamp};

use crate::safe::service::links;

/// Less than this from now is now.
const NEAR: SignedDuration = SignedDuration::from_mins(1);

/// A chain by its id, and by its short name where it has one.
pub(in crate::cli) fn chain(id: u64) -> String {
    links::prefix(id).map_or_else(|| id.to_string(), |prefix| format!("{id} ({prefix})"))
}

/// The cells of a row, where a question mark stands for what nobody said.
pub(in crate::cli) fn cells<const N: usize>(cells: [Option<String>; N]) -> Vec<String> {
    cells
        .map(|cell| cell.filter(|cell| !cell.is_empty()).unwrap_or_else(|| "?".to_owned()))
        .to_vec()
}

/// A moment in UTC, and how far it is from now.
pub(in crate::cli) fn moment(at: Timestamp) -> String {
    beside(at, Timestamp::now())
}

fn beside(at: Timestamp, now: Timestamp) -> String {
    let second = at.round(jiff::Unit::Second).unwrap_or(at);
    // What is so near is told by the time alone.
    if at.duration_since(now).abs() < NEAR {
        return second.to_string();
    }
    match at > now {
        true => format!("{second}, in {}", span(now, at)),
        false => format!("{second}, {} ago", span(at, now)),
    }
}

/// A time between two moments, in its largest unit.
pub(in crate::cli) fn span(from: Timestamp, to: Timestamp) -> String {
    let seconds = to.duration_since(from).as_secs().max(0);
    match seconds {
        0..=119 => format!("{seconds} s"),
        120..=7_199 => format!("{} min", seconds / 60),
        7_200..=172_799 => format!("{} h", seconds / 3_600),
        _ => format!("{} days", seconds / 86_400),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_told_in_their_largest_unit() {
        let now = Timestamp::UNIX_EPOCH;
        for (seconds, told) in [
            (0, "0 s"),
            (119, "119 s"),
            (120, "2 min"),
            (7_200, "2 h"),
            (1_209_600, "14 days"),
        ] {
            assert_eq!(span(now, now + SignedDuration::from_secs(seconds)), told);
        }
    }

    #[test]
    fn a_moment_stands_in_utc_beside_its_distance() {
        let now = Timestamp::UNIX_EPOCH;
        let later = now + SignedDuration::from_millis(3_600_000 * 5 + 1);
        assert_eq!(beside(later, now), "1970-01-01T05:00:00Z, in 5 h");
        assert_eq!(beside(now, now), "1970-01-01T00:00:00Z");
        assert_eq!(beside(now, later), "1970-01-01T00:00:00Z, 5 h ago");
    }

    #[test]
    fn a_known_chain_has_its_name_beside_its_id() {
        assert_eq!((chain(8453).as_str(), chain(31337).as_str()), ("8453 (base)", "31337"));
    }
}
