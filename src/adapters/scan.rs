//! A scanner for bodies of the shape `[{"symbol": "...", "history": [{"t": 1, "o": 1.5, ...}, ...]}, ...]`,
//! straight into columns: parsing is the greatest cost that is ours. Keys may stand in any order, unknown ones
//! are passed over, numbers are exact.

use crate::error::{Error, Result};

/// What a field's numbers are.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Number {
    /// Any number.
    Float,
    /// Whole numbers only.
    Integer,
}

/// One field of a history item.
#[derive(Debug, Clone, Copy)]
pub struct Field {
    /// Its key.
    pub key: &'static str,
    /// What its numbers are.
    pub number: Number,
    /// Whether an item may lack it or hold null.
    pub optional: bool,
}

/// A column; `None` where an item lacks the field.
#[derive(Debug, Clone, PartialEq)]
pub enum Column {
    /// Of a [`Number::Float`] field; NaN where absent.
    Floats(Vec<f64>, Validity),
    /// Of a [`Number::Integer`] field; 0 where absent.
    Integers(Vec<i64>, Validity),
}

/// Which rows hold a value; `None`: all do.
pub type Validity = Option<Vec<bool>>;

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
}

const POWERS: [f64; 23] = [
    1e0, 1e1, 1e2, 1e3, 1e4, 1e5, 1e6, 1e7, 1e8, 1e9, 1e10, 1e11, 1e12, 1e13, 1e14, 1e15, 1e16, 1e17, 1e18,
    1e19, 1e20, 1e21, 1e22,
];
/// Whole numbers up to here are exact as f64.
const EXACT: u64 = 1 << 53;
/// Least bytes of an item, to guess the number of rows.
const ITEM: usize = 48;
/// Nesting of a value that is passed over.
const DEEPEST: u32 = 64;

/// Every element of `body`. `Data`, with the byte offset, where it is not such a body or lacks a required field.
pub fn scan_history(body: &[u8], fields: &[Field]) -> Result<Vec<History>> {
    let mut scanner = Scanner { body, at: 0 };
    let mut found = Vec::new();
    scanner.list(|scanner| {
        found.push(scanner.element(fields)?);
        Ok(())
    })?;
    scanner.space();
    if scanner.at < body.len() { Err(scanner.wrong("the end of the body")) } else { Ok(found) }
}

impl<'a> Scanner<'a> {
    fn wrong(&self, expected: &str) -> Error {
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
        }
        let there = self.peek() == byte && self.at < self.body.len();
        self.at += usize::from(there);
        there
    }

    fn want(&mut self, byte: u8) -> Result<()> {
        if self.eat(byte) { Ok(()) } else { Err(self.wrong(&format!("{:?}", char::from(byte)))) }
    }

    /// `[item, ...]`
    fn list(&mut self, mut item: impl FnMut(&mut Self) -> Result<()>) -> Result<()> {
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
    fn object(&mut self, mut value: impl FnMut(&mut Self, &'a [u8]) -> Result<()>) -> Result<()> {
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
    fn text(&mut self) -> Result<&'a [u8]> {
        self.want(b'"')?;
        let start = self.at;
        while self.at < self.body.len() {
            match self.body[self.at] {
                b'"' => {
                    self.at += 1;
                    return Ok(&self.body[start..self.at - 1]);
                }
                b'\\' => self.at += 2,
                _ => self.at += 1,
            }
        }
        Err(self.wrong("the end of a text"))
    }

    fn literal(&mut self, word: &[u8]) -> bool {
        self.space();
        let there = self.body[self.at.min(self.body.len())..].starts_with(word);
        self.at += if there { word.len() } else { 0 };
        there
    }

    fn skip(&mut self, depth: u32) -> Result<()> {
        self.space();
        if depth > DEEPEST {
            return Err(self.wrong("a value that is not nested so deeply"));
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
            _ => self.float().map(drop),
        }
    }

    fn element(&mut self, fields: &[Field]) -> Result<History> {
        let mut symbol = None;
        let mut rows = Rows::new(fields);
        self.object(|scanner, key| match key {
            b"symbol" => {
                let text = scanner.text()?;
                symbol = serde_json::from_slice(&[b"\"", text, b"\""].concat()).ok();
                Ok(())
            }
            b"history" => {
                rows.reserve((scanner.body.len() - scanner.at) / ITEM + 1);
                scanner.list(|scanner| scanner.item(&mut rows))
            }
            _ => scanner.skip(0),
        })?;
        let symbol = symbol.ok_or_else(|| self.wrong("an element with a symbol"))?;
        Ok(History { symbol, columns: rows.columns })
    }

    fn item(&mut self, rows: &mut Rows<'_>) -> Result<()> {
        let mut seen = 0_u32;
        let mut next = 0;
        self.object(|scanner, key| {
            let Some(index) = rows.position(key, next) else { return scanner.skip(0) };
            next = index + 1;
            if seen & (1 << index) != 0 {
                return Err(scanner.wrong("a field only once"));
            }
            scanner.space();
            if scanner.peek() == b'n' && scanner.literal(b"null") {
                return Ok(());
            }
            seen |= 1 << index;
            match &mut rows.columns[index] {
                Column::Floats(values, _) => values.push(scanner.float()?),
                Column::Integers(values, _) => values.push(scanner.integer()?),
            }
            Ok(())
        })?;
        rows.finish(seen)
            .map_err(|field| self.wrong(&format!("the field {field:?} with a number in each item")))
    }

    /// Digits as a whole number, how many there were, and whether they fit.
    fn digits(&mut self, into: &mut u64) -> (usize, bool) {
        let start = self.at;
        let mut fits = true;
        while self.peek().is_ascii_digit() {
            let digit = u64::from(self.peek() - b'0');
            let (value, over) = (into.wrapping_mul(10).wrapping_add(digit), *into > (u64::MAX - 9) / 10);
            (*into, fits) = (value, fits && !over);
            self.at += 1;
        }
        (self.at - start, fits)
    }

    fn integer(&mut self) -> Result<i64> {
        self.space();
        let start = self.at;
        let float = self.float()?;
        let text = std::str::from_utf8(&self.body[start..self.at]).unwrap_or_default();
        if let Ok(whole) = text.parse() {
            return Ok(whole);
        }
        if float.fract() == 0.0 && float.abs() < EXACT as f64 {
            return Ok(float as i64);
        }
        self.at = start;
        Err(self.wrong("a whole number"))
    }

    fn float(&mut self) -> Result<f64> {
        self.space();
        let start = self.at;
        let negative = self.peek() == b'-';
        self.at += usize::from(negative);
        let first = self.peek();
        let mut mantissa = 0;
        let (whole, mut fits) = self.digits(&mut mantissa);
        if whole == 0 || (whole > 1 && first == b'0') {
            self.at = start;
            return Err(self.wrong("a number"));
        }
        let mut fraction = 0;
        if self.peek() == b'.' {
            self.at += 1;
            let (count, fitting) = self.digits(&mut mantissa);
            (fraction, fits) = (count, fits && fitting);
            if count == 0 {
                return Err(self.wrong("a digit"));
            }
        }
        if matches!(self.peek(), b'e' | b'E') {
            self.exponent()?;
        } else if fits && mantissa <= EXACT && fraction < POWERS.len() {
            // Both are exact, so their quotient is rounded once: the nearest f64.
            let value = mantissa as f64 / POWERS[fraction];
            return Ok(if negative { -value } else { value });
        }
        let value: f64 =
            fast_float2::parse(&self.body[start..self.at]).map_err(|_| self.wrong("a number"))?;
        if value.is_finite() { Ok(value) } else { Err(self.wrong("a number that is not beyond f64")) }
    }

    fn exponent(&mut self) -> Result<()> {
        self.at += 1;
        self.at += usize::from(matches!(self.peek(), b'+' | b'-'));
        let (count, _) = self.digits(&mut 0);
        if count == 0 { Err(self.wrong("an exponent")) } else { Ok(()) }
    }
}

/// Columns that grow by one row at a time.
struct Rows<'f> {
    fields: &'f [Field],
    columns: Vec<Column>,
    count: usize,
}

impl<'f> Rows<'f> {
    fn new(fields: &'f [Field]) -> Self {
        let column = |field: &Field| match field.number {
            Number::Float => Column::Floats(Vec::new(), None),
            Number::Integer => Column::Integers(Vec::new(), None),
        };
        Self { fields, columns: fields.iter().map(column).collect(), count: 0 }
    }

    fn reserve(&mut self, rows: usize) {
        for column in &mut self.columns {
            match column {
                Column::Floats(values, _) => values.reserve(rows),
                Column::Integers(values, _) => values.reserve(rows),
            }
        }
    }

    /// The field of `key`, looked for first where the last item had it.
    fn position(&self, key: &[u8], likely: usize) -> Option<usize> {
        if self.fields.get(likely).is_some_and(|field| field.key.as_bytes() == key) {
            return Some(likely);
        }
        self.fields.iter().position(|field| field.key.as_bytes() == key)
    }

    /// Ends a row of which the fields in `seen` are there; the required field that is not.
    fn finish(&mut self, seen: u32) -> std::result::Result<(), &'static str> {
        let all = u32::MAX >> (32 - self.fields.len());
        for (index, column) in self.columns.iter_mut().enumerate() {
            let there = seen & (1 << index) != 0;
            if !there && !self.fields[index].optional {
                return Err(self.fields[index].key);
            }
            match column {
                _ if seen == all && !column.has_nulls() => {}
                Column::Floats(values, validity) => note(values, validity, there, self.count, f64::NAN),
                Column::Integers(values, validity) => note(values, validity, there, self.count, 0),
            }
        }
        self.count += 1;
        Ok(())
    }
}

impl Column {
    const fn has_nulls(&self) -> bool {
        matches!(self, Self::Floats(_, Some(_)) | Self::Integers(_, Some(_)))
    }
}

/// Notes whether row `count` is there, and fills its place where it is not.
fn note<T>(values: &mut Vec<T>, validity: &mut Validity, there: bool, count: usize, filler: T) {
    if !there {
        values.push(filler);
    }
    if !there || validity.is_some() {
        validity.get_or_insert_with(|| vec![true; count]).push(there);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const FIELDS: [Field; 3] = [
        Field { key: "t", number: Number::Integer, optional: false },
        Field { key: "o", number: Number::Float, optional: false },
        Field { key: "bv", number: Number::Float, optional: true },
    ];

    fn one(items: &str) -> Result<Vec<Column>> {
        let body = format!("[{{\"symbol\":\"A\",\"history\":[{items}]}}]");
        scan_history(body.as_bytes(), &FIELDS).map(|mut found| found.remove(0).columns)
    }

    proptest! {
        #[test]
        fn numbers_are_those_of_the_standard_library(text in r"-?(0|[1-9][0-9]{0,24})(\.[0-9]{1,25})?([eE][+-]?[0-9]{1,2})?") {
            let expected: f64 = text.parse().unwrap();
            let columns = one(&format!("{{\"t\":1,\"o\":{text}}}")).unwrap();
            let Column::Floats(values, _) = &columns[1] else { panic!("floats") };
            prop_assert_eq!(values[0].to_bits(), expected.to_bits(), "{}", text);
        }

        #[test]
        fn every_cut_of_a_body_is_refused_and_nothing_panics(cut in 0..119_usize, noise in prop::collection::vec(any::<u8>(), 0..40)) {
            let body = br#"[{"symbol":"A","history":[{"t":1,"o":1.5,"bv":2},{"t":2,"x":{"y":[1,"\"",null,true]},"o":2e3}],"more":[{},[]]} , {"symbol":"B","history":[]}]"#;
            prop_assert_eq!(scan_history(body, &FIELDS).unwrap().len(), 2);
            prop_assert!(scan_history(&body[..cut], &FIELDS).is_err());
            let _ = scan_history(&noise, &FIELDS);
        }
    }

    #[test]
    fn keys_come_in_any_order_and_absent_ones_are_null() {
        let columns = one(r#"{"o":1.5,"t":60}, {"bv":null,"t":120,"o":2}, {"t":180,"o":3,"bv":7}"#).unwrap();
        assert_eq!(columns[0], Column::Integers(vec![60, 120, 180], None));
        assert_eq!(columns[1], Column::Floats(vec![1.5, 2.0, 3.0], None));
        let Column::Floats(values, Some(validity)) = &columns[2] else { panic!("nulls") };
        assert_eq!((values[2].to_bits(), &**validity), (7.0_f64.to_bits(), &[false, false, true][..]));
    }

    #[test]
    fn what_is_missing_or_wrong_is_named() {
        for (items, expected) in [
            (r#"{"t":1}"#, "\"o\""),
            (r#"{"t":1,"o":null}"#, "\"o\""),
            (r#"{"t":1.5,"o":1}"#, "whole number"),
            (r#"{"t":1,"o":"1"}"#, "a number"),
            (r#"{"t":1,"o":01}"#, "a number"),
            (r#"{"t":1,"o":1,"o":2}"#, "only once"),
            (r#"{"t":1,"o":1e999}"#, "beyond f64"),
        ] {
            let error = one(items).unwrap_err().to_string();
            assert!(error.contains(expected), "{items}: {error}");
        }
        assert!(scan_history(b"{\"message\":\"x\"}", &FIELDS).is_err());
        assert_eq!(scan_history(b" [ ] ", &FIELDS).unwrap(), []);
    }
}
