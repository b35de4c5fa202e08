//! Costs of the core, one at a time: planning, coverage, parsing, checking.
#![allow(missing_docs, clippy::unwrap_used, reason = "criterion's macros; a failed step is a failed bench")]

use std::hint::black_box;

use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use quant_framework::adapters::{Field, Number, scan_history};
use quant_framework::chunking::{AdaptiveChunkStrategy, chunks};
use quant_framework::coverage::{Coverage, State};
use quant_framework::time_range::TimeRange;
use quant_framework::timeframe::Timeframe;

const DAY: i64 = 86_400_000;

fn planning(criterion: &mut Criterion) {
    let (strategy, decade) = (AdaptiveChunkStrategy::default(), TimeRange::new(0, 3652 * DAY).unwrap());
    criterion.bench_function("plan ten years of minutes", |bench| {
        bench.iter(|| chunks(vec![decade], Timeframe::Minutes(1), 2000, &strategy).map(black_box).count());
    });
}

fn coverage(criterion: &mut Criterion) {
    let day = |number: i64| TimeRange::new(number * DAY, (number + 1) * DAY).unwrap();
    let scattered: Coverage = (0..100_000).map(|n| (day(2 * n), State::Data)).collect();
    criterion.bench_function("insert into 100,000 ranges", |bench| {
        let mut held = scattered.clone();
        bench.iter(|| held.insert(black_box(day(100_001)), State::Empty));
    });
    let whole = TimeRange::new(0, 200_000 * DAY).unwrap();
    criterion
        .bench_function("missing of 100,000 ranges", |bench| bench.iter(|| scattered.missing(whole).len()));
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

criterion_group!(benches, planning, coverage, parsing);
criterion_main!(benches);
