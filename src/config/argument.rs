//! The vocabulary of the tables: an [`Argument`] is a key that may be written, its [`Kind`] what may stand there. The
//! tables are the only source of both the checks and the JSON Schema.

/// What may stand at a key.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) enum Kind {
    /// Whatever YAML can say.
    Any,
    Text,
    Flag,
    Integer {
        least: i64,
        most: i64,
    },
    /// A number of at least this.
    Number {
        least: f64,
    },
    /// `true`, `false` or a number of at least 0.
    FlagOrNumber,
    /// `90s`, `5m`, `2h`, `1d`, `PT5M`, or a number of seconds; a `timedelta` in Python.
    Duration,
    /// A moment with a time zone; a `datetime` in Python.
    Moment,
    /// The same; a text in Python, as arguments that are templates need it.
    MomentText,
    Schedule,
    Choice(&'static [&'static str]),
    /// Texts of which these are known, and import paths.
    ChoiceOrImport(&'static [&'static str]),
    /// The import path of an object.
    Import,
    /// One import path or a list of them.
    Imports,
    /// A mapping of names to import paths.
    ImportMap,
    /// A list of asset names or URIs.
    Assets,
    Map,
    /// A list of at least `least` items.
    List {
        of: &'static Kind,
        least: usize,
    },
    /// One item, or a list of them.
    OneOrList(&'static Kind),
    /// A pair `[start, end)`.
    Range,
    Timeframe,
    DataType,
    /// `source/data_type/symbol/timeframe`.
    Series,
    /// A URL; refused where it holds a password.
    Url,
    /// Arguments of operators, checked by their own tables.
    DefaultArgs,
    /// Further arguments of the operator that a builder makes.
    OperatorOptions,
}

/// A whole number of at least 0.
pub(super) const COUNT: Kind = Kind::Integer { least: 0, most: i32::MAX as i64 };
/// A whole number of at least 1.
pub(super) const POSITIVE: Kind = Kind::Integer { least: 1, most: i32::MAX as i64 };
/// Any whole number of 32 bits.
pub(super) const INTEGER: Kind = Kind::Integer { least: i32::MIN as i64, most: i32::MAX as i64 };
/// A list of texts.
pub(super) const TEXTS: Kind = Kind::List { of: &Kind::Text, least: 0 };
/// One text or a list of them.
pub(super) const TEXT_OR_TEXTS: Kind = Kind::OneOrList(&Kind::Text);

/// A key that may be written.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Argument {
    pub(super) name: &'static str,
    pub(super) kind: Kind,
    /// One line for editors.
    pub(super) text: &'static str,
    pub(super) is_required: bool,
    pub(super) is_nullable: bool,
    /// Whether a Jinja template may stand for the value.
    pub(super) is_template: bool,
}

/// An argument that is neither required nor a template and may not be null.
pub(super) const fn argument(name: &'static str, kind: Kind, text: &'static str) -> Argument {
    Argument { name, kind, text, is_required: false, is_nullable: false, is_template: false }
}

impl Argument {
    pub(super) const fn required(mut self) -> Self {
        self.is_required = true;
        self
    }

    pub(super) const fn nullable(mut self) -> Self {
        self.is_nullable = true;
        self
    }

    pub(super) const fn template(mut self) -> Self {
        self.is_template = true;
        self
    }
}

/// Several tables as one.
pub(super) type Tables = &'static [&'static [Argument]];

/// The argument of that name.
pub(super) fn find(tables: Tables, name: &str) -> Option<&'static Argument> {
    tables.iter().flat_map(|table| table.iter()).find(|argument| argument.name == name)
}

/// Every name in some tables.
pub(super) fn names(tables: Tables) -> impl Iterator<Item = &'static str> {
    tables.iter().flat_map(|table| table.iter()).map(|argument| argument.name)
}
