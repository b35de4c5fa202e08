//! `int8multirange` across the wire: ranges `[start, end)` in milliseconds.

use std::error::Error as StdError;

use bytes::{Buf, BufMut, BytesMut};
use tokio_postgres::types::{IsNull, ToSql, Type, accepts, to_sql_checked};

use crate::time_range::TimeRange;

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

/// The ranges in pairs of bounds, eight bytes each, as the statement that loads packs them; `None` where they are none.
pub(super) fn unpack(bytes: Option<&[u8]>) -> Option<Vec<TimeRange>> {
    let (pairs, rest) = bytes.unwrap_or_default().as_chunks::<16>();
    let range = |pair: &[u8; 16]| {
        let mut pair = pair.as_slice();
        TimeRange::non_empty(pair.get_i64(), pair.get_i64())
    };
    pairs.iter().map(range).collect::<Option<_>>().filter(|_| rest.is_empty())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_packed_reads_back_and_the_rest_is_refused() {
        let bounds = [-5_i64, 7, 9, 10];
        let bytes: Vec<u8> = bounds.iter().flat_map(|bound| bound.to_be_bytes()).collect();
        let ranges = vec![TimeRange::new(-5, 7).unwrap(), TimeRange::new(9, 10).unwrap()];
        assert_eq!(unpack(Some(&bytes)), Some(ranges));
        assert_eq!(unpack(None), Some(Vec::new()));
        assert_eq!(unpack(Some(&bytes[1..])), None);
        assert_eq!(unpack(Some(&[0; 16])), None);
    }
}
