//! Bodies of the shape `[[1, "2.5", ...], ...]`: rows of values by place, with or without quotes.

use super::{Column, Expected, Number, ROOM, Scan, Scanner, Stopped};
use crate::error::Result;

/// The rows of `body` as columns: `places` says what the first, second, ... value of a row is, `None` what is passed
/// over, and so is what comes after. Numbers are exact. `Data`, with the byte offset, where it is not such a body, where
/// a row is shorter, or where a value that is wanted is no number.
pub fn scan_table(body: &[u8], places: &[Option<Number>]) -> Result<Vec<Column>> {
    let mut scanner = Scanner { body, at: 0, expected: Expected::Text("a list") };
    scanner.table(places).map_err(|Stopped| scanner.error())
}

impl Scanner<'_> {
    fn table(&mut self, places: &[Option<Number>]) -> Scan<Vec<Column>> {
        let column = |number: &Number| match number {
            Number::Float => Column::Floats(Vec::new(), None),
            Number::Integer => Column::Integers(Vec::new(), None),
        };
        let mut columns: Vec<Column> = places.iter().flatten().map(column).collect();
        let mut reserved = false;
        self.list(|scanner| {
            let start = scanner.at;
            scanner.row(places, &mut columns)?;
            if !reserved {
                reserved = true;
                let rows = (scanner.body.len() - start) / (scanner.at - start);
                for column in &mut columns {
                    reserve(column, rows.min(ROOM));
                }
            }
            Ok(())
        })?;
        self.space();
        if self.at < self.body.len() { self.stop(Expected::Text("the end of the body")) } else { Ok(columns) }
    }

    fn row(&mut self, places: &[Option<Number>], columns: &mut [Column]) -> Scan<()> {
        let (mut place, mut next) = (0, 0);
        self.list(|scanner| {
            let wanted = places.get(place).copied().flatten();
            place += 1;
            if wanted.is_none() {
                return scanner.skip(0);
            }
            next += 1;
            scanner.value(&mut columns[next - 1])
        })?;
        if place < places.len() { self.stop(Expected::Text("a row of more values")) } else { Ok(()) }
    }

    #[inline]
    fn value(&mut self, column: &mut Column) -> Scan<()> {
        self.space();
        let quoted = self.peek() == b'"';
        self.at += usize::from(quoted);
        match column {
            Column::Floats(values, _) => values.push(self.float()?),
            Column::Integers(values, _) => values.push(self.integer()?),
        }
        if !quoted {
            return Ok(());
        }
        if self.peek() != b'"' {
            return self.stop(Expected::Byte(b'"'));
        }
        self.at += 1;
        Ok(())
    }
}

fn reserve(column: &mut Column, rows: usize) {
    match column {
        Column::Floats(values, _) => values.reserve(rows),
        Column::Integers(values, _) => values.reserve(rows),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const PLACES: [Option<Number>; 4] =
        [Some(Number::Integer), Some(Number::Float), None, Some(Number::Float)];

    proptest! {
        #[test]
        fn quoted_numbers_are_those_of_the_standard_library(text in r"-?(0|[1-9][0-9]{0,12})(\.[0-9]{1,18})?") {
            let expected: f64 = text.parse().unwrap();
            let columns = scan_table(format!("[[7,\"{text}\",\"x\",{text},[]]]").as_bytes(), &PLACES).unwrap();
            for column in &columns[1..] {
                let Column::Floats(values, _) = column else { panic!("floats") };
                prop_assert_eq!(values[0].to_bits(), expected.to_bits());
            }
        }

        #[test]
        fn every_cut_is_refused_and_nothing_panics(cut in 0..58_usize, noise in prop::collection::vec(any::<u8>(), 0..40)) {
            let body = br#"[[1,"2.50",{"a":[1]},3.5,"more"], [ "2" , "1e3", 0 , "4" ]]"#;
            let columns = scan_table(body, &PLACES).unwrap();
            prop_assert_eq!(&columns[0], &Column::Integers(vec![1, 2], None));
            prop_assert!(scan_table(&body[..cut], &PLACES).is_err());
            let _ = scan_table(&noise, &PLACES);
        }
    }

    #[test]
    fn what_is_missing_or_wrong_is_named() {
        for (body, expected) in [
            ("[[1,\"2\",0]]", "a row of more values"),
            ("[[1,\"2\",0,null]]", "a number"),
            ("[[1,\"\",0,1]]", "a number"),
            ("[[1,\"2x\",0,1]]", "'\"' at byte 6"),
            ("[[1.5,\"2\",0,1]]", "a whole number"),
            ("{\"code\":-1}", "'['"),
            ("[[1,\"NaN\",0,1]]", "a number"),
        ] {
            let error = scan_table(body.as_bytes(), &PLACES).unwrap_err().to_string();
            assert!(error.contains(expected), "{body}: {error}");
        }
        let columns = scan_table(b" [ ] ", &PLACES).unwrap();
        assert_eq!((columns.len(), &columns[0]), (3, &Column::Integers(Vec::new(), None)));
    }
}
