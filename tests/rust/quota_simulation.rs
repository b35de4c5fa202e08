//! Workers against a server that counts, on a virtual clock: the limiters are the real ones, the server and the network
//! are simulated. tokio's paused time goes on by itself when everybody waits.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use quant_framework::clock::{Clock, Sleep};
use quant_framework::ports::{Ask, Feedback, Priority, Quota, RateLimiter, Verdict};
use quant_framework::quota::{Cell, MemoryCell, Scope, SharedLimiter, hold};
use quant_framework::rate_limit::{Limits, Timeline, Window, WindowLimiter};
use tokio::time::Instant;

pub(crate) const START: i64 = 1_700_000_040_000;
const MINUTE: Duration = Duration::from_secs(60);

/// tokio's time, paused by the test.
#[derive(Debug)]
pub(crate) struct Virtual(pub(crate) Instant);

impl Clock for Virtual {
    fn now(&self) -> i64 {
        START + self.monotonic().as_millis() as i64
    }

    fn monotonic(&self) -> Duration {
        self.0.elapsed()
    }

    #[expect(clippy::disallowed_methods, reason = "a clock for tests")]
    fn sleep(&self, duration: Duration) -> Sleep {
        Box::pin(tokio::time::sleep(duration))
    }
}

/// A number in `[0, 1)`, the same in every run.
pub(crate) fn random(seed: &mut u64) -> f64 {
    *seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
    (*seed >> 33) as f64 / (1_u64 << 31) as f64
}

/// What the server tells beside its answers.
#[derive(Clone, Copy, PartialEq)]
enum Tells {
    Nothing,
    RetryAfter,
    Everything,
}

struct Server {
    limit: u32,
    accepted: VecDeque<(Duration, u32)>,
    history: Vec<(Duration, u32)>,
    refusals: Vec<Duration>,
    tells: Tells,
    seed: u64,
}

impl Server {
    fn used(&mut self, now: Duration) -> u32 {
        while self.accepted.front().is_some_and(|(at, _)| *at + MINUTE <= now) {
            self.accepted.pop_front();
        }
        self.accepted.iter().map(|(_, weight)| weight).sum()
    }

    /// Seconds until `weight` fits, if the server says so.
    fn retry_after(&self, now: Duration, weight: u32) -> Option<i64> {
        if self.tells == Tells::Nothing {
            return None;
        }
        let mut used: u32 = self.accepted.iter().map(|(_, weight)| weight).sum();
        let mut wait = Duration::ZERO;
        for (at, spent) in &self.accepted {
            if used + weight <= self.limit {
                break;
            }
            used -= spent;
            wait = (*at + MINUTE).saturating_sub(now);
        }
        Some(wait.as_secs() as i64 + 1)
    }

    fn answer(&mut self, now: Duration, weight: u32) -> (Verdict, Vec<Quota>) {
        let used = self.used(now);
        if used + weight > self.limit {
            self.refusals.push(now);
            let wall = START + now.as_millis() as i64;
            let until = self.retry_after(now, weight).map(|seconds| wall + seconds * 1000);
            return (Verdict::Refused { until }, Vec::new());
        }
        self.accepted.push_back((now, weight));
        self.history.push((now, weight));
        let said = Quota {
            period: Some(MINUTE),
            limit: Some(self.limit),
            remaining: Some(self.limit - used - weight),
            ..Quota::default()
        };
        let quotas = if self.tells == Tells::Everything { vec![said] } else { Vec::new() };
        (Verdict::Answered { is_slow: false }, quotas)
    }

    /// What was accepted in a span, against what `limit` allows there.
    fn utilisation(&self, from: Duration, to: Duration, limit: u32) -> f64 {
        let inside = self.history.iter().filter(|(at, _)| (from..to).contains(at));
        let weight: u32 = inside.map(|(_, weight)| weight).sum();
        f64::from(weight) / (f64::from(limit) * to.saturating_sub(from).as_secs_f64() / MINUTE.as_secs_f64())
    }

    /// Refusals that follow each other without an accepted request in between count as one burst.
    fn bursts(&self, from: Duration, to: Duration) -> usize {
        let refused = self.refusals.iter().filter(|at| (from..to).contains(*at)).map(|at| (*at, true));
        let mut all: Vec<(Duration, bool)> =
            self.history.iter().map(|(at, _)| (*at, false)).chain(refused).collect();
        all.sort();
        let (mut bursts, mut last) = (0, Duration::ZERO);
        let mut quiet = true;
        for (at, is_refused) in all {
            if is_refused {
                // What was on its way already belongs to the burst.
                bursts += usize::from(quiet && (last.is_zero() || at > last + Duration::from_secs(1)));
                (quiet, last) = (false, at);
            } else if at > last + Duration::from_secs(1) {
                quiet = true;
            }
        }
        bursts
    }
}

struct World {
    server: Arc<Mutex<Server>>,
    limiters: Vec<Arc<dyn RateLimiter>>,
    clock: Arc<Virtual>,
}

impl World {
    /// `workers` that believe in `believed`, of which one has a limiter of its own and more share one.
    fn new(workers: usize, believed: Window, limit: u32, tells: Tells) -> Self {
        let clock = Arc::new(Virtual(Instant::now()));
        let server = Server {
            limit,
            accepted: VecDeque::new(),
            history: Vec::new(),
            refusals: Vec::new(),
            tells,
            seed: 7,
        };
        let limits = Limits::new(vec![believed], None);
        let time = Timeline::new(Arc::clone(&clock) as _);
        let scope = Scope::new(limits.budget(time.now(), hold));
        let cell = Arc::new(MemoryCell::new(scope, time));
        let worker = |_| -> Arc<dyn RateLimiter> {
            if workers == 1 {
                return Arc::new(WindowLimiter::new(limits.clone(), Arc::clone(&clock) as _));
            }
            let cell: Box<dyn Cell> = Box::new(Arc::clone(&cell));
            Arc::new(SharedLimiter::new(limits.clone(), cell, Arc::clone(&clock) as _))
        };
        Self { server: Arc::new(Mutex::new(server)), limiters: (0..workers).map(worker).collect(), clock }
    }

    /// Each worker keeps `width` requests going, of `weights` in turn, until `end`.
    async fn run(&self, width: usize, weights: &'static [u32], end: Duration) {
        let mut running = Vec::new();
        for (number, limiter) in self.limiters.iter().enumerate() {
            for lane in 0..width {
                let (limiter, server) = (Arc::clone(limiter), Arc::clone(&self.server));
                let clock = Arc::clone(&self.clock);
                running.push(tokio::spawn(async move {
                    for turn in number + lane.. {
                        if clock.monotonic() >= end {
                            break;
                        }
                        request(&*limiter, &server, &clock, weights[turn % weights.len()]).await;
                    }
                }));
            }
        }
        tokio::time::sleep_until(self.clock.0 + end).await;
        running.iter().for_each(tokio::task::JoinHandle::abort);
    }
}

async fn request(limiter: &dyn RateLimiter, server: &Mutex<Server>, clock: &Virtual, weight: u32) {
    let ask = Ask { weight, priority: Priority::Backfill, max_wait: None };
    let permit = limiter.acquire(ask).await.unwrap();
    let there = Duration::from_secs_f64(0.005 + 0.1 * random(&mut server.lock().unwrap().seed));
    clock.sleep(there).await;
    let (verdict, quotas) = server.lock().unwrap().answer(clock.monotonic(), weight);
    let back = Duration::from_secs_f64(0.005 + 0.1 * random(&mut server.lock().unwrap().seed));
    clock.sleep(back).await;
    limiter.report(Feedback { epoch: Some(permit.epoch), weight, verdict, quotas: &quotas });
}

const fn minutes(count: u64) -> Duration {
    Duration::from_secs(60 * count)
}

#[tokio::test(start_paused = true)]
async fn a_known_limit_is_used_up_and_never_refused_by_one_by_eight_and_by_five_hundred() {
    for (workers, width) in [(1, 8), (8, 4), (500, 1)] {
        for (limit, weights) in [(40, &[1_u32][..]), (1200, &[1, 2, 5])] {
            let world = World::new(workers, Window::rolling(limit, MINUTE), limit, Tells::RetryAfter);
            let weights: &'static [u32] = weights;
            world.run(width, weights, minutes(12)).await;
            let server = world.server.lock().unwrap();
            // Ten minutes, from a quiet moment to a quiet moment.
            let used = server.utilisation(minutes(1), minutes(11), limit);
            assert!(server.refusals.is_empty(), "{workers} workers, {limit} a minute: {:?}", server.refusals);
            assert!(used >= 0.99, "{workers} workers, {limit} a minute: {used}");
        }
    }
}

/// What a limit that changes five minutes after the start costs.
struct Changed {
    /// Refused at once, and later.
    refused: [usize; 2],
    /// Of what is allowed, from two windows after the change on, for eight windows.
    used: f64,
}

async fn change(workers: usize, width: usize, believed: u32, limits: [u32; 2], tells: Tells) -> Changed {
    let [before, after] = limits;
    let world = World::new(workers, Window::rolling(believed, MINUTE), before, tells);
    let when = minutes(5) + Duration::from_secs(10);
    let change = async {
        tokio::time::sleep_until(world.clock.0 + when).await;
        let mut server = world.server.lock().unwrap();
        let calm = server.bursts(Duration::ZERO, when);
        assert!(calm == 0 || before < believed, "{calm} bursts before");
        server.limit = after;
    };
    tokio::join!(world.run(width, &[1], minutes(18)), change);
    let server = world.server.lock().unwrap();
    // A whole number of windows, from a burst on.
    let settled = when + minutes(2);
    let from = server.history.iter().map(|(at, _)| *at).find(|at| *at >= settled).unwrap();
    let used = server.utilisation(from, from + Duration::from_secs(8 * 60 + 6), after);
    let later = server.refusals.iter().filter(|at| **at > when);
    let first = later.clone().next().map_or(when, |at| *at + minutes(1));
    let split = later.clone().filter(|at| **at < first).count();
    Changed { refused: [split, later.count() - split], used }
}

#[tokio::test(start_paused = true)]
async fn a_limit_that_is_halved_costs_one_burst_and_is_used_within_two_windows() {
    for (name, tells) in
        [("headers", Tells::Everything), ("Retry-After", Tells::RetryAfter), ("nothing", Tells::Nothing)]
    {
        for (workers, width) in [(1, 8), (8, 4), (500, 1)] {
            for limit in [40, 1200] {
                let Changed { refused, used } =
                    change(workers, width, limit, [limit, limit / 2], tells).await;
                let what =
                    format!("{name}, {workers} workers, {limit} halved: {used:.3} used, {refused:?} refused");
                if tells == Tells::Everything {
                    assert!(used >= 0.95 && refused[1] == 0, "{what}");
                }
                // Without headers the way up has to be tried: by a step of a twentieth at most, once in ten windows.
                assert!(used >= 0.9 && refused[1] <= (limit / 40).max(2) as usize, "{what}");
            }
        }
    }
}

#[tokio::test(start_paused = true)]
async fn a_limit_that_is_raised_is_used_within_two_windows_where_headers_say_so() {
    for (workers, width) in [(1, 8), (8, 4), (500, 1)] {
        for limit in [40, 1200] {
            let Changed { refused, used } =
                change(workers, width, limit, [limit / 2, limit], Tells::Everything).await;
            let what = format!("{workers} workers, {limit} doubled: {used:.3} used, {refused:?} refused");
            assert!(used >= 0.95 && refused == [0, 0], "{what}");
        }
    }
}
