//! Tables of others on the page: what a limiter says, what ran last.

use std::fmt::Write as _;

use serde::Deserialize;
use serde_json::Value;

use crate::error::{Error, Result};
use crate::workflows::html::{count, escape};

/// A table under a title.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Section {
    /// Its heading.
    pub title: String,
    /// The heads of its columns.
    pub columns: Vec<String>,
    /// As many entries as columns: text, a number, a yes or no, nothing, or `{"text": ..., "href": ...}`.
    pub rows: Vec<Vec<Value>>,
    /// A sentence under it.
    #[serde(default)]
    pub note: Option<String>,
}

impl Section {
    /// As HTML; `Invalid` where a row does not fit.
    pub(super) fn html(&self) -> Result<String> {
        let mut text = format!("<section><h2>{}</h2>", escape(&self.title));
        if self.rows.is_empty() {
            text += "<p class=\"soft\">Nothing to show.</p>";
        } else {
            text += "<div class=\"scroll\" tabindex=\"0\"><table><thead><tr>";
            for column in &self.columns {
                let _ = write!(text, "<th scope=\"col\">{}</th>", escape(column));
            }
            text += "</tr></thead><tbody>";
            for row in &self.rows {
                text += &self.row(row)?;
            }
            text += "</tbody></table></div>";
        }
        if let Some(note) = &self.note {
            let _ = write!(text, "<p class=\"soft note\">{}</p>", escape(note));
        }
        Ok(text + "</section>\n")
    }

    fn row(&self, row: &[Value]) -> Result<String> {
        if row.len() != self.columns.len() {
            let (title, has, wants) = (&self.title, row.len(), self.columns.len());
            return Err(Error::invalid(format!(
                "section {title:?}: a row has {has} entries, there are {wants} columns"
            )));
        }
        let mut text = "<tr>".to_owned();
        for value in row {
            match value {
                Value::Number(number) => {
                    let shown = number.as_u64().map_or_else(|| number.to_string(), count);
                    let _ = write!(text, "<td class=\"number\">{shown}</td>");
                }
                other => {
                    let _ = write!(text, "<td>{}</td>", self.entry(other)?);
                }
            }
        }
        Ok(text + "</tr>")
    }

    fn entry(&self, value: &Value) -> Result<String> {
        match value {
            Value::Null => Ok("–".to_owned()),
            Value::Bool(yes) => Ok(if *yes { "yes" } else { "no" }.to_owned()),
            Value::String(text) => Ok(escape(text)),
            Value::Number(number) => Ok(number.to_string()),
            Value::Object(link) => {
                let part = |name: &str| link.get(name).and_then(Value::as_str);
                let text = part("text").ok_or_else(|| self.wrong(value))?;
                Ok(match part("href").filter(|href| is_harmless(href)) {
                    Some(href) => format!("<a href=\"{}\">{}</a>", escape(href), escape(text)),
                    None => escape(text),
                })
            }
            Value::Array(_) => Err(self.wrong(value)),
        }
    }

    fn wrong(&self, value: &Value) -> Error {
        let shown: String = value.to_string().chars().take(80).collect();
        let title = &self.title;
        Error::invalid(format!("section {title:?}: {shown} is no text, number or {{\"text\", \"href\"}}"))
    }
}

/// Whether a link leads to a page, and runs nothing.
fn is_harmless(href: &str) -> bool {
    let scheme = href.split(['/', '?', '#']).next().unwrap_or_default();
    let plain = !href.chars().any(char::is_control) && href.trim() == href;
    let lower = href.to_ascii_lowercase();
    plain && (!scheme.contains(':') || lower.starts_with("https://") || lower.starts_with("http://"))
}
