//! A scanner for bodies of the shape `[{"symbol": "...", "history": [{"t": 1, "o": 1.5, ...}, ...]}, ...]`,
//! straight into columns: parsing is the greatest cost that is ours. Keys may stand in any order, unknown ones
//! are passed over, numbers are exact.

mod rows;
mod table;

pub use rows::{Column, Field, Number, Validity};
pub use table::scan_table;

use self::rows::Rows;
use super::digits::{EXACT, FITTING, digits, quotient};
use crate::error::{Error, Result};

/// One element of the answer.
#[derive(Debug, Clone, PartialEq)]
pub struct History {
    /// Its symbol.
    pub symbol: String,
    /// One column per field, in the order of the fields.
    pub columns: Vec<Column>,
}

struct Scanner<'a> {
    body: &'a [u8],
    at: usize,
    /// What should have stood here, once something is wrong.
    expected: Expected,
}

#[derive(Clone, Copy)]
enum Expected {
    Text(&'static str),
    Byte(u8),
    Required(&'static str),
}

/// The scanner stopped; it knows why. Of no size, so that numbers are returned in registers.
struct Stopped;

type Scan<T> = std::result::Result<T, Stopped>;

/// A number as it is written: `mantissa / 10^fraction`.
#[derive(Clone, Copy)]
struct Digits {
    start: usize,
    negative: bool,
    mantissa: u64,
    fraction: usize,
    /// Nothing is lost in `mantissa`, and there is no exponent.
    plain: bool,
}

/// No more room than this is made on the word of one row.
const ROOM: usize = 1 << 16;
/// Nesting of a value that is passed over.
const DEEPEST: u32 = 64;

/// Every element of `body`. `Data`, with the byte offset, where it is not such a body or lacks a required field.
pub fn scan_history(body: &[u8], fields: &[Field]) -> Result<Vec<History>> {
    let mut scanner = Scanner { body, at: 0, expected: Expected::Text("a list") };
    scanner.whole(fields).map_err(|Stopped| scanner.error())
}

impl<'a> Scanner<'a> {
    fn whole(&mut self, fields: &[Field]) -> Scan<Vec<History>> {
        let mut found = Vec::new();
        self.list(|scanner| {
            found.push(scanner.element(fields)?);
            Ok(())
        })?;
        self.space();
        if self.at < self.body.len() { self.stop(Expected::Text("the end of the body")) } else { Ok(found) }
    }

    #[cold]
    fn stop<T>(&mut self, expected: Expected) -> Scan<T> {
        self.expected = expected;
        Err(Stopped)
    }

    #[cold]
    fn error(&self) -> Error {
        let expected = match self.expected {
            Expected::Text(text) => text.to_owned(),
            Expected::Byte(byte) => format!("{:?}", char::from(byte)),
            Expected::Required(key) => format!("the field {key:?} with a number in each item"),
        };
        let cut = if self.at >= self.body.len() { " (the body is cut off)" } else { "" };
        Error::data(format!(
            "the answer is not what it should be: expected {expected} at byte {}{cut}",
            self.at
        ))
    }

    fn peek(&self) -> u8 {
        self.body.get(self.at).copied().unwrap_or(0)
    }

    fn space(&mut self) {
        while matches!(self.peek(), b' ' | b'\n' | b'\r' | b'\t') {
            self.at += 1;
        }
    }

    fn eat(&mut self, byte: u8) -> bool {
        if self.peek() != byte {
            self.space();
            if self.peek() != byte {
                return false;
            }
        }
        self.at += 1;
        true
    }

    fn want(&mut self, byte: u8) -> Scan<()> {
        if self.eat(byte) { Ok(()) } else { self.stop(Expected::Byte(byte)) }
    }

    /// `[item, ...]`
    fn list(&mut self, mut item: impl FnMut(&mut Self) -> Scan<()>) -> Scan<()> {
        self.want(b'[')?;
        if self.eat(b']') {
            return Ok(());
        }
        loop {
            item(self)?;
            if !self.eat(b',') {
                return self.want(b']');
            }
        }
    }

    /// `{"key": value, ...}`; `value` reads the value.
    fn object(&mut self, mut value: impl FnMut(&mut Self, &'a [u8]) -> Scan<()>) -> Scan<()> {
        self.want(b'{')?;
        if self.eat(b'}') {
            return Ok(());
        }
        loop {
            let key = self.text()?;
            self.want(b':')?;
            value(self, key)?;
            if !self.eat(b',') {
                return self.want(b'}');
            }
        }
    }

    /// The bytes between quotes; escapes stay as they are.
    fn text(&mut self) -> Scan<&'a [u8]> {
        self.want(b'"')?;
        let text = &self.body[self.at..];
        let mut escaped = false;
        for (length, byte) in text.iter().enumerate() {
            match byte {
                b'"' if !escaped => {
                    self.at += length + 1;
                    return Ok(&text[..length]);
                }
                b'\\' => escaped = !escaped,
                _ => escaped = false,
            }
        }
        self.at = self.body.len();
        self.stop(Expected::Text("the end of a text"))
    }

    fn literal(&mut self, word: &[u8]) -> bool {
        self.space();
        let there = self.body[self.at.min(self.body.len())..].starts_with(word);
        self.at += if there { word.len() } else { 0 };
        there
    }

    fn skip(&mut self, depth: u32) -> Scan<()> {
        self.space();
        if depth > DEEPEST {
            return self.stop(Expected::Text("a value that is not nested so deeply"));
        }
        match self.peek() {
            b'"' => self.text().map(drop),
            b'[' => self.list(|scanner| scanner.skip(depth + 1)),
            b'{' => self.object(|scanner, _| scanner.skip(depth + 1)),
            b't' | b'f' | b'n'
                if self.literal(b"true") || self.literal(b"false") || self.literal(b"null") =>
            {
                Ok(())
            }
            _ => self.number().map(drop),
        }
    }

    fn element(&mut self, fields: &[Field]) -> Scan<History> {
        let mut symbol = None;
        let mut rows = Rows::new(fields);
        self.object(|scanner, key| match key {
            b"symbol" => {
                let text = scanner.text()?;
                symbol = serde_json::from_slice(&[b"\"", text, b"\""].concat()).ok();
                Ok(())
            }
            b"history" => scanner.list(|scanner| {
                let start = scanner.at;
                scanner.item(&mut rows)?;
                if !rows.reserved {
                    rows.reserve((scanner.body.len() - start) / (scanner.at - start));
                }
                Ok(())
            }),
            _ => scanner.skip(0),
        })?;
        let Some(symbol) = symbol else { return self.stop(Expected::Text("an element with a symbol")) };
        Ok(History { symbol, columns: rows.columns })
    }

    fn item(&mut self, rows: &mut Rows<'_>) -> Scan<()> {
        let mut seen = 0_u32;
        let mut next = 0;
        self.object(|scanner, key| {
            let Some(index) = rows.position(key, next) else { return scanner.skip(0) };
            next = index + 1;
            if seen & (1 << index) != 0 {
                return scanner.stop(Expected::Text("a field only once"));
            }
            if scanner.null() {
                return Ok(());
            }
            seen |= 1 << index;
            match &mut rows.columns[index] {
                Column::Floats(values, _) => values.push(scanner.float()?),
                Column::Integers(values, _) => values.push(scanner.integer()?),
            }
            Ok(())
        })?;
        rows.finish(seen).or_else(|key| self.stop(Expected::Required(key)))
    }

    /// Appends digits to `into`, which wraps around; how many there were.
    #[inline]
    fn digits(&mut self, into: &mut u64) -> usize {
        let count = digits(&self.body[self.at..], into);
        self.at += count;
        count
    }

    fn null(&mut self) -> bool {
        self.space();
        self.peek() == b'n' && self.literal(b"null")
    }

    #[expect(
        clippy::inline_always,
        reason = "a call would pass `Digits` through memory: a fifth of all parsing"
    )]
    #[inline(always)]
    fn number(&mut self) -> Scan<Digits> {
        let start = self.at;
        let negative = self.peek() == b'-';
        self.at += usize::from(negative);
        let first = self.peek();
        let mut mantissa = 0;
        let whole = self.digits(&mut mantissa);
        if whole == 0 || (whole > 1 && first == b'0') {
            self.at = start;
            return self.stop(Expected::Text("a number"));
        }
        let mut fraction = 0;
        if self.peek() == b'.' {
            self.at += 1;
            fraction = self.digits(&mut mantissa);
            if fraction == 0 {
                return self.stop(Expected::Text("a digit"));
            }
        }
        let mut plain = whole + fraction <= FITTING;
        if matches!(self.peek(), b'e' | b'E') {
            self.exponent()?;
            plain = false;
        }
        Ok(Digits { start, negative, mantissa, fraction, plain })
    }

    fn exponent(&mut self) -> Scan<()> {
        self.at += 1;
        self.at += usize::from(matches!(self.peek(), b'+' | b'-'));
        if self.digits(&mut 0) == 0 { self.stop(Expected::Text("an exponent")) } else { Ok(()) }
    }

    #[inline]
    fn float(&mut self) -> Scan<f64> {
        let number = self.number()?;
        if number.plain
            && let Some(value) = quotient(number.mantissa, number.fraction)
        {
            return Ok(if number.negative { -value } else { value });
        }
        self.nearest(number.start)
    }

    /// The f64 nearest to the number from `start` to here.
    #[cold]
    fn nearest(&mut self, start: usize) -> Scan<f64> {
        let text = &self.body[start..self.at];
        match fast_float2::parse(text).ok().filter(|value: &f64| value.is_finite()) {
            Some(value) => Ok(value),
            None => self.stop(Expected::Text("a number that is not beyond f64")),
        }
    }

    #[inline]
    fn integer(&mut self) -> Scan<i64> {
        let number = self.number()?;
        let whole = number.plain && number.fraction == 0;
        if let (true, Ok(value)) = (whole, i64::try_from(number.mantissa)) {
            return Ok(if number.negative { -value } else { value });
        }
        let float = self.nearest(number.start)?;
        if float.fract() == 0.0 && float.abs() < EXACT as f64 {
            return Ok(float as i64);
        }
        self.at = number.start;
        self.stop(Expected::Text("a whole number"))
    }
}

#[cfg(test)]
mod tests;
