//! Costs of the core, one at a time: planning, limiting, coverage, parsing, encoding. With `QF_SHARED` set, encoding also
//! runs on the recorded candles of `$QF_SHARED/data/candles`.
#![allow(
    missing_docs,
    clippy::unwrap_used,
    clippy::disallowed_methods,
    reason = "criterion's macros; a failed step is a failed bench; where recordings lie is said by the environment"
)]

use std::hint::black_box;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use arrow_array::{ArrayRef, Float64Array, Int64Array};
use criterion::{BatchSize, Criterion, Throughput, criterion_group, criterion_main};
use futures::FutureExt;
use quant_framework::adapters::{Field, Number, scan_history};
use quant_framework::chunking::{AdaptiveChunkStrategy, chunks};
use quant_framework::clock::{Clock, SystemClock};
use quant_framework::coverage::{Coverage, State};
use quant_framework::lake::{Encoding, encode};
use quant_framework::ports::{Ask, Page, Priority, RateLimiter};
use quant_framework::rate_limit::{Limits, Pace, Window, WindowLimiter};
use quant_framework::records::Batch;
use quant_framework::series::DataType;
use quant_framework::time_range::TimeRange;
use quant_framework::timeframe::Timeframe;

const DAY: i64 = 86_400_000;

fn planning(criterion: &mut Criterion) {
    let (strategy, decade) = (AdaptiveChunkStrategy::default(), TimeRange::new(0, 3652 * DAY).unwrap());
    criterion.bench_function("plan ten years of minutes", |bench| {
        bench.iter(|| {
            chunks(vec![decade], Timeframe::Minutes(1), Page::up_to(2000), &strategy).map(black_box).count()
        });
    });
}

fn coverage(criterion: &mut Criterion) {
    let day = |number: i64| TimeRange::new(number * DAY, (number + 1) * DAY).unwrap();
    let scattered: Coverage = (0..100_000).map(|n| (day(2 * n), State::Data)).collect();
    criterion.bench_function("insert into 100,000 ranges", |bench| {
        let mut held = scattered.clone();
        bench.iter(|| held.insert(black_box(day(100_001)), State::Empty));
    });
    let between: Coverage = (0..100_000).map(|n| (day(2 * n + 1), State::Empty)).collect();
    criterion.bench_function("merge two of 100,000 ranges", |bench| {
        bench.iter_batched(
            || scattered.clone(),
            |mut held| held.merge(black_box(&between)),
            BatchSize::LargeInput,
        );
    });
    let whole = TimeRange::new(0, 200_000 * DAY).unwrap();
    criterion
        .bench_function("missing of 100,000 ranges", |bench| bench.iter(|| scattered.missing(whole).len()));
}

fn limiting(criterion: &mut Criterion) {
    let most = std::num::NonZeroU32::MAX;
    let quota = governor::Quota::per_second(most).allow_burst(most);
    let governor = governor::RateLimiter::direct(quota);
    criterion.bench_function("bare governor, check", |bench| bench.iter(|| governor.check().is_ok()));
    let limiter = |windows: Vec<Window>, pace| {
        let clock: Arc<dyn Clock> = Arc::new(SystemClock::default());
        WindowLimiter::new(Limits::new(windows, pace), clock)
    };
    let ask = Ask { weight: 1, priority: Priority::Backfill, max_wait: None };
    let day = [1, 60, 86_400].map(|seconds| Window::rolling(u32::MAX, Duration::from_secs(seconds)));
    let pace = Pace { base: 4e9, max: 4e9, min: 1.0, burst: most };
    for (name, windows, pace) in [
        ("one window", day[1..2].to_vec(), None),
        ("one window and a pace", day[1..2].to_vec(), Some(pace)),
        ("three windows and a pace", day.to_vec(), Some(pace)),
    ] {
        let own = limiter(windows, pace);
        criterion.bench_function(&format!("acquire, {name}"), |bench| {
            bench.iter(|| own.acquire(ask).now_or_never().is_some_and(|permit| permit.is_ok()));
        });
    }
}

fn parsing(criterion: &mut Criterion) {
    let float = |key| Field { key, number: Number::Float, optional: false };
    let whole = |key| Field { key, number: Number::Integer, optional: false };
    let fields = [
        whole("t"),
        float("o"),
        float("h"),
        float("l"),
        float("c"),
        float("v"),
        float("bv"),
        whole("tx"),
        whole("btx"),
    ];
    let item = |n: i64| {
        let (t, o) = (1_704_067_200 + n * 60, 42_000 + n);
        format!(
            "{{\"t\":{t},\"o\":{o}.5,\"h\":{o}.9,\"l\":{o}.1,\"c\":{o}.3,\"v\":12.345,\"bv\":6.789,\"tx\":321,\"btx\":160}}"
        )
    };
    let items: Vec<String> = (0..1440).map(item).collect();
    let body = format!("[{{\"symbol\":\"BTCUSDT_PERP.A\",\"history\":[{}]}}]", items.join(","));
    let mut group = criterion.benchmark_group("parse");
    group.throughput(Throughput::Elements(1440));
    group.bench_function("a day of minutes", |bench| {
        bench.iter(|| scan_history(body.as_bytes(), &fields).unwrap());
    });
    group.finish();
}

/// A day of minutes that moves like a price, in ticks.
fn walk() -> Batch {
    let mut price = 42_000.0_f64;
    let step = |n: i64| f64::from(u16::try_from((n * 7919) % 61).unwrap()) / 10.0 - 3.0;
    let rows: Vec<[f64; 5]> = (0..1440)
        .map(|n| {
            let (open, close) = (price, price + step(n));
            price = close;
            [open, open.max(close) + 1.5, open.min(close) - 1.5, close, 1.0 + step(n + 1).abs()]
        })
        .collect();
    batch((0..1440).map(|n| n * 60_000).collect(), &rows)
}

fn batch(ts: Vec<i64>, rows: &[[f64; 5]]) -> Batch {
    let column =
        |at: usize| -> ArrayRef { Arc::new(Float64Array::from_iter_values(rows.iter().map(|r| r[at]))) };
    let absent = [
        Arc::new(Float64Array::new_null(rows.len())) as ArrayRef,
        Arc::new(Int64Array::new_null(rows.len())),
        Arc::new(Int64Array::new_null(rows.len())),
    ];
    Batch::new(DataType::Ohlcv, ts, (0..5).map(column).chain(absent).collect()).unwrap()
}

/// The first day of a recorded file: `ts_ms,open,high,low,close,volume`.
fn recorded(path: &Path) -> Batch {
    let text = std::fs::read_to_string(path).unwrap();
    let lines = text.lines().skip(1).take(1440);
    let numbers = lines.map(|line| line.split(',').map(|value| value.parse::<f64>().unwrap()).collect());
    let numbers: Vec<Vec<f64>> = numbers.collect();
    let rows: Vec<[f64; 5]> = numbers.iter().map(|row| row[1..6].try_into().unwrap()).collect();
    batch(numbers.iter().map(|row| row[0] as i64).collect(), &rows)
}

fn encoding(criterion: &mut Criterion) {
    let mut days = vec![("walk".to_owned(), walk())];
    if let Ok(shared) = std::env::var("QF_SHARED") {
        let files = std::fs::read_dir(Path::new(&shared).join("data/candles")).unwrap();
        for path in files.map(|file| file.unwrap().path()) {
            days.push((path.file_stem().unwrap().to_string_lossy().into_owned(), recorded(&path)));
        }
    }
    let mut group = criterion.benchmark_group("encode");
    group.throughput(Throughput::Elements(1440));
    for (name, day) in &days {
        for codec in ["lz4", "zstd1", "snappy", "none"] {
            let encoding: Encoding = codec.parse().unwrap();
            let bytes = encode(day, &[], encoding).unwrap().len();
            group.bench_function(format!("{name} {codec} ({bytes} bytes)"), |bench| {
                bench.iter(|| encode(black_box(day), &[], encoding).unwrap());
            });
        }
    }
    group.finish();
}

criterion_group!(benches, planning, limiting, coverage, parsing, encoding);
criterion_main!(benches);
