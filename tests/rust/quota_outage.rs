//! Workers that share a quota, on a virtual clock, while the place that keeps it is away for all or for one, workers are
//! killed and others start, and waiting requests are given up: the server never counts too much.

use std::collections::VecDeque;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use async_trait::async_trait;
use quant_framework::clock::{Clock, Sleep};
use quant_framework::error::{Error, Kind, Result};
use quant_framework::ports::{Ask, Feedback, Priority, RateLimiter, Verdict};
use quant_framework::quota::{Cell, Change, MemoryCell, Scope, SharedLimiter, hold};
use quant_framework::rate_limit::{Limits, Timeline, Window, WindowLimiter};
use tokio::task::JoinHandle;
use tokio::time::Instant;

use crate::quota_simulation::{Virtual, random};

const PERIOD: Duration = Duration::from_secs(10);
const LIMIT: u32 = 12;

/// A way to a cell that may be broken.
struct Way {
    cell: Arc<MemoryCell>,
    is_broken: Arc<AtomicBool>,
    /// The next call on a broken way is heard, and its answer is lost.
    is_heard: Arc<AtomicBool>,
    /// So many milliseconds after it was made.
    heard_after: Arc<AtomicU64>,
    clock: Arc<Virtual>,
}

#[async_trait]
impl Cell for Way {
    async fn update(&self, change: &mut Change<'_>) -> Result<Duration> {
        if self.is_broken.load(Ordering::Relaxed) {
            let late = Duration::from_millis(self.heard_after.load(Ordering::Relaxed));
            self.clock.sleep(late).await;
            if self.is_heard.swap(false, Ordering::Relaxed) {
                self.cell.update(change).await?;
            }
            self.clock.sleep(Duration::from_secs(3).saturating_sub(late)).await;
            return Err(Error::unavailable("the database is away"));
        }
        self.cell.update(change).await
    }

    fn place(&self) -> String {
        "a broken line".to_owned()
    }
}

/// Counts exactly and remembers.
#[derive(Default)]
struct Server {
    accepted: VecDeque<Duration>,
    history: Vec<Duration>,
    refused: Vec<Duration>,
}

struct World {
    clock: Arc<Virtual>,
    cell: Arc<MemoryCell>,
    server: Arc<Mutex<Server>>,
    seed: u64,
}

struct Worker {
    limiter: Arc<SharedLimiter>,
    is_broken: Arc<AtomicBool>,
    is_heard: Arc<AtomicBool>,
    heard_after: Arc<AtomicU64>,
    running: Vec<JoinHandle<()>>,
    failures: Arc<AtomicU64>,
}

impl Worker {
    fn kill(&self) {
        self.running.iter().for_each(JoinHandle::abort);
    }
}

impl World {
    fn new() -> Self {
        let clock = Arc::new(Virtual(Instant::now()));
        let windows = vec![Window::rolling(LIMIT, PERIOD)];
        let time = Timeline::new(Arc::clone(&clock) as _);
        let budget = Limits::new(windows, None).budget(time.now(), hold);
        let cell = Arc::new(MemoryCell::new(Scope::new(budget), time));
        Self { clock, cell, server: Arc::default(), seed: 3 }
    }

    /// A worker with three requests going, each of which is given up now and then while it waits.
    fn worker(&mut self) -> Worker {
        let (is_broken, is_heard, heard_after) =
            <(Arc<AtomicBool>, Arc<AtomicBool>, Arc<AtomicU64>)>::default();
        let way = Way {
            cell: Arc::clone(&self.cell),
            is_broken: Arc::clone(&is_broken),
            is_heard: Arc::clone(&is_heard),
            heard_after: Arc::clone(&heard_after),
            clock: Arc::clone(&self.clock),
        };
        let limits = Limits::new(vec![Window::rolling(LIMIT, PERIOD)], None);
        let limiter = Arc::new(SharedLimiter::new(limits, Box::new(way), Arc::clone(&self.clock) as _));
        let failures = Arc::new(AtomicU64::new(0));
        let lane = |seed: u64| {
            let (limiter, server, clock) =
                (Arc::clone(&limiter), Arc::clone(&self.server), Arc::clone(&self.clock));
            let failures = Arc::clone(&failures);
            tokio::spawn(async move {
                let mut seed = seed;
                loop {
                    request(&limiter, &server, &clock, &failures, &mut seed).await;
                }
            })
        };
        self.seed += 100;
        let running = (0..3).map(|number| lane(self.seed + number)).collect();
        Worker { limiter, is_broken, is_heard, heard_after, running, failures }
    }

    async fn until(&self, second: u64) {
        tokio::time::sleep_until(self.clock.0 + Duration::from_secs(second)).await;
    }

    fn sent(&self, from: u64, to: u64) -> usize {
        let inside = Duration::from_secs(from)..Duration::from_secs(to);
        self.server.lock().unwrap().history.iter().filter(|at| inside.contains(*at)).count()
    }
}

async fn request(
    limiter: &SharedLimiter,
    server: &Mutex<Server>,
    clock: &Virtual,
    failures: &AtomicU64,
    seed: &mut u64,
) {
    let ask = Ask { weight: 1, priority: Priority::Backfill, max_wait: None };
    let patience = Duration::from_secs_f64(0.1 + 30.0 * random(seed));
    let permit = tokio::select! {
        permit = limiter.acquire(ask) => permit,
        () = clock.sleep(patience) => return,
    };
    let permit = match permit {
        Ok(permit) => permit,
        Err(error) => {
            assert_eq!(error.kind(), Kind::Unavailable, "{error}");
            failures.fetch_add(1, Ordering::Relaxed);
            return clock.sleep(Duration::from_secs(1)).await;
        }
    };
    clock.sleep(Duration::from_secs_f64(0.2 * random(seed))).await;
    let now = clock.monotonic();
    let is_refused = {
        let mut server = server.lock().unwrap();
        while server.accepted.front().is_some_and(|at| *at + PERIOD <= now) {
            server.accepted.pop_front();
        }
        let is_refused = server.accepted.len() >= LIMIT as usize;
        if is_refused {
            server.refused.push(now);
        } else {
            server.accepted.push_back(now);
            server.history.push(now);
        }
        is_refused
    };
    let verdict =
        if is_refused { Verdict::Refused { until: None } } else { Verdict::Answered { is_slow: false } };
    limiter.report(Feedback { epoch: Some(permit.epoch), weight: 1, verdict, quotas: &[] });
}

#[tokio::test(start_paused = true)]
async fn nothing_overshoots_while_the_place_is_away_workers_die_and_waiters_give_up() {
    let mut world = World::new();
    let mut workers: Vec<Worker> = (0..3).map(|_| world.worker()).collect();
    let set = |workers: &[Worker], broken: bool| {
        for worker in workers {
            worker.is_broken.store(broken, Ordering::Relaxed);
        }
    };
    world.until(60).await;
    assert!(world.sent(0, 60) >= 60, "{} in a minute", world.sent(0, 60));
    // Away for all, for two minutes: first nothing, then everybody's own share.
    set(&workers, true);
    world.until(180).await;
    set(&workers, false);
    assert!(world.sent(63, 71) == 0, "what others were permitted is not past yet");
    let alone = world.sent(100, 180);
    assert!(alone >= 72, "{alone} in 80 s of own shares");
    world.until(250).await;
    assert!(world.sent(190, 250) >= 60, "{} after it", world.sent(190, 250));
    // Away for one only.
    workers[0].is_broken.store(true, Ordering::Relaxed);
    world.until(340).await;
    workers[0].is_broken.store(false, Ordering::Relaxed);
    world.until(400).await;
    // Two are killed, one starts, and the place is away again, until the shares are over.
    workers[1].kill();
    workers[2].kill();
    workers.push(world.worker());
    world.until(405).await;
    set(&workers, true);
    world.until(740).await;
    let (failures, late) = (workers[3].failures.load(Ordering::Relaxed), world.sent(600, 740));
    assert!(late == 0 && failures > 0, "{late} sent after the term, {failures} told so");
    set(&workers, false);
    world.until(840).await;
    assert!(world.sent(760, 840) >= 60, "{} after the second time", world.sent(760, 840));
    workers.iter().for_each(Worker::kill);
    let server = world.server.lock().unwrap();
    assert!(server.refused.is_empty(), "{:?}", server.refused);
}

#[tokio::test(start_paused = true)]
async fn a_worker_that_was_heard_last_and_heard_nothing_overshoots_nothing() {
    for (start, late) in (0..12).flat_map(|start| [(start, 0), (start, 1500), (start, 2999)]) {
        let mut world = World::new();
        world.seed += start;
        let workers: Vec<Worker> = (0..3).map(|_| world.worker()).collect();
        world.until(60 + start).await;
        // What it was told, and when to come back, it does not know: the others believe that it does.
        workers[0].heard_after.store(late, Ordering::Relaxed);
        workers[0].is_heard.store(true, Ordering::Relaxed);
        workers[0].is_broken.store(true, Ordering::Relaxed);
        world.until(150).await;
        let alone = world.sent(120, 150);
        workers[0].is_broken.store(false, Ordering::Relaxed);
        world.until(200).await;
        workers.iter().for_each(Worker::kill);
        let server = world.server.lock().unwrap();
        assert!(server.refused.is_empty(), "{start} {late}: {:?}", server.refused);
        assert!(alone >= 24, "{start} {late}: {alone} in 30 s, its own share among them");
    }
}

#[tokio::test(start_paused = true)]
async fn a_worker_that_has_said_goodbye_has_no_part_of_its_own() {
    for says_goodbye in [false, true] {
        let mut world = World::new();
        let worker = world.worker();
        world.until(30).await;
        worker.kill();
        world.until(31).await;
        if says_goodbye {
            worker.limiter.close().await;
        }
        worker.is_broken.store(true, Ordering::Relaxed);
        // The block that it holds is old by then.
        world.until(60).await;
        let ask = Ask { weight: 1, priority: Priority::Backfill, max_wait: None };
        let permit = worker.limiter.acquire(ask).await;
        assert_eq!(permit.err().map(|error| error.kind()), says_goodbye.then_some(Kind::Unavailable));
    }
}

/// A clock that counts who sleeps on it.
#[derive(Debug)]
struct Counting {
    inner: Virtual,
    sleeps: AtomicU64,
}

impl Clock for Counting {
    fn now(&self) -> i64 {
        self.inner.now()
    }

    fn monotonic(&self) -> Duration {
        self.inner.monotonic()
    }

    fn sleep(&self, duration: Duration) -> Sleep {
        self.sleeps.fetch_add(1, Ordering::Relaxed);
        self.inner.sleep(duration)
    }
}

#[tokio::test(start_paused = true)]
async fn a_hundred_thousand_waiters_sleep_once_each_and_go_in_order() {
    const WAITERS: usize = 100_000;
    let clock = Arc::new(Counting { inner: Virtual(Instant::now()), sleeps: AtomicU64::new(0) });
    let window = Window::rolling(10_000, Duration::from_secs(60));
    let limiter = Arc::new(WindowLimiter::new(Limits::new(vec![window], None), Arc::clone(&clock) as _));
    let order: Arc<Mutex<Vec<usize>>> = Arc::default();
    let ask = Ask { weight: 1, priority: Priority::Backfill, max_wait: None };
    let mut waiting = Vec::with_capacity(WAITERS);
    for number in 0..WAITERS {
        let (limiter, order) = (Arc::clone(&limiter), Arc::clone(&order));
        waiting.push(tokio::spawn(async move {
            limiter.acquire(ask).await.unwrap();
            order.lock().unwrap().push(number);
        }));
    }
    for waiter in waiting {
        waiter.await.unwrap();
    }
    let order = order.lock().unwrap();
    assert!(order.is_sorted(), "first come, first served");
    let sleeps = clock.sleeps.load(Ordering::Relaxed);
    assert!(sleeps <= WAITERS as u64 / 100, "{sleeps} sleeps: only the first one looks at the clock");
    let minutes = clock.monotonic().as_secs_f64() / 60.0;
    assert!((9.0..9.1).contains(&minutes), "{minutes} minutes for ten windows");
}

#[tokio::test(start_paused = true)]
async fn live_goes_before_backfill_but_not_before_one_that_waits_for_longer_than_a_minute() {
    let window = Window::rolling(1, Duration::from_secs(10));
    let clock = Virtual(Instant::now());
    let limiter = Arc::new(WindowLimiter::new(Limits::new(vec![window], None), Arc::new(clock)));
    limiter.try_acquire(1).unwrap().unwrap();
    let order: Arc<Mutex<Vec<&str>>> = Arc::default();
    let mut waiting = Vec::new();
    let starts =
        [(0, "backfill", Priority::Backfill), (1, "live", Priority::Live), (1, "live", Priority::Live)];
    let mut starts = starts.to_vec();
    starts.extend((0..12).map(|_| (8, "live", Priority::Live)));
    for (pause, name, priority) in starts {
        tokio::time::advance(Duration::from_secs(pause)).await;
        let (limiter, order) = (Arc::clone(&limiter), Arc::clone(&order));
        waiting.push(tokio::spawn(async move {
            limiter.acquire(Ask { weight: 1, priority, max_wait: None }).await.unwrap();
            order.lock().unwrap().push(name);
        }));
        tokio::task::yield_now().await;
    }
    for waiting in waiting {
        waiting.await.unwrap();
    }
    let order = order.lock().unwrap();
    let at = order.iter().position(|name| *name == "backfill").unwrap();
    // Those that came within its first minute went before.
    assert_eq!(at, 9, "{order:?}");
}

#[tokio::test(start_paused = true)]
async fn a_flood_in_one_worker_starves_none_and_every_window_is_used() {
    let clock = Arc::new(Virtual(Instant::now()));
    let windows = vec![Window::rolling(12, Duration::from_secs(1))];
    let time = Timeline::new(Arc::clone(&clock) as _);
    let limits = Limits::new(windows, None);
    let cell = Arc::new(MemoryCell::new(Scope::new(limits.budget(time.now(), hold)), time));
    let log: Arc<Mutex<Vec<(Duration, usize)>>> = Arc::default();
    for (number, width) in [100, 12, 12, 12].into_iter().enumerate() {
        let limiter = Arc::new(SharedLimiter::new(
            limits.clone(),
            Box::new(Arc::clone(&cell)),
            Arc::clone(&clock) as _,
        ));
        for _ in 0..width {
            let (limiter, clock, log) = (Arc::clone(&limiter), Arc::clone(&clock), Arc::clone(&log));
            tokio::spawn(async move {
                loop {
                    let ask = Ask { weight: 1, priority: Priority::Backfill, max_wait: None };
                    limiter.acquire(ask).await.unwrap();
                    log.lock().unwrap().push((clock.monotonic(), number));
                    clock.sleep(Duration::from_millis(1)).await;
                }
            });
        }
    }
    clock.sleep(Duration::from_secs(23)).await;
    let log = log.lock().unwrap();
    let shares: Vec<usize> =
        (0..4).map(|worker| log.iter().filter(|(_, number)| *number == worker).count()).collect();
    // 23 s hold twenty windows of 1.15 s, each of which goes to one worker in turn.
    assert_eq!(log.len(), 240);
    assert!(shares.iter().all(|share| (36..=84).contains(share)), "{shares:?}");
}
