//! `int8multirange` across the wire: ranges `[start, end)` in milliseconds.

use std::error::Error as StdError;

use bytes::{Buf, BufMut, BytesMut};
use tokio_postgres::types::{FromSql, IsNull, ToSql, Type, accepts, to_sql_checked};

use crate::time_range::{Millis, TimeRange};

const LOWER_INCLUSIVE: u8 = 0x02;
/// Of an encoded range: flags, then length and value of each bound.
const RANGE_LENGTH: i32 = 1 + 2 * (4 + 8);

/// Sorted, disjoint ranges.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Multirange(pub(super) Vec<TimeRange>);

impl ToSql for Multirange {
    fn to_sql(&self, _: &Type, out: &mut BytesMut) -> Result<IsNull, Box<dyn StdError + Sync + Send>> {
        out.reserve(4 + self.0.len() * (4 + RANGE_LENGTH as usize));
        out.put_i32(i32::try_from(self.0.len())?);
        for range in &self.0 {
            out.put_i32(RANGE_LENGTH);
            out.put_u8(LOWER_INCLUSIVE);
            for bound in [range.start(), range.end()] {
                out.put_i32(8);
                out.put_i64(bound);
            }
        }
        Ok(IsNull::No)
    }

    accepts!(INT8MULTI_RANGE);
    to_sql_checked!();
}

impl<'a> FromSql<'a> for Multirange {
    fn from_sql(_: &Type, mut raw: &'a [u8]) -> Result<Self, Box<dyn StdError + Sync + Send>> {
        let count = raw.try_get_i32()?;
        let mut ranges = Vec::with_capacity(usize::try_from(count)?);
        for _ in 0..count {
            let (length, flags) = (raw.try_get_i32()?, raw.try_get_u8()?);
            if (length, flags) != (RANGE_LENGTH, LOWER_INCLUSIVE) {
                return Err("an unbounded or odd range".into());
            }
            let mut bound = || -> Result<Millis, Box<dyn StdError + Sync + Send>> {
                raw.try_get_i32()?;
                Ok(raw.try_get_i64()?)
            };
            ranges.push(TimeRange::new(bound()?, bound()?)?);
        }
        Ok(Self(ranges))
    }

    accepts!(INT8MULTI_RANGE);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_what_it_writes_and_refuses_the_rest() {
        let ranges = Multirange(vec![TimeRange::new(-5, 7).unwrap(), TimeRange::new(9, 10).unwrap()]);
        let mut bytes = BytesMut::new();
        ranges.to_sql(&Type::INT8MULTI_RANGE, &mut bytes).unwrap();
        assert_eq!(Multirange::from_sql(&Type::INT8MULTI_RANGE, &bytes).unwrap(), ranges);
        for cut in 0..bytes.len() {
            assert!(Multirange::from_sql(&Type::INT8MULTI_RANGE, &bytes[..cut]).is_err(), "cut at {cut}");
        }
    }
}
