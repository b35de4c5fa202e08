//! The archive's CSV files, straight into columns. Parsing is the greatest cost that is ours, so a number is read in
//! one pass over its bytes; it is the nearest f64 whatever its digits.

use chrono::NaiveDateTime;

use super::super::digits::{FITTING, digits, quotient};
use crate::error::{Error, Result};
use crate::time_range::Millis;

/// Columns of a klines file, in its order.
#[derive(Debug, Default, PartialEq)]
pub(super) struct Klines {
    /// Open time, milliseconds UTC.
    pub(super) ts: Vec<Millis>,
    /// Open, high, low, close, volume.
    pub(super) values: [Vec<f64>; 5],
    pub(super) trade_count: Vec<i64>,
    pub(super) taker_buy_volume: Vec<f64>,
}

/// Columns of a metrics file, in its order.
#[derive(Debug, Default, PartialEq)]
pub(super) struct Metrics {
    /// As the file says, milliseconds UTC.
    pub(super) create_time: Vec<Millis>,
    pub(super) open_interest: Vec<f64>,
    /// Rows without open interest; left out.
    pub(super) blank: u64,
}

struct Reader<'a> {
    body: &'a [u8],
    at: usize,
    /// What should have stood at `at`, once something is wrong.
    expected: &'static str,
}

/// The reader stopped; it knows why.
struct Stopped;

type Read<T> = std::result::Result<T, Stopped>;

/// The shortest plausible row of klines, for the room that columns take.
const SHORT_ROW: usize = 90;
/// Later than 2001 in milliseconds and in microseconds; ten times that is the other unit or nonsense.
const MILLIS: i64 = 1_000_000_000_000;
const MICROS: i64 = 1_000_000_000_000_000;

/// `body` as klines, with or without a header. `Data`, naming the line, where it is something else.
pub(super) fn klines(body: &[u8]) -> Result<Klines> {
    let mut reader = Reader { body, at: 0, expected: "" };
    let mut rows = Klines::default();
    let room = body.len() / SHORT_ROW + 1;
    rows.ts.reserve(room);
    rows.values.iter_mut().for_each(|column| column.reserve(room));
    rows.trade_count.reserve(room);
    rows.taker_buy_volume.reserve(room);
    let read = reader.header(b"open_time,open,high,low,close,volume").and_then(|()| {
        while !reader.at_end() {
            reader.kline(&mut rows)?;
        }
        Ok(())
    });
    read.map_err(|Stopped| reader.error())?;
    Ok(rows)
}

/// `body` as metrics of `symbol`, with or without a header. `Data`, naming the line, where it is something else.
pub(super) fn metrics(body: &[u8], symbol: &str) -> Result<Metrics> {
    let mut reader = Reader { body, at: 0, expected: "" };
    let mut rows = Metrics::default();
    let read = reader.header(b"create_time,symbol,sum_open_interest").and_then(|()| {
        while !reader.at_end() {
            reader.metric(&mut rows, symbol)?;
        }
        Ok(())
    });
    read.map_err(|Stopped| reader.error())?;
    Ok(rows)
}

impl<'a> Reader<'a> {
    #[cold]
    fn stop<T>(&mut self, at: usize, expected: &'static str) -> Read<T> {
        (self.at, self.expected) = (at, expected);
        Err(Stopped)
    }

    #[cold]
    fn error(&self) -> Error {
        let at = self.at.min(self.body.len());
        let line = self.body[..at].split(|byte| *byte == b'\n').count();
        let rest = String::from_utf8_lossy(&self.body[at..self.body.len().min(at + 40)]);
        let found = rest.lines().next().unwrap_or_default();
        Error::data(format!("expected {} in line {line}, found {found:?}", self.expected))
    }

    fn at_end(&self) -> bool {
        self.at >= self.body.len()
    }

    /// Passes over the first line where it is no row.
    fn header(&mut self, expected: &[u8]) -> Read<()> {
        if self.body.first().is_none_or(u8::is_ascii_digit) {
            return Ok(());
        }
        if !self.body.starts_with(expected) {
            return self.stop(0, "a row, or a header with the usual names");
        }
        self.skip_line();
        Ok(())
    }

    fn skip_line(&mut self) {
        let rest = &self.body[self.at..];
        self.at += rest.iter().position(|byte| *byte == b'\n').map_or(rest.len(), |end| end + 1);
    }

    fn kline(&mut self, rows: &mut Klines) -> Read<()> {
        let start = self.at;
        let time = self.integer()?;
        let Some(ts) = millis(time) else {
            return self.stop(start, "an open time in milliseconds or microseconds");
        };
        rows.ts.push(ts);
        for column in &mut rows.values {
            column.push(self.float()?);
        }
        // close_time and quote_volume
        self.skip()?;
        self.skip()?;
        rows.trade_count.push(self.integer()?);
        rows.taker_buy_volume.push(self.float()?);
        // taker_buy_quote_volume; the last one means nothing.
        self.skip()?;
        self.last()
    }

    fn metric(&mut self, rows: &mut Metrics, symbol: &str) -> Read<()> {
        let start = self.at;
        let text = self.text()?;
        let Some(time) = moment(text) else {
            return self.stop(start, "a create_time such as 2024-01-31 00:05:00");
        };
        let start = self.at;
        if self.text()? != symbol.as_bytes() {
            return self.stop(start, "the file's own symbol");
        }
        if self.body.get(self.at) == Some(&b',') {
            rows.blank += 1;
        } else {
            rows.open_interest.push(self.float()?);
            rows.create_time.push(time);
        }
        self.skip_line();
        Ok(())
    }

    /// Appends digits to `into`, which wraps around; how many there were.
    #[inline]
    fn digits(&mut self, into: &mut u64) -> usize {
        let count = digits(&self.body[self.at..], into);
        self.at += count;
        count
    }

    #[inline]
    fn comma(&mut self, start: usize, expected: &'static str) -> Read<()> {
        if self.body.get(self.at) != Some(&b',') {
            return self.stop(start, expected);
        }
        self.at += 1;
        Ok(())
    }

    /// A whole number that is not negative, and the comma after it.
    #[inline]
    fn integer(&mut self) -> Read<i64> {
        let (start, mut value) = (self.at, 0);
        let count = self.digits(&mut value);
        if count == 0 || count > FITTING || value > i64::MAX as u64 {
            return self.stop(start, "a whole number");
        }
        self.comma(start, "a whole number")?;
        Ok(value as i64)
    }

    /// A decimal number and the comma after it.
    #[inline]
    fn float(&mut self) -> Read<f64> {
        let start = self.at;
        let mut mantissa = 0;
        let whole = self.digits(&mut mantissa);
        let mut fraction = 0;
        if self.body.get(self.at) == Some(&b'.') {
            self.at += 1;
            fraction = self.digits(&mut mantissa);
        }
        if whole > 0
            && whole + fraction <= FITTING
            && self.body.get(self.at) == Some(&b',')
            && let Some(value) = quotient(mantissa, fraction)
        {
            self.at += 1;
            return Ok(value);
        }
        self.nearest(start)
    }

    /// As [`Self::float`], for what has many digits, a sign or an exponent.
    #[cold]
    fn nearest(&mut self, start: usize) -> Read<f64> {
        self.at = start;
        let text = self.text()?;
        let starts_well = text.first().is_some_and(|byte| byte.is_ascii_digit() || *byte == b'-');
        let value = fast_float2::parse::<f64, _>(text).ok().filter(|value| starts_well && value.is_finite());
        value.map_or_else(|| self.stop(start, "a decimal number"), Ok)
    }

    /// A field as it is, and the comma after it.
    fn text(&mut self) -> Read<&'a [u8]> {
        let start = self.at;
        self.skip()?;
        Ok(&self.body[start..self.at - 1])
    }

    /// Passes over a field and the comma after it.
    #[inline]
    fn skip(&mut self) -> Read<()> {
        let start = self.at;
        let end = self.body[start..].iter().position(|byte| matches!(byte, b',' | b'\n'));
        self.at = start + end.unwrap_or(self.body.len() - start);
        self.comma(start, "a field and a comma")
    }

    /// Passes over the last field of a line.
    #[inline]
    fn last(&mut self) -> Read<()> {
        let start = self.at;
        let rest = &self.body[start..];
        let end = rest.iter().position(|byte| matches!(byte, b',' | b'\n')).unwrap_or(rest.len());
        if rest.get(end) == Some(&b',') {
            return self.stop(start, "the end of a row of 12 fields");
        }
        self.at = (start + end + 1).min(self.body.len());
        Ok(())
    }
}

/// A time in milliseconds, which is given in those or in microseconds.
fn millis(time: i64) -> Option<Millis> {
    match time {
        MILLIS..=9_999_999_999_999 => Some(time),
        MICROS..=9_999_999_999_999_999 => Some(time / 1000),
        _ => None,
    }
}

/// The create time of metrics: a text in UTC, or a number as in klines.
fn moment(text: &[u8]) -> Option<Millis> {
    let text = std::str::from_utf8(text).ok()?;
    let said = NaiveDateTime::parse_from_str(text, "%Y-%m-%d %H:%M:%S").ok();
    said.map(|said| said.and_utc().timestamp_millis()).or_else(|| millis(text.parse().ok()?))
}
