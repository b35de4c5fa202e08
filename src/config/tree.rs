//! YAML 1.2 as a tree of [`Node`]s that know where they were written. Scalars have their core types and their
//! variables replaced; what is wrong with a single value stays in the tree until that value is looked at, so that it
//! is told to the DAG it belongs to. Only a text that is no YAML at all is refused as a whole.

use std::collections::HashMap;

use saphyr_parser::{Event, Parser, ScalarStyle, ScanError, Span, StrInput};

use super::environment::{Environment, is_one_variable, substitute};
use super::problem::{At, Fault};

/// Deeper texts are refused: every walk over a tree may be recursive.
const DEPTH: usize = 64;
/// Larger trees are refused: a few aliases of aliases make billions of nodes.
const NODES: usize = 500_000;

/// A value and where it was written.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Node {
    pub(super) at: At,
    pub(super) data: Data,
    /// What was written, where variables were replaced: their values are not for error messages.
    pub(super) written: Option<Box<str>>,
}

/// What a node holds.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Data {
    Null,
    Flag(bool),
    Integer(i64),
    Number(f64),
    Text(String),
    List(Vec<Node>),
    Map(Map),
    /// A value that cannot be used, and why.
    Broken(String),
}

/// A mapping in its written order.
#[derive(Debug, Clone, PartialEq, Default)]
pub(super) struct Map {
    pub(super) entries: Vec<Entry>,
    /// Keys that were there before: the key, where it is, where it was first.
    pub(super) duplicates: Vec<(String, At, At)>,
}

/// A key and its value.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Entry {
    pub(super) key: String,
    pub(super) at: At,
    pub(super) value: Node,
    /// Whether it comes from defaults.
    pub(super) is_inherited: bool,
}

impl Map {
    pub(super) fn get(&self, key: &str) -> Option<&Entry> {
        self.entries.iter().find(|entry| entry.key == key)
    }
}

/// The tree of `text`, or `None` where there is nothing in it. Its first line is line `first` of file `file`.
pub(super) fn parse(text: &str, file: u32, first: u32, known: &Environment) -> Result<Option<Node>, Fault> {
    let parser = Parser::new_from_str(text);
    let mut composer = Composer { parser, file, first, known, anchors: HashMap::new(), nodes: 0 };
    composer.document()
}

struct Composer<'a> {
    parser: Parser<'a, StrInput<'a>>,
    file: u32,
    first: u32,
    known: &'a Environment,
    anchors: HashMap<usize, Node>,
    nodes: usize,
}

impl<'a> Composer<'a> {
    fn at(&self, line: usize, column: usize) -> At {
        At { file: self.file, line: line.max(1) as u32 + self.first - 1, column: column as u32 + 1 }
    }

    fn start(&self, span: &Span) -> At {
        self.at(span.start.line(), span.start.col())
    }

    fn next(&mut self) -> Result<(Event<'a>, Span), Fault> {
        match self.parser.next_event() {
            Some(Ok(event)) => Ok(event),
            Some(Err(error)) => Err(self.syntax(&error)),
            None => Ok((Event::StreamEnd, Span::default())),
        }
    }

    fn syntax(&self, error: &ScanError) -> Fault {
        Fault::new(
            self.at(error.marker().line(), error.marker().col()),
            format!("not YAML: {}", error.info()),
        )
    }

    fn document(&mut self) -> Result<Option<Node>, Fault> {
        let mut root = None;
        loop {
            let (event, span) = self.next()?;
            match event {
                Event::StreamEnd => return Ok(root),
                Event::DocumentStart(_) if root.is_some() => {
                    let second = Fault::new(self.start(&span), "a second document begins here");
                    return Err(second.hint("one document a file"));
                }
                Event::Nothing | Event::StreamStart | Event::DocumentStart(_) | Event::DocumentEnd => {}
                event => root = Some(self.node(event, &span, 0)?),
            }
        }
    }

    fn node(&mut self, event: Event<'a>, span: &Span, depth: usize) -> Result<Node, Fault> {
        let at = self.start(span);
        self.nodes += 1;
        if depth > DEPTH || self.nodes > NODES {
            return Err(Fault::new(at, "too deep or too large"));
        }
        let (anchor, data) = match event {
            Event::Alias(anchor) => return self.alias(anchor, at),
            Event::SequenceStart(anchor, _) => (anchor, self.list(depth)?),
            Event::MappingStart(anchor, _) => (anchor, self.map(depth)?),
            Event::Scalar(text, style, anchor, tag) => {
                let tag = tag.map(|tag| (tag.is_yaml_core_schema(), tag.suffix.clone()));
                let node = scalar(&text, style, tag, at, self.known);
                self.keep(anchor, &node);
                return Ok(node);
            }
            _ => return Err(Fault::new(at, "not YAML: a value is missing here")),
        };
        let node = Node { at, data, written: None };
        self.keep(anchor, &node);
        Ok(node)
    }

    fn keep(&mut self, anchor: usize, node: &Node) {
        if anchor > 0 {
            self.anchors.insert(anchor, node.clone());
        }
    }

    fn alias(&mut self, anchor: usize, at: At) -> Result<Node, Fault> {
        let node = self.anchors.get(&anchor).cloned();
        let node = node.ok_or_else(|| Fault::new(at, "an alias inside of what it stands for"))?;
        self.nodes += size(&node);
        if self.nodes > NODES {
            return Err(Fault::new(at, "too deep or too large"));
        }
        Ok(node)
    }

    fn list(&mut self, depth: usize) -> Result<Data, Fault> {
        let mut items = Vec::new();
        loop {
            let (event, span) = self.next()?;
            if matches!(event, Event::SequenceEnd) {
                return Ok(Data::List(items));
            }
            items.push(self.node(event, &span, depth + 1)?);
        }
    }

    fn map(&mut self, depth: usize) -> Result<Data, Fault> {
        let (mut map, mut merged) = (Map::default(), Vec::new());
        loop {
            let (event, span) = self.next()?;
            let at = self.start(&span);
            let (key, is_merge) = match event {
                Event::MappingEnd => break,
                Event::Scalar(text, style, _, _) => {
                    let is_merge = style == ScalarStyle::Plain && text == "<<";
                    (text.into_owned(), is_merge)
                }
                _ => return Err(Fault::new(at, "a key must be a text")),
            };
            let (event, span) = self.next()?;
            let value = self.node(event, &span, depth + 1)?;
            if is_merge {
                merged.push(value);
            } else if let Some(first) = map.get(&key) {
                let first = first.at;
                map.duplicates.push((key, at, first));
            } else {
                map.entries.push(Entry { key, at, value, is_inherited: false });
            }
        }
        for value in merged {
            merge_key(&mut map, value)?;
        }
        Ok(Data::Map(map))
    }
}

/// What `<<` does: the keys of other mappings, where the mapping has not its own.
fn merge_key(map: &mut Map, value: Node) -> Result<(), Fault> {
    match value.data {
        Data::Map(other) => {
            for entry in other.entries {
                if map.get(&entry.key).is_none() {
                    map.entries.push(entry);
                }
            }
            Ok(())
        }
        Data::List(others) => others.into_iter().try_for_each(|other| merge_key(map, other)),
        _ => Err(Fault::new(value.at, "<< takes a mapping or a list of mappings")),
    }
}

fn size(node: &Node) -> usize {
    match &node.data {
        Data::List(items) => items.iter().map(|item| 1 + size(item)).sum(),
        Data::Map(map) => map.entries.iter().map(|entry| 1 + size(&entry.value)).sum(),
        _ => 0,
    }
}

fn scalar(text: &str, style: ScalarStyle, tag: Option<(bool, String)>, at: At, known: &Environment) -> Node {
    let is_plain = style == ScalarStyle::Plain;
    let as_text = match tag {
        None => !is_plain,
        Some((true, suffix)) if suffix == "str" => true,
        Some((true, _)) => false,
        Some((false, suffix)) if suffix.is_empty() => true,
        Some((false, suffix)) => {
            return Node { at, data: Data::Broken(format!("unknown tag !{suffix}")), written: None };
        }
    };
    let (data, written) = match substitute(text, known) {
        Err(message) => (Data::Broken(message), None),
        Ok(None) if as_text => (Data::Text(text.to_owned()), None),
        Ok(None) => (typed(text), None),
        Ok(Some(value)) if !as_text && is_one_variable(text) => (typed(&value), Some(text.into())),
        Ok(Some(value)) => (Data::Text(value), Some(text.into())),
    };
    Node { at, data, written }
}

/// A plain scalar by the core schema of YAML 1.2.
fn typed(text: &str) -> Data {
    match text {
        "" | "~" | "null" | "Null" | "NULL" => return Data::Null,
        "true" | "True" | "TRUE" => return Data::Flag(true),
        "false" | "False" | "FALSE" => return Data::Flag(false),
        ".nan" | ".NaN" | ".NAN" => return Data::Number(f64::NAN),
        _ => {}
    }
    let unsigned = text.trim_start_matches(['-', '+']);
    if text.len() - unsigned.len() > 1 {
        return Data::Text(text.to_owned());
    }
    if matches!(unsigned, ".inf" | ".Inf" | ".INF") {
        return Data::Number(if text.starts_with('-') { f64::NEG_INFINITY } else { f64::INFINITY });
    }
    let radix = |prefix: &str, radix: u32| {
        let digits = text.strip_prefix(prefix).filter(|digits| !digits.starts_with(['-', '+']));
        digits.and_then(|digits| i64::from_str_radix(digits, radix).ok())
    };
    if let Some(value) = radix("0o", 8).or_else(|| radix("0x", 16)).or_else(|| text.parse().ok()) {
        return Data::Integer(value);
    }
    let is_number = unsigned.starts_with(|c: char| c.is_ascii_digit() || c == '.')
        && unsigned.chars().all(|c| c.is_ascii_digit() || matches!(c, '.' | 'e' | 'E' | '-' | '+'));
    match text.parse() {
        Ok(value) if is_number => Data::Number(value),
        _ => Data::Text(text.to_owned()),
    }
}
