use std::collections::BTreeMap;
use std::sync::Arc;

use async_trait::async_trait;
use proptest::prelude::*;

use super::load::map_of;
use super::runs::{Frame, Known, edge, narrowed, row, runs};
use super::*;
use crate::checkpoint::MemoryCheckpointStore;
use crate::clock::ManualClock;
use crate::coverage::{Coverage, State};
use crate::error::{Error, Kind as ErrorKind, Result as Outcome};
use crate::ports::{Checkpoint, CheckpointStore};
use crate::quality::Ledger;
use crate::series::Series;
use crate::time_range::TimeRange;

const HOUR: Millis = 3_600_000;
const DAY: Millis = 24 * HOUR;
/// Monday 2026-01-05.
const START: Millis = 1_767_571_200_000;
const BTC: &str = "test/ohlcv/BTC/1h";

fn block_on<T>(future: impl Future<Output = T>) -> T {
    tokio::runtime::Builder::new_current_thread().build().unwrap().block_on(future)
}

fn hours(start: i64, end: i64) -> TimeRange {
    TimeRange::new(START + start * HOUR, START + end * HOUR).unwrap()
}

fn facts(ranges: &[(i64, i64, State)]) -> Checkpoint {
    let coverage = ranges.iter().map(|(start, end, state)| (hours(*start, *end), *state)).collect();
    Checkpoint { coverage, ..Checkpoint::default() }
}

fn asked() -> Asked {
    Asked { series: None, prefix: String::new(), start: None, end: None, columns: 24 }
}

fn look(store: &dyn CheckpointStore, asked: &Asked) -> Outcome<CoverageMap> {
    let clock = ManualClock::new(START + 48 * HOUR + HOUR / 2);
    block_on(coverage_map(store, asked, &clock))
}

fn commit(store: &dyn CheckpointStore, key: &str, checkpoint: &Checkpoint) {
    block_on(store.commit(key, checkpoint)).unwrap();
}

fn ledger(holes: &[(i64, i64, &str, u32)]) -> String {
    let hole = |(start, end, kind, attempts): &(i64, i64, &str, u32)| {
        serde_json::json!({"range": [START + start * HOUR, START + end * HOUR], "kind": kind, "attempts": attempts,
            "first_seen": START, "last_checked": null})
    };
    serde_json::json!({"format": 1, "holes": holes.iter().map(hole).collect::<Vec<_>>()}).to_string()
}

fn with_ledger(store: &dyn CheckpointStore, key: &str, text: String) {
    let checkpoint = Checkpoint { generation: 1, cursor: Some(text), ..Checkpoint::default() };
    commit(store, &format!("{key}/gaps"), &checkpoint);
}

/// (first bar, end, kind, bars) of the spans, in hours.
fn spans(row: &Row) -> Vec<(i64, i64, &'static str, u64)> {
    let hour = |at: Moment| (at.0 - START) / HOUR;
    row.spans.iter().map(|span| (hour(span.start), hour(span.end), span.kind.name(), span.bars)).collect()
}

#[test]
fn every_kind_is_told_apart_and_the_coverage_has_the_last_word() {
    let store = MemoryCheckpointStore::default();
    let (data, empty) = (State::Data, State::Empty);
    let known =
        [(0, 2, empty), (4, 10, data), (10, 12, empty), (12, 20, data), (20, 24, empty), (24, 30, data)];
    commit(&store, BTC, &facts(&known));
    let holes = [
        (2, 4, "beyond_retention", 0),
        (10, 11, "no_trade", 3),
        (13, 15, "outage", 1),
        (22, 24, "outage", 2),
    ];
    with_ledger(&store, BTC, ledger(&holes));
    let map = look(&store, &Asked { end: Some(START + 50 * HOUR), ..asked() }).unwrap();
    let row = &map.series[0];
    let expected = vec![
        (0, 2, "not_listed", 2),
        (2, 4, "beyond_retention", 2),
        (4, 10, "data", 6),
        (10, 11, "no_trade", 1),
        (11, 12, "unresolved", 1),
        (12, 20, "data", 8),
        (20, 22, "unresolved", 2),
        (22, 24, "outage", 2),
        (24, 30, "data", 6),
        (30, 48, "unknown", 18),
        (48, 50, "forming", 2),
    ];
    assert_eq!(spans(row), expected);
    assert_eq!((row.expected, row.covered, row.holes), (48, Some(0.416_666), 7));
    assert_eq!(row.watermark.as_deref(), Some("2026-01-05T02:00:00Z"));
    assert_eq!(row.spans[3].attempts, Some(3));
    assert_eq!(row.spans[4].attempts, None);
    assert_eq!(map.totals.bars[&Kind::Unknown], 18);
}

#[test]
fn each_series_is_expected_from_where_it_begins_unless_a_start_is_asked_for() {
    let store = MemoryCheckpointStore::default();
    commit(&store, BTC, &facts(&[(0, 48, State::Data)]));
    commit(&store, "test/ohlcv/ETH/1h", &facts(&[(24, 48, State::Data)]));
    commit(&store, "test/ohlcv/NEW/1h", &Checkpoint::default());
    let map = look(&store, &asked()).unwrap();
    assert_eq!((map.start.0, map.end.0), (START, START + 48 * HOUR));
    let of = |map: &CoverageMap| map.series.iter().map(|row| row.covered).collect::<Vec<_>>();
    assert_eq!(of(&map), [Some(1.0), Some(1.0), None]);
    assert_eq!(map.series[1].cells, [Cells(Kind::Before, 1.0, 12), Cells(Kind::Data, 1.0, 12)]);
    assert_eq!(map.series[2].cells, [Cells(Kind::Before, 1.0, 24)]);
    let map = look(&store, &Asked { start: Some(START), ..asked() }).unwrap();
    assert_eq!(of(&map), [Some(1.0), Some(0.5), Some(0.0)]);
    let named = vec!["test/ohlcv/NONE/1h".to_owned()];
    let map = look(&store, &Asked { start: Some(START), series: Some(named), ..asked() }).unwrap();
    assert_eq!(map.totals.bars, BTreeMap::from([(Kind::Unknown, 48)]), "never begun is all missing");
}

#[test]
fn nothing_is_expected_of_a_sparse_series_but_to_have_been_asked() {
    let store = MemoryCheckpointStore::default();
    let key = "test/liquidations/BTC/1h";
    commit(&store, key, &facts(&[(0, 1, State::Data), (1, 40, State::Empty)]));
    let map = look(&store, &asked()).unwrap();
    assert_eq!(spans(&map.series[0]), [(0, 1, "data", 1), (1, 40, "empty", 39), (40, 48, "unknown", 8)]);
    assert_eq!((map.series[0].covered, map.series[0].holes), (Some(0.833_333), 1));
}

#[test]
fn weeks_and_months_go_by_the_calendar() {
    let series: Series = "test/ohlcv/BTC/1M".parse().unwrap();
    // 2025-10-01 to 2026-02-01 without December.
    let at = |text: &str| Moment::try_from(text.to_owned()).unwrap().0;
    let months = ["2025-10-01", "2025-11-01", "2025-12-01", "2026-01-01", "2026-02-01"];
    let months: Vec<Millis> = months.iter().map(|day| at(&format!("{day}T00:00:00Z"))).collect();
    let range = |from: usize, to: usize| TimeRange::new(months[from], months[to]).unwrap();
    let coverage: Coverage = [(range(0, 2), State::Data), (range(3, 4), State::Data)].into_iter().collect();
    let picture = TimeRange::new(months[0], at("2026-02-20T00:00:00Z")).unwrap();
    let frame = Frame { picture, is_asked: false, now: at("2026-02-20T12:00:00Z"), columns: 140 };
    let row = row(&series, &Known { coverage, ..Known::default() }, &frame);
    let bars: Vec<_> = row.spans.iter().map(|span| (span.kind, span.bars)).collect();
    assert_eq!(bars, [(Kind::Data, 2), (Kind::Unknown, 1), (Kind::Data, 1), (Kind::Forming, 1)]);
    assert_eq!(row.expected, 4);
    let cells: usize = row.cells.iter().filter(|cell| cell.0 == Kind::Unknown).map(|cell| cell.2).sum();
    assert!((31..=33).contains(&cells), "{cells} of 140 cells for 31 of 142 days");
}

#[test]
fn one_bar_among_a_thousand_is_seen() {
    let store = MemoryCheckpointStore::default();
    let minute = |at: i64| START + at * 60_000;
    let range = |from, to| TimeRange::new(minute(from), minute(to)).unwrap();
    let coverage = [(range(0, 1700), State::Data), (range(1701, 2880), State::Data)].into_iter().collect();
    commit(&store, "test/ohlcv/BTC/1m", &Checkpoint { coverage, ..Checkpoint::default() });
    let map = look(&store, &Asked { end: Some(minute(2880)), columns: 2, ..asked() }).unwrap();
    let row = &map.series[0];
    assert_eq!(row.cells, [Cells(Kind::Data, 1.0, 1), Cells(Kind::Unknown, 0.0007, 1)]);
    assert_eq!(row.percent().as_deref(), Some("99.96 %"));
    let nearly = BTreeMap::from([(Kind::Data, 5_255_999), (Kind::Unknown, 1)]);
    let nearly = Row { expected: 5_256_000, bars: nearly, ..Row::default() };
    assert_eq!(nearly.percent().as_deref(), Some("99.99 %"), "one minute of ten years");
    let terminal = Terminal { width: 80, colour: false, ascii: true };
    let text = coverage_text(&map, &terminal);
    assert!(text.contains("#?"), "{text}");
}

#[test]
fn of_many_spans_the_worst_and_longest_are_listed_and_all_are_counted() {
    let known: Coverage = (0..5000)
        .map(|bar| (hours(2 * bar, 2 * bar + 1), State::Data))
        .chain([(hours(5001, 5002), State::Empty)])
        .collect();
    let frame =
        Frame { picture: hours(0, 10_100), is_asked: false, now: START + 10_100 * HOUR, columns: 100 };
    let row = row(&BTC.parse().unwrap(), &Known { coverage: known, ..Known::default() }, &frame);
    assert_eq!((row.spans.len(), row.holes), (200, 5000));
    assert_eq!(row.more_spans, 10_000 - 200);
    assert_eq!(row.bars(Kind::Unknown) + row.bars(Kind::Unresolved) + row.bars(Kind::Data), 10_100);
    let last = row.spans.last().unwrap();
    assert_eq!((last.kind, last.bars), (Kind::Unknown, 101), "the longest is among them");
    assert!(row.spans.is_sorted_by_key(|span| span.start));
}

#[test]
fn a_series_that_cannot_be_read_is_a_row_with_the_reason() {
    let store = MemoryCheckpointStore::default();
    commit(&store, BTC, &facts(&[(0, 10, State::Data), (10, 12, State::Empty), (12, 48, State::Data)]));
    commit(&store, "test/ohlcv/ETH/1h", &facts(&[(0, 48, State::Data)]));
    with_ledger(&store, BTC, "damaged".to_owned());
    with_ledger(&store, "test/ohlcv/ETH/1h", r#"{"format": 7, "holes": []}"#.to_owned());
    let keys = ["nonsense", BTC, "test/ohlcv/ETH/1h", "test/candles/BTC/1h"];
    let keys = Some(keys.map(str::to_owned).to_vec());
    let map = look(&store, &Asked { series: keys, ..asked() }).unwrap();
    let errors: Vec<&str> = map.series.iter().filter_map(|row| row.error.as_deref()).collect();
    assert_eq!((errors.len(), map.totals.errors), (4, 4));
    assert!(errors[1].contains("test/ohlcv/BTC/1h/gaps: the gap ledger cannot be read"), "{}", errors[1]);
    assert!(errors[2].contains("has format 7"), "{}", errors[2]);
    assert_eq!(map.series[1].bars(Kind::Unresolved), 2, "what the checkpoint says is shown all the same");
    assert!(map.series[0].cells.is_empty());
    let page = coverage_page(&map, None, &[]).unwrap();
    assert!(page.contains("has format 7"));
}

/// Fails for some keys, and counts.
struct Broken(Arc<MemoryCheckpointStore>, &'static str);

#[async_trait]
impl CheckpointStore for Broken {
    async fn load(&self, key: &str) -> Outcome<Option<Checkpoint>> {
        if key.contains(self.1) { Err(Error::unavailable("no answer")) } else { self.0.load(key).await }
    }

    async fn commit(&self, _: &str, _: &Checkpoint) -> Outcome<()> {
        Err(Error::internal("a look writes nothing"))
    }

    async fn list(&self, prefix: &str) -> Outcome<Vec<String>> {
        self.0.list(prefix).await
    }

    async fn delete(&self, _: &str) -> Outcome<()> {
        Err(Error::internal("a look deletes nothing"))
    }

    async fn reset(&self, _: &str) -> Outcome<u64> {
        Err(Error::internal("a look resets nothing"))
    }
}

#[test]
fn nothing_is_written_and_a_store_that_does_not_answer_is_an_error() {
    let held = Arc::new(MemoryCheckpointStore::default());
    for number in 0..40 {
        commit(
            &*held,
            &format!("test/ohlcv/S{number:02}/1h"),
            &facts(&[(0, 9, State::Data), (9, 10, State::Empty)]),
        );
    }
    let map = look(&Broken(Arc::clone(&held), "S07"), &asked()).unwrap();
    assert_eq!((map.totals.series, map.totals.errors), (40, 1));
    assert_eq!(map.series[7].error.as_deref(), Some("no answer"));
    let error = look(&Broken(held, "ohlcv"), &asked()).unwrap_err();
    assert_eq!((error.kind(), error.message()), (ErrorKind::Unavailable, "no answer"));
}

#[test]
fn what_is_too_much_to_keep_is_read_again() {
    let store = MemoryCheckpointStore::default();
    for number in 0..20 {
        commit(&store, &format!("test/ohlcv/S{number:02}/1h"), &facts(&[(number, 30, State::Data)]));
    }
    let now = START + 40 * HOUR;
    let of = |most| block_on(map_of(&store, &asked(), now, most)).unwrap();
    assert_eq!(of(0), of(usize::MAX));
    assert_eq!(of(3), of(usize::MAX));
}

#[test]
fn what_cannot_be_asked_for_is_refused() {
    let store = MemoryCheckpointStore::default();
    for columns in [0, 2001] {
        assert_eq!(look(&store, &Asked { columns, ..asked() }).unwrap_err().kind(), ErrorKind::Invalid);
    }
    let reversed = Asked { start: Some(START), end: Some(START), ..asked() };
    assert_eq!(look(&store, &reversed).unwrap_err().kind(), ErrorKind::Invalid);
    let map = look(&store, &asked()).unwrap();
    assert_eq!((map.totals.series, map.end.0 - map.start.0), (0, DAY));
}

#[test]
fn a_text_reads_without_colour_and_obeys_the_width() {
    let store = MemoryCheckpointStore::default();
    commit(&store, BTC, &facts(&[(0, 12, State::Data), (24, 48, State::Data)]));
    let map = look(&store, &asked()).unwrap();
    let terminal = Terminal { width: 60, colour: false, ascii: true };
    let text = coverage_text(&map, &terminal);
    let lines: Vec<&str> = text.lines().collect();
    assert_eq!(lines[0], "2026-01-05 00:00 .. 2026-01-07 00:00 UTC, a cell is 2.0 hours");
    assert_eq!(lines[1], "                   |01-05 00:00");
    assert_eq!(lines[2], "test/ohlcv/BTC/1h  ######??????############  75.00 %");
    assert_eq!(lines[3], "? never asked   # data");
    assert_eq!(lines[4], "1 series, 48 bars expected, 36 data, 12 never asked");
    assert!(text.is_ascii() && !text.contains('\x1b'));
    let coloured = coverage_text(&map, &Terminal { colour: true, ascii: false, ..terminal });
    assert!(coloured.contains("\x1b[0;34m▇▇▇▇▇▇\x1b[0;1;31m??????"), "{coloured}");
}

#[test]
fn sections_are_tables_and_links_run_nothing() {
    let map = look(&MemoryCheckpointStore::default(), &asked()).unwrap();
    let section = |rows: serde_json::Value| -> Section {
        serde_json::from_value(serde_json::json!({"title": "<Quota>", "columns": ["a", "b"], "rows": rows}))
            .unwrap()
    };
    let rows = serde_json::json!([
        [1_234_567, null],
        [{"text": "<run>", "href": "/dags/x?a=1&b=2"}, {"text": "s", "href": "https://example.com/"}],
        [{"text": "bad", "href": "javascript:alert(1)"}, {"text": "bad", "href": " JavaScript:alert(1)"}],
        [{"text": "bad", "href": "data:text/html,x"}, {"text": "plain"}],
    ]);
    let page = coverage_page(&map, Some("<Title>"), &[section(rows)]).unwrap();
    for part in [
        "<title>&lt;Title&gt;</title>",
        "<h2>&lt;Quota&gt;</h2>",
        "<td class=\"number\">1,234,567</td><td>–</td>",
        "<a href=\"/dags/x?a=1&amp;b=2\">&lt;run&gt;</a>",
        "<a href=\"https://example.com/\">s</a>",
        "<td>plain</td>",
    ] {
        assert!(page.contains(part), "{part}");
    }
    assert!(!page.to_lowercase().contains("javascript:") && !page.contains("data:text"));
    for rows in
        [serde_json::json!([[1]]), serde_json::json!([[1, [2]]]), serde_json::json!([[1, {"href": "/x"}]])]
    {
        assert_eq!(coverage_page(&map, None, &[section(rows)]).unwrap_err().kind(), ErrorKind::Invalid);
    }
}

const TIMEFRAMES: [&str; 5] = ["1m", "15m", "1h", "1w", "1M"];

/// Ranges within about two hundred bars, on the grid and beside it.
fn some_ranges(most: usize) -> impl Strategy<Value = Vec<(i64, i64, u8)>> {
    prop::collection::vec((0..200_000_i64, 1..60_000_i64, 0..5_u8), 0..most)
}

proptest! {
    #[test]
    fn counts_add_up_and_every_missing_bar_is_seen(
        timeframe in 0..5_usize, dense in any::<bool>(), is_asked in any::<bool>(), known in some_ranges(20), told in some_ranges(12),
        (start, length) in (0..150_000_i64, 1_000..200_000_i64), now in 0..250_000_i64, columns in 1..90_usize, fewer in 1..40_usize,
    ) {
        let data_type = if dense { "ohlcv" } else { "liquidations" };
        let series: Series = format!("test/{data_type}/BTC/{}", TIMEFRAMES[timeframe]).parse().unwrap();
        // Thousandths of a bar.
        let unit = series.timeframe.shortest() / 1000;
        let range = |start: i64, length: i64| TimeRange::new(START + start * unit, START + (start + length) * unit).unwrap();
        let coverage: Coverage = known
            .iter()
            .map(|(start, length, state)| (range(*start, *length), if *state < 3 { State::Data } else { State::Empty }))
            .collect();
        let kinds = ["no_trade", "outage", "beyond_retention", "not_listed", "unresolved"];
        // In no order, and perhaps one over the other: as a hand may have left them.
        let holes: Vec<_> = told.iter().map(|(start, length, kind)| {
            let range = range(*start, *length);
            serde_json::json!({"range": [range.start(), range.end()], "kind": kinds[usize::from(*kind)], "attempts": kind, "first_seen": 0, "last_checked": null})
        }).collect();
        let ledger = Ledger::parse(&serde_json::json!({"format": 1, "holes": holes}).to_string()).unwrap();
        let known = Known { coverage: coverage.clone(), ledger, error: None };
        let frame = Frame { picture: range(start, length), is_asked, now: START + now * unit, columns };
        let row = row(&series, &known, &frame);

        prop_assert_eq!(row.bars.values().sum::<u64>(), row.expected);
        prop_assert_eq!(row.cells.iter().map(|cells| cells.2).sum::<usize>(), columns);
        prop_assert!(row.cells.iter().all(|cells| cells.1 > 0.0 && cells.1 <= 1.0));
        let seen = |cells: &[Cells], columns: usize, open: Millis, close: Millis, kind: Kind| {
            let all: Vec<Kind> = cells.iter().flat_map(|cell| std::iter::repeat_n(cell.0, cell.2)).collect();
            let at = |column| edge(frame.picture.start(), frame.picture.end(), columns, column);
            (0..columns).filter(|column| at(*column) < close && at(column + 1) > open).all(|column| all[column] >= kind)
        };
        let wanted = crate::quality::closed_bars(frame.picture, series.timeframe, frame.now);
        let Some(wanted) = wanted else { return Ok(()); };
        if !is_asked { return Ok(()); }
        let all = runs(&series, &known, wanted, frame.now);
        let coarse = narrowed(&row.cells, fewer);
        let mut open = wanted.start();
        while open < wanted.end() {
            let close = series.timeframe.next(open);
            let run = all.iter().find(|run| run.range.contains(open)).unwrap();
            let state = coverage.iter().find(|(range, _)| range.contains(open)).map(|(_, state)| state);
            let fits = match state {
                Some(State::Data) => run.kind == Kind::Data,
                Some(State::Empty) if !dense => run.kind == Kind::Empty,
                Some(State::Empty) => run.kind.is_hole() && run.kind != Kind::Unknown,
                None => matches!(run.kind, Kind::Unknown | Kind::BeyondRetention),
            };
            prop_assert!(fits, "{:?} of {:?}", run.kind, state);
            prop_assert!(seen(&row.cells, columns, open, close, run.kind));
            prop_assert!(seen(&coarse, fewer.min(columns), open, close, run.kind));
            open = close;
        }
    }

    #[test]
    fn the_value_survives_json_and_the_page_is_made_of_it_alone(known in some_ranges(20)) {
        let store = MemoryCheckpointStore::default();
        let range = |start: i64, length: i64| TimeRange::new(START + start * 600, START + (start + length) * 600).unwrap();
        let coverage = known.iter().map(|(start, length, state)| (range(*start, *length), if *state < 3 { State::Data } else { State::Empty })).collect();
        commit(&store, "test/ohlcv/BTC/1m", &Checkpoint { coverage, ..Checkpoint::default() });
        let map = look(&store, &asked()).unwrap();
        let read: CoverageMap = serde_json::from_str(&serde_json::to_string(&map).unwrap()).unwrap();
        prop_assert_eq!(&read, &map);
        prop_assert_eq!(coverage_page(&read, None, &[]).unwrap(), coverage_page(&map, None, &[]).unwrap());
    }
}

#[test]
fn ten_years_of_minutes_with_many_holes_are_counted_to_the_bar() {
    let minutes = 10 * 365 * 1440_i64;
    let range = |from: i64, length: i64| {
        TimeRange::new(START + from * 60_000, START + (from + length) * 60_000).unwrap()
    };
    let coverage: Coverage = (0..minutes / 50).map(|piece| (range(piece * 50, 49), State::Data)).collect();
    let picture = range(0, minutes);
    let frame = Frame { picture, is_asked: true, now: picture.end(), columns: 240 };
    let row = row(&"test/ohlcv/BTC/1m".parse().unwrap(), &Known { coverage, ..Known::default() }, &frame);
    assert_eq!((row.bars(Kind::Unknown), row.holes), ((minutes / 50) as u64, (minutes / 50) as u64));
    assert!(row.cells.iter().all(|cells| cells.0 == Kind::Unknown && (0.019..0.021).contains(&cells.1)));
}
