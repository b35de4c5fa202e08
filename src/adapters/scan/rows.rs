//! Columns that grow by the row.

use super::ROOM;

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

/// Columns that grow by one row at a time.
pub(super) struct Rows<'f> {
    fields: &'f [Field],
    pub(super) columns: Vec<Column>,
    /// Some row lacks some field.
    nulls: bool,
    pub(super) reserved: bool,
}

impl<'f> Rows<'f> {
    pub(super) fn new(fields: &'f [Field]) -> Self {
        let column = |field: &Field| match field.number {
            Number::Float => Column::Floats(Vec::new(), None),
            Number::Integer => Column::Integers(Vec::new(), None),
        };
        Self { fields, columns: fields.iter().map(column).collect(), nulls: false, reserved: false }
    }

    /// Makes room for as many rows as the rest of the body can hold if all are like the first.
    pub(super) fn reserve(&mut self, rows: usize) {
        self.reserved = true;
        for column in &mut self.columns {
            match column {
                Column::Floats(values, _) => values.reserve(rows.min(ROOM)),
                Column::Integers(values, _) => values.reserve(rows.min(ROOM)),
            }
        }
    }

    /// The field of `key`, looked for first where the last item had it.
    pub(super) fn position(&self, key: &[u8], likely: usize) -> Option<usize> {
        let is = |field: &Field| same(field.key.as_bytes(), key);
        if self.fields.get(likely).is_some_and(is) { Some(likely) } else { self.fields.iter().position(is) }
    }

    /// Ends a row of which the fields in `seen` are there; the required field that is not.
    pub(super) fn finish(&mut self, seen: u32) -> std::result::Result<(), &'static str> {
        let all = u32::MAX >> (32 - self.fields.len());
        if seen == all && !self.nulls {
            return Ok(());
        }
        self.nulls = true;
        for (index, column) in self.columns.iter_mut().enumerate() {
            let there = seen & (1 << index) != 0;
            if !there && !self.fields[index].optional {
                return Err(self.fields[index].key);
            }
            match column {
                Column::Floats(values, validity) => note(values, validity, there, f64::NAN),
                Column::Integers(values, validity) => note(values, validity, there, 0),
            }
        }
        Ok(())
    }
}

/// Keys have few bytes: comparing them here is cheaper than a call of `memcmp`.
fn same(one: &[u8], other: &[u8]) -> bool {
    one.len() == other.len() && one.iter().zip(other).all(|(one, other)| one == other)
}

/// Notes whether the last row is there, and fills its place where it is not.
fn note<T>(values: &mut Vec<T>, validity: &mut Validity, there: bool, filler: T) {
    if !there {
        values.push(filler);
    }
    if !there || validity.is_some() {
        validity.get_or_insert_with(|| vec![true; values.len() - 1]).push(there);
    }
}
