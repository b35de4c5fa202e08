use std::num::NonZeroU32;

use super::*;
use crate::clock::ManualClock;
use crate::error::Kind;
use crate::ports::Priority;

const COINALYZE: Window = Window::rolling(40, Duration::from_secs(60));

fn limiter(windows: Vec<Window>, pace: Option<Pace>) -> (Arc<WindowLimiter>, ManualClock) {
    let clock = ManualClock::new(1_700_000_000_000);
    (Arc::new(WindowLimiter::new(Limits::new(windows, pace), Arc::new(clock.clone()))), clock)
}

fn ask(weight: u32, max_wait: Option<u64>) -> Ask {
    Ask { weight, priority: Priority::Backfill, max_wait: max_wait.map(Duration::from_secs) }
}

fn report(limiter: &WindowLimiter, verdict: Verdict) {
    limiter.report(Feedback { epoch: None, weight: 1, verdict, quotas: &[] });
}

fn refuse(limiter: &WindowLimiter, until: Option<i64>) {
    report(limiter, Verdict::Refused { until });
}

const ANSWERED: Verdict = Verdict::Answered { is_slow: false };

#[tokio::test]
async fn four_windows_take_three_periods_and_never_overshoot() {
    let (limiter, clock) = limiter(vec![COINALYZE], None);
    let mut sent = Vec::new();
    for _ in 0..160 {
        limiter.acquire(ask(1, None)).await.unwrap();
        sent.push(clock.monotonic());
    }
    for (last, at) in sent.iter().enumerate() {
        let inside = sent[..=last].iter().filter(|then| **then + COINALYZE.period > *at).count();
        assert!(inside <= 40, "{inside} within a minute");
    }
    let took = sent[159].as_secs_f64();
    assert!((180.0..181.0).contains(&took), "{took}");
}

#[tokio::test]
async fn a_wait_beyond_the_threshold_is_a_value_with_a_time_in_it() {
    let (limiter, clock) = limiter(vec![COINALYZE], None);
    limiter.acquire(ask(40, None)).await.unwrap();
    let refused = limiter.acquire(ask(1, Some(10))).await.unwrap_err();
    assert_eq!(refused.kind(), Kind::RateLimited);
    let wait = refused.until().unwrap() - clock.now();
    assert!((60_250..60_320).contains(&wait), "{wait}");
    assert!(limiter.acquire(ask(1, Some(61))).await.is_ok());
    assert_eq!(limiter.acquire(ask(41, None)).await.unwrap_err().kind(), Kind::Invalid);
    assert_eq!(limiter.stats().counts.turned_away, 1);
}

#[tokio::test]
async fn a_refusal_stops_everybody_until_its_end_and_one_probe_goes_first() {
    let (limiter, clock) = limiter(vec![COINALYZE], None);
    limiter.try_acquire(1).unwrap().unwrap();
    refuse(&limiter, Some(clock.now() + 900_000));
    assert!(limiter.try_acquire(1).unwrap().is_none());
    let waited = limiter.acquire(ask(1, None)).await.unwrap().waited;
    assert_eq!(waited, Duration::from_secs(900), "never clamped");
    assert!(limiter.try_acquire(1).unwrap().is_none(), "the probe has no answer yet");
    report(&limiter, Verdict::Failed);
    assert!(limiter.try_acquire(1).unwrap().is_some(), "it failed: the next one is a probe");
    assert!(limiter.try_acquire(1).unwrap().is_none());
    report(&limiter, ANSWERED);
    assert!(limiter.try_acquire(1).unwrap().is_some());
}

#[tokio::test]
async fn a_refusal_without_an_end_is_the_windows_and_twice_that_the_next_time() {
    let (limiter, _) = limiter(vec![Window::rolling(20, Duration::from_secs(2))], None);
    for seconds in [2, 4, 8] {
        refuse(&limiter, None);
        assert_eq!(limiter.acquire(ask(1, None)).await.unwrap().waited, Duration::from_secs(seconds));
    }
    report(&limiter, ANSWERED);
    refuse(&limiter, None);
    assert_eq!(limiter.acquire(ask(1, None)).await.unwrap().waited, Duration::from_secs(2));
}

#[tokio::test]
async fn a_refusal_until_now_is_a_pause_all_the_same_and_a_longer_one_each_time() {
    let (limiter, clock) = limiter(Vec::new(), None);
    for milliseconds in [100, 200, 400] {
        refuse(&limiter, Some(clock.now() - 5000));
        let waited = limiter.acquire(ask(1, None)).await.unwrap().waited;
        assert_eq!(waited, Duration::from_millis(milliseconds));
    }
}

#[tokio::test]
async fn nobody_waits_longer_than_wanted_for_the_answer_to_a_probe() {
    let (limiter, clock) = limiter(vec![COINALYZE], None);
    refuse(&limiter, Some(clock.now() + 1000));
    limiter.acquire(ask(1, None)).await.unwrap();
    let before = clock.monotonic();
    let refused = limiter.acquire(ask(1, Some(2))).await.unwrap_err();
    assert_eq!(refused.kind(), Kind::RateLimited);
    let waited = clock.monotonic().saturating_sub(before);
    assert!(waited < Duration::from_secs(3), "{waited:?}");
}

#[tokio::test]
async fn weights_of_any_size_are_counted() {
    let huge = Window::rolling(u32::MAX, Duration::from_secs(60));
    let (limiter, _) = limiter(vec![huge], None);
    for weight in [u32::MAX, 1, u32::MAX / 2] {
        limiter.acquire(ask(weight, None)).await.unwrap();
        let quotas = [Quota { used: Some(u32::MAX), ..Quota::default() }];
        let verdict = Verdict::Refused { until: None };
        limiter.report(Feedback { epoch: None, weight, verdict, quotas: &quotas });
        limiter.report(Feedback { epoch: None, weight, verdict, quotas: &[] });
        limiter.acquire(ask(1, None)).await.unwrap();
        limiter.report(Feedback { epoch: None, weight: 1, verdict: ANSWERED, quotas: &[] });
    }
}

#[tokio::test]
async fn a_dropped_waiter_gives_its_place_back() {
    let (limiter, clock) = limiter(vec![COINALYZE], None);
    limiter.try_acquire(40).unwrap().unwrap();
    {
        let waiting = limiter.acquire(ask(40, None));
        tokio::pin!(waiting);
        let _ = futures::poll!(&mut waiting);
        assert_eq!(limiter.stats().waiting, 1);
    }
    assert_eq!(limiter.stats().waiting, 0);
    clock.advance(Duration::from_secs(61));
    assert!(limiter.try_acquire(40).unwrap().is_some(), "nothing was spent");
}

#[tokio::test]
async fn a_burst_goes_at_once_the_rest_at_the_rate_and_a_refusal_empties_the_bucket() {
    let burst = NonZeroU32::new(20).unwrap();
    let pace = Pace { base: 10.0, max: 10.0, min: 10.0, burst };
    let (limiter, clock) = limiter(Vec::new(), Some(pace));
    assert_eq!(limiter.least_duration(50, 50).await, Duration::from_secs(3));
    for _ in 0..20 {
        assert_eq!(limiter.acquire(ask(1, None)).await.unwrap().waited, Duration::ZERO);
    }
    for _ in 0..30 {
        limiter.acquire(ask(1, None)).await.unwrap();
    }
    assert!((2.99..3.01).contains(&clock.monotonic().as_secs_f64()), "{:?}", clock.monotonic());
    clock.sleep(Duration::from_secs(10)).await;
    refuse(&limiter, Some(clock.now()));
    assert!(limiter.acquire(ask(1, None)).await.unwrap().waited > Duration::from_millis(90));
}

#[tokio::test]
async fn one_burst_of_refusals_cuts_the_rate_once_and_waiting_raises_it_again() {
    let pace = Pace { base: 10.0, max: 50.0, min: 1.0, burst: NonZeroU32::MIN };
    let (limiter, clock) = limiter(Vec::new(), Some(pace));
    let rate = || limiter.stats().rate.unwrap();
    let permit = limiter.acquire(ask(1, None)).await.unwrap();
    for _ in 0..8 {
        let verdict = Verdict::Refused { until: Some(clock.now() + 1000) };
        limiter.report(Feedback { epoch: Some(permit.epoch), weight: 1, verdict, quotas: &[] });
    }
    assert!((rate() - 5.0).abs() < 1e-9, "{}", rate());
    for _ in 0..4000 {
        limiter.acquire(ask(1, None)).await.unwrap();
        report(&limiter, ANSWERED);
    }
    assert!((rate() - 50.0).abs() < 1e-9, "{}", rate());
}
