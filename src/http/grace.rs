//! The few seconds that whoever has no more time gets all the same, once for everything that is asked; no I/O.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::time::Instant;

/// What is left of it; shared by clones.
#[derive(Debug, Clone)]
pub(super) struct Grace(Arc<Mutex<Left>>);

#[derive(Debug)]
struct Left {
    left: Duration,
    /// Time before it was counted: what several servers are asked at once is asked in the same time.
    counted: Option<Instant>,
}

impl Grace {
    pub(super) fn new(whole: Duration) -> Self {
        Self(Arc::new(Mutex::new(Left {
            left: whole,
            counted: None,
        })))
    }

    pub(super) fn left(&self) -> Duration {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).left
    }

    /// Something was asked from then to then.
    pub(super) fn spend(&self, from: Instant, to: Instant) {
        let mut all = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let from = all.counted.map_or(from, |counted| counted.max(from));
        if to > from {
            all.left = all.left.saturating_sub(to - from);
            all.counted = Some(to);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn time_in_which_several_are_asked_counts_once() {
        let grace = Grace::new(Duration::from_secs(5));
        let (began, second) = (Instant::now(), Duration::from_secs(1));
        grace.spend(began, began + second);
        grace.clone().spend(began, began + second * 2);
        grace.spend(began + second, began + second);
        assert_eq!(grace.left(), second * 3);
        // Time in between, in which nothing was asked, is nobody's.
        grace.spend(began + second * 60, began + second * 61);
        assert_eq!(grace.left(), second * 2);
        grace.spend(began + second * 70, began + second * 90);
        assert_eq!(grace.left(), Duration::ZERO);
    }
}
