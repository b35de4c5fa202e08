//! Counters of a run, readable at any time from any thread without stopping it.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use serde::Serialize;

use crate::report::Counts;

/// Written by the pipeline, read by whoever shows progress.
#[derive(Debug, Default)]
pub struct Tally {
    planned: AtomicU64,
    skipped: AtomicU64,
    done: AtomicU64,
    failed: AtomicU64,
    rows: AtomicU64,
    bytes: AtomicU64,
    restated: AtomicU64,
    quarantined: AtomicU64,
    dropped: AtomicU64,
    requests: AtomicU64,
    throttled_micros: AtomicU64,
}

/// The counters at one moment.
#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize)]
pub struct Snapshot {
    /// Chunks that were missing at the start.
    pub chunks_planned: u64,
    /// Chunks that were covered already.
    pub chunks_skipped: u64,
    /// Chunks fetched, written and committed.
    pub chunks_done: u64,
    /// Chunks given up.
    pub chunks_failed: u64,
    /// Rows durably written.
    pub records_written: u64,
    /// Bytes durably written.
    pub bytes_written: u64,
    /// Rows written that took the place of another version.
    pub rows_restated: u64,
    /// Rows that cannot be true, kept apart.
    pub rows_quarantined: u64,
    /// Repeated and still forming rows that were not stored.
    pub rows_dropped: u64,
    /// Requests sent.
    pub requests: u64,
    /// Time waited for quota, seconds, summed over concurrent requests.
    pub throttled_seconds: f64,
}

impl Tally {
    pub(super) fn plan(&self, chunks: u64, skipped: u64) {
        self.planned.fetch_add(chunks, Ordering::Relaxed);
        self.skipped.fetch_add(skipped, Ordering::Relaxed);
    }

    pub(super) fn request(&self) {
        self.requests.fetch_add(1, Ordering::Relaxed);
    }

    pub(super) fn throttle(&self, waited: Duration) {
        self.throttled_micros.fetch_add(waited.as_micros() as u64, Ordering::Relaxed);
    }

    pub(super) fn drop_rows(&self, rows: u64) {
        self.dropped.fetch_add(rows, Ordering::Relaxed);
    }

    pub(super) fn chunk_done(&self, counts: Counts, bytes: u64) {
        self.done.fetch_add(1, Ordering::Relaxed);
        self.rows.fetch_add(counts.rows, Ordering::Relaxed);
        self.bytes.fetch_add(bytes, Ordering::Relaxed);
        self.restated.fetch_add(counts.restated, Ordering::Relaxed);
        self.quarantined.fetch_add(counts.quarantined, Ordering::Relaxed);
    }

    pub(super) fn chunk_failed(&self) {
        self.failed.fetch_add(1, Ordering::Relaxed);
    }

    /// The counters now.
    pub fn snapshot(&self) -> Snapshot {
        let read = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        Snapshot {
            chunks_planned: read(&self.planned),
            chunks_skipped: read(&self.skipped),
            chunks_done: read(&self.done),
            chunks_failed: read(&self.failed),
            records_written: read(&self.rows),
            bytes_written: read(&self.bytes),
            rows_restated: read(&self.restated),
            rows_quarantined: read(&self.quarantined),
            rows_dropped: read(&self.dropped),
            requests: read(&self.requests),
            throttled_seconds: read(&self.throttled_micros) as f64 / 1e6,
        }
    }
}
