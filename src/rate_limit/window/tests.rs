use proptest::prelude::*;

use super::*;
use crate::rate_limit::Budget;

const SECOND: Micros = 1_000_000;

fn windows() -> impl Strategy<Value = Vec<Window>> {
    let one = (1..30_u32, 1..50_u64, any::<bool>()).prop_map(|(weight, seconds, is_fixed)| {
        let period = Duration::from_secs(seconds);
        if is_fixed { Window::fixed(weight, period) } else { Window::rolling(weight, period) }
    });
    prop::collection::vec(one, 1..4)
}

fn budget(windows: &[Window]) -> Budget {
    Budget::new(windows.iter().map(|window| Meter::new(*window, 1.0, window.spread())).collect())
}

/// What a server counts most in any window, where each spend arrives at the time beside it.
fn peak(window: &Window, arrivals: &mut [(Micros, u32)]) -> u32 {
    arrivals.sort_unstable();
    let period = window.period.as_micros() as Micros;
    let inside = |from: Micros, to: Micros| -> u32 {
        arrivals.iter().filter(|(at, _)| (from..to).contains(at)).map(|(_, weight)| weight).sum()
    };
    let starts = arrivals.iter().map(|(at, _)| match window.alignment {
        Alignment::Rolling => *at,
        Alignment::Fixed => at / period * period,
    });
    starts.map(|start| inside(start, start + period)).max().unwrap_or(0)
}

proptest! {
    /// Whatever the network does to the requests, and whenever the account is stored and read again.
    #[test]
    fn no_window_is_ever_exceeded_however_the_requests_arrive(
        windows in windows(),
        calls in prop::collection::vec((0..8_u64, 1..6_u32, 0.0..1.0_f64, any::<bool>()), 1..120),
    ) {
        let mut budget = budget(&windows);
        let mut now = 1_700_000_000 * SECOND;
        let mut sent: Vec<(Micros, u32, f64)> = Vec::new();
        for (pause, weight, late, stored) in calls {
            now += pause * SECOND / 3;
            if windows.iter().any(|window| window.weight < weight) { continue }
            let at = budget.earliest(now, weight);
            prop_assert!(at >= now && budget.fits(at, weight));
            now = at;
            prop_assert!(budget.check(now, weight).is_ok());
            budget.spend(now, weight);
            sent.push((now, weight, late));
            if stored {
                budget = serde_json::from_str(&serde_json::to_string(&budget).unwrap()).unwrap();
            }
        }
        for window in &windows {
            let spread = window.spread().as_micros() as f64;
            let arrives = |(at, weight, late): &(Micros, u32, f64)| match window.alignment {
                Alignment::Rolling => (at + (late * spread) as Micros, *weight),
                // The server's clock may be behind, too.
                Alignment::Fixed => ((*at as f64 + (2.0 * late - 1.0) * spread) as Micros, *weight),
            };
            let most = peak(window, &mut sent.iter().map(arrives).collect::<Vec<_>>());
            prop_assert!(most <= window.weight, "{} in {window:?}", most);
        }
    }

    /// A wait ends when it can: a little earlier the windows, as long as they are kept, would not allow it.
    #[test]
    fn no_wait_is_longer_than_needed(
        windows in windows(), calls in prop::collection::vec((0..8_u64, 1..6_u32), 1..80),
    ) {
        let mut budget = budget(&windows);
        let mut now = 1_700_000_000 * SECOND;
        for (pause, weight) in calls {
            now += pause * SECOND;
            if windows.iter().any(|window| window.weight < weight) { continue }
            let at = budget.earliest(now, weight);
            if at > now {
                prop_assert!(!budget.fits(at - 1, weight), "could have gone earlier");
                let longest = windows.iter().map(|window| window.period + 3 * window.spread()).max().unwrap();
                prop_assert!(at <= now + longest.as_micros() as Micros * 2);
            }
            budget.spend(at, weight);
            now = at;
        }
    }

    /// The time for many requests is what it takes to send them one after the other.
    #[test]
    fn a_backlog_takes_as_long_as_it_is_said_to(
        weight in 1..40_u32, seconds in 1..60_u64, is_fixed in any::<bool>(), start in 0..60_u64,
        before in 0..40_u32, total in 1..200_u64,
    ) {
        let period = Duration::from_secs(seconds);
        let window = Window { weight, period, alignment: if is_fixed { Alignment::Fixed } else { Alignment::Rolling } };
        let mut budget = budget(&[window]);
        let mut now = (1_700_000_000 + start) * SECOND;
        for _ in 0..before.min(weight) {
            budget.spend(now, 1);
        }
        let said = budget.backlog(now, total);
        for _ in 0..total {
            now = budget.earliest(now, 1);
            budget.spend(now, 1);
        }
        let off = said.abs_diff(now);
        let allowed = total / u64::from(weight) * (window.period.as_micros() as Micros / 1024 + 1)
            + 3 * window.spread().as_micros() as Micros + SECOND / 10;
        prop_assert!(off <= allowed, "said {said}, took {now}: off by {off} us");
    }
}

#[test]
fn a_fixed_window_starts_anew_with_the_clock_and_is_careful_near_the_edge() {
    let window = Window::fixed(10, Duration::from_secs(60));
    let mut budget = budget(&[window]);
    let minute = 1_700_000_040 * SECOND;
    assert_eq!(minute % (60 * SECOND), 0);
    budget.spend(minute + 30 * SECOND, 10);
    let next = budget.earliest(minute + 31 * SECOND, 1);
    assert_eq!(next, minute + 60 * SECOND + 250_000, "not before it has surely begun there");
    // Just before the edge it may be counted on either side.
    budget.spend(next, 1);
    let edge = minute + 120 * SECOND - 100_000;
    budget.spend(edge, 9);
    assert_eq!(budget.earliest(edge, 1), minute + 120 * SECOND + 250_000);
    assert_eq!(budget.earliest(minute + 121 * SECOND, 2), minute + 180 * SECOND + 250_000);
}

#[test]
fn what_others_spend_is_taken_from_what_is_left() {
    let mut meter = Meter::new(Window::fixed(2400, Duration::from_secs(60)), 1.0, Duration::from_millis(250));
    let minute = 1_700_000_040 * SECOND;
    meter.spend(minute + SECOND, 5);
    meter.correct(minute + 2 * SECOND, 2395, None);
    assert_eq!(meter.used(minute + 3 * SECOND), 2395);
    assert_eq!(meter.earliest(minute + 3 * SECOND, 6), minute + 60 * SECOND + 250_000);
    meter.correct(minute + 4 * SECOND, 4, None);
    assert_eq!(meter.used(minute + 4 * SECOND), 5, "never less than what we spent ourselves");
}

#[test]
fn an_account_stays_small() {
    let mut meter = Meter::new(Window::rolling(1_000_000, Duration::from_secs(60)), 1.0, Duration::ZERO);
    for at in 0..200_000 {
        meter.spend(1_700_000_000 * SECOND + at * 1000, 1);
    }
    assert!(meter.spent.len() <= 1025, "{}", meter.spent.len());
    assert_eq!(meter.used(1_700_000_200 * SECOND), 60_000 + meter.used(1_700_000_200 * SECOND) % 100);
}
