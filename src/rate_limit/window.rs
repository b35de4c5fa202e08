//! The hard budget: an exact log of what was spent, against several sliding windows at once. Pure.

use std::collections::VecDeque;
use std::time::Duration;

/// At most `weight` in any span of `period`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Window {
    /// What may be spent.
    pub weight: u32,
    /// In any span of this length.
    pub period: Duration,
}

/// What was spent when, as long as it matters.
#[derive(Debug, Clone)]
pub struct SlidingLog {
    windows: Vec<Window>,
    spent: VecDeque<(Duration, u32)>,
}

impl SlidingLog {
    /// An empty log under `windows`; none means no limit.
    pub fn new(windows: Vec<Window>) -> Self {
        Self { windows, spent: VecDeque::new() }
    }

    /// Whether `weight` fits every window at all.
    pub fn can_ever_spend(&self, weight: u32) -> bool {
        self.windows.iter().all(|window| weight <= window.weight)
    }

    /// The first moment, not before `now`, at which `weight` may be spent.
    pub fn earliest(&self, now: Duration, weight: u32) -> Duration {
        self.windows.iter().map(|window| self.earliest_in(*window, now, weight)).max().unwrap_or(now)
    }

    fn earliest_in(&self, window: Window, now: Duration, weight: u32) -> Duration {
        let counts = |at: Duration| at + window.period > now;
        let mut used: u64 =
            self.spent.iter().filter(|(at, _)| counts(*at)).map(|(_, weight)| u64::from(*weight)).sum();
        let mut moment = now;
        for (at, spent) in self.spent.iter().filter(|(at, _)| counts(*at)) {
            if used + u64::from(weight) <= u64::from(window.weight) {
                break;
            }
            used -= u64::from(*spent);
            moment = *at + window.period;
        }
        moment
    }

    /// Notes that `weight` is spent at `at`, which is not before anything noted earlier.
    pub fn spend(&mut self, at: Duration, weight: u32) {
        let longest = self.windows.iter().map(|window| window.period).max().unwrap_or_default();
        while self.spent.front().is_some_and(|(old, _)| *old + longest <= at) {
            self.spent.pop_front();
        }
        if !self.windows.is_empty() {
            self.spent.push_back((at, weight));
        }
    }

    /// The least time in which `weight` can be spent in steps of one, from an empty log.
    pub fn least_duration(&self, weight: u64) -> Duration {
        let full = |window: &Window| (weight.saturating_sub(1) / u64::from(window.weight.max(1))) as u32;
        self.windows.iter().map(|window| window.period.saturating_mul(full(window))).max().unwrap_or_default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn windows() -> impl Strategy<Value = Vec<Window>> {
        let one = (1..30_u32, 1..50_u64)
            .prop_map(|(weight, seconds)| Window { weight, period: Duration::from_secs(seconds) });
        prop::collection::vec(one, 1..4)
    }

    proptest! {
        #[test]
        fn no_window_is_ever_exceeded_and_no_wait_is_longer_than_needed(
            windows in windows(), calls in prop::collection::vec((0..8_u64, 1..6_u32), 1..80),
        ) {
            let mut log = SlidingLog::new(windows.clone());
            let mut now = Duration::ZERO;
            let mut sent: Vec<(Duration, u32)> = Vec::new();
            let over = |sent: &[(Duration, u32)], at: Duration, weight: u32| windows.iter().any(|window| {
                let used: u32 = sent.iter().filter(|(then, _)| *then + window.period > at).map(|(_, weight)| weight).sum();
                used + weight > window.weight
            });
            for (pause, weight) in calls {
                now += Duration::from_secs(pause);
                if !log.can_ever_spend(weight) { continue }
                let at = log.earliest(now, weight);
                prop_assert!(at >= now && !over(&sent, at, weight));
                if at > now {
                    prop_assert!(over(&sent, at.saturating_sub(Duration::from_nanos(1)), weight), "could have gone earlier");
                }
                log.spend(at, weight);
                sent.push((at, weight));
                now = at;
            }
        }
    }

    #[test]
    fn the_least_duration_counts_full_windows() {
        let log = SlidingLog::new(vec![Window { weight: 40, period: Duration::from_secs(60) }]);
        for (weight, seconds) in [(0, 0), (40, 0), (41, 60), (80, 60), (81, 120)] {
            assert_eq!(log.least_duration(weight), Duration::from_secs(seconds), "{weight}");
        }
    }
}
