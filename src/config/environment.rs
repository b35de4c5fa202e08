//! Variables of the environment in texts: `${NAME}`, `${NAME:-default}`, and `$$` for a dollar sign. The environment is
//! an argument; nothing here reads it.

use std::collections::HashMap;

/// The variables that a file may name.
pub type Environment = HashMap<String, String>;

/// `text` with its variables replaced, or `None` where it names none; the error is a message.
pub(super) fn substitute(text: &str, environment: &Environment) -> Result<Option<String>, String> {
    if !text.contains("${") && !text.contains("$$") {
        return Ok(None);
    }
    let (mut done, mut rest) = (String::with_capacity(text.len()), text);
    while let Some(dollar) = rest.find('$') {
        done.push_str(&rest[..dollar]);
        rest = &rest[dollar + 1..];
        if let Some(after) = rest.strip_prefix('$') {
            done.push('$');
            rest = after;
        } else if let Some(after) = rest.strip_prefix('{') {
            let Some(end) = after.find('}') else { return Err("${ without its }".to_owned()) };
            done.push_str(variable(&after[..end], environment)?);
            rest = &after[end + 1..];
        } else {
            done.push('$');
        }
    }
    done.push_str(rest);
    Ok(Some(done))
}

/// Whether `text` is one variable and nothing else.
pub(super) fn is_one_variable(text: &str) -> bool {
    text.starts_with("${") && text.find('}') == Some(text.len() - 1)
}

fn variable<'a>(inside: &'a str, environment: &'a Environment) -> Result<&'a str, String> {
    let (name, default) = inside.split_once(":-").map_or((inside, None), |(name, text)| (name, Some(text)));
    let mut letters = name.chars();
    let begins = letters.next().is_some_and(|c| c.is_ascii_alphabetic() || c == '_');
    if !begins || !letters.all(|c| c.is_ascii_alphanumeric() || c == '_') {
        return Err(format!("${{{inside}}} is not a variable: write ${{NAME}} or ${{NAME:-default}}"));
    }
    let value = environment.get(name).map(String::as_str);
    match default {
        Some(default) => Ok(value.filter(|text| !text.is_empty()).unwrap_or(default)),
        None => value.ok_or_else(|| format!("environment variable {name} is not set")),
    }
}
