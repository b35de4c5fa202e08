//! One DAG out of a file, without reading the others: a worker wants one of hundreds. Lines are cut out only where the
//! file is a plain block mapping; on anything else the answer is [`Cut::Unsure`], and the file is read as a whole.

/// Some lines of a file and the number of the first.
pub(super) type Lines<'a> = (u32, &'a str);

/// What a look at the lines of a file tells.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Cut<'a> {
    /// The block of `defaults` and that of the DAG, each with its key, where the file has them.
    Found { defaults: Option<Lines<'a>>, dag: Option<Lines<'a>> },
    /// Only a full reading tells.
    Unsure,
}

/// The lines of a file do not tell.
struct Unsure;

/// The lines of `text` that `wanted` depends on.
pub(super) fn cut<'a>(text: &'a str, wanted: &str) -> Cut<'a> {
    if text.contains('\t') || text.starts_with('\u{feff}') {
        return Cut::Unsure;
    }
    let found = top_level(text).and_then(|(defaults, dags)| match dags {
        Some(dags) => Ok(Cut::Found { defaults, dag: child(dags, wanted)? }),
        None => Ok(Cut::Found { defaults, dag: None }),
    });
    found.unwrap_or(Cut::Unsure)
}

/// The blocks below `defaults` (with that line) and `dags` (without it).
fn top_level(text: &str) -> Result<(Option<Lines<'_>>, Option<Lines<'_>>), Unsure> {
    let (mut blocks, mut open) = (Blocks::default(), None);
    let (mut offset, mut is_first) = (0, true);
    for (line, number) in text.split_inclusive('\n').zip(1_u32..) {
        let (start, bare) = (offset, line.trim_end());
        offset += line.len();
        if bare.is_empty() || bare.starts_with([' ', '#']) {
            continue;
        }
        let begins_document = bare == "---" && is_first;
        is_first = false;
        if begins_document {
            continue;
        }
        blocks.close(text, start, open.take())?;
        open = match bare {
            "dags:" => Some(("dags", number + 1, offset)),
            "defaults:" => Some(("defaults", number, start)),
            _ => return Err(Unsure),
        };
    }
    blocks.close(text, text.len(), open)?;
    Ok((blocks.defaults, blocks.dags))
}

#[derive(Default)]
struct Blocks<'a> {
    defaults: Option<Lines<'a>>,
    dags: Option<Lines<'a>>,
}

impl<'a> Blocks<'a> {
    /// Keeps the block that ends here; a second one of its name is for a full reading.
    fn close(&mut self, text: &'a str, end: usize, open: Option<(&str, u32, usize)>) -> Result<(), Unsure> {
        let Some((name, number, start)) = open else { return Ok(()) };
        let place = if name == "dags" { &mut self.dags } else { &mut self.defaults };
        match place.replace((number, &text[start..end])) {
            None => Ok(()),
            Some(_) => Err(Unsure),
        }
    }
}

/// The block of the child `wanted` of a mapping, if there is one.
fn child<'a>((first, block): Lines<'a>, wanted: &str) -> Result<Option<Lines<'a>>, Unsure> {
    let (mut indent, mut offset, mut found, mut open) = (None, 0, None, None);
    for (line, number) in block.split_inclusive('\n').zip(first..) {
        let (start, bare) = (offset, line.trim_end());
        offset += line.len();
        let body = bare.trim_start_matches(' ');
        if body.is_empty() || body.starts_with('#') {
            continue;
        }
        let depth = bare.len() - body.len();
        let indent = *indent.get_or_insert(depth);
        if depth > indent {
            continue;
        }
        if let Some((number, begin)) = open.take() {
            found = Some((number, &block[begin..start]));
        }
        // A key in quotes, a complex key, a flow mapping: not for a look at lines.
        if depth < indent || !body.starts_with(|c: char| c.is_ascii_alphanumeric() || c == '_') {
            return Err(Unsure);
        }
        if body.strip_prefix(wanted).is_some_and(|rest| rest.trim_start().starts_with(':')) {
            if found.is_some() || body.strip_suffix(':') != Some(wanted) {
                return Err(Unsure);
            }
            open = Some((number, start));
        }
    }
    Ok(open.map_or(found, |(number, begin)| Some((number, &block[begin..]))))
}
