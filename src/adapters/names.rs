//! Names that may have been meant.

/// A hint that names those of `known` that are one edit from `wanted`.
pub(super) fn did_you_mean<'a>(known: impl Iterator<Item = &'a str>, wanted: &str) -> Option<String> {
    let mut close: Vec<&str> = known.filter(|name| distance(name, wanted) <= 1).collect();
    close.sort_unstable();
    close.dedup();
    (!close.is_empty()).then(|| format!("did you mean {}?", close.join(" or ")))
}

/// Edits between two short names.
fn distance(a: &str, b: &str) -> usize {
    let mut row: Vec<usize> = (0..=b.len()).collect();
    for (i, x) in a.bytes().enumerate() {
        let mut corner = std::mem::replace(&mut row[0], i + 1);
        for (j, y) in b.bytes().enumerate() {
            let cost = corner + usize::from(x != y);
            let least = cost.min(row[j] + 1).min(row[j + 1] + 1);
            corner = std::mem::replace(&mut row[j + 1], least);
        }
    }
    row[b.len()]
}
