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
