//! Durations, moments and cron texts: what a text means, or one line that says why it means nothing.

use chrono::{DateTime, Datelike, NaiveDate, NaiveDateTime, NaiveTime};

use crate::time_range::Millis;

/// Milliseconds in a unit of `90s`, `5m`, `2h`, `1d`, `1w`.
fn unit(letter: char) -> Option<Millis> {
    match letter {
        's' => Some(1_000),
        'm' => Some(60_000),
        'h' => Some(3_600_000),
        'd' => Some(86_400_000),
        'w' => Some(604_800_000),
        _ => None,
    }
}

/// The longest duration: Python's `timedelta` ends at a thousand million days.
const LONGEST: f64 = 86_400_000.0 * 366.0 * 1_000.0;

/// Milliseconds of so many seconds, where they are a duration.
pub(super) fn seconds(value: f64) -> Option<Millis> {
    (0.0..=LONGEST / 1000.0).contains(&value).then(|| (value * 1000.0).round() as Millis)
}

/// Milliseconds of `90s`, `1h30m` or `PT5M`.
pub(super) fn duration(text: &str) -> Option<Millis> {
    let total = match text.strip_prefix('P') {
        None => parts(text, unit),
        Some(iso) => {
            let (days, time) = iso.split_once('T').map_or((iso, None), |(days, time)| (days, Some(time)));
            let days = if days.is_empty() && time.is_some() { Some(0.0) } else { parts(days, iso_day) };
            let time = time.map_or(Some(0.0), |time| parts(time, iso_time));
            days.zip(time).map(|(days, time)| days + time)
        }
    };
    total.filter(|total| *total <= LONGEST).map(|total| total.round() as Millis)
}

fn iso_day(letter: char) -> Option<Millis> {
    matches!(letter, 'D' | 'W').then(|| unit(letter.to_ascii_lowercase())).flatten()
}

fn iso_time(letter: char) -> Option<Millis> {
    matches!(letter, 'H' | 'M' | 'S').then(|| unit(letter.to_ascii_lowercase())).flatten()
}

/// The sum of numbers that are each followed by a unit, at least one.
fn parts(text: &str, unit: impl Fn(char) -> Option<Millis>) -> Option<f64> {
    let (mut total, mut rest) = (0.0, text.trim());
    loop {
        let digits = rest.find(|c: char| !c.is_ascii_digit() && c != '.')?;
        let number: f64 = rest[..digits].parse().ok()?;
        let letter = rest[digits..].chars().next()?;
        total += number * unit(letter)? as f64;
        rest = &rest[digits + letter.len_utf8()..];
        if rest.is_empty() {
            return Some(total);
        }
    }
}

/// Milliseconds of an ISO 8601 moment with a time zone, of the years that Python knows; a bare date is midnight UTC.
pub(super) fn moment(text: &str) -> Result<Millis, &'static str> {
    let at = any_moment(text)?;
    let year = DateTime::from_timestamp_millis(at).map_or(0, |time| time.year());
    if (1..=9999).contains(&year) { Ok(at) } else { Err("of the years 1 to 9999") }
}

fn any_moment(text: &str) -> Result<Millis, &'static str> {
    if let Ok(date) = NaiveDate::parse_from_str(text, "%Y-%m-%d") {
        return Ok(date.and_time(NaiveTime::MIN).and_utc().timestamp_millis());
    }
    let zoned =
        ["%Y-%m-%dT%H:%M:%S%.f%#z", "%Y-%m-%dT%H:%M%#z", "%Y-%m-%d %H:%M:%S%.f%#z", "%Y-%m-%d %H:%M%#z"];
    let utc = text.strip_suffix('Z').map(|text| format!("{text}+00:00"));
    let shown = utc.as_deref().unwrap_or(text);
    if let Some(time) = zoned.iter().find_map(|shape| DateTime::parse_from_str(shown, shape).ok()) {
        return Ok(time.timestamp_millis());
    }
    let naive = ["%Y-%m-%dT%H:%M:%S%.f", "%Y-%m-%dT%H:%M", "%Y-%m-%d %H:%M:%S%.f", "%Y-%m-%d %H:%M"];
    let is_naive = naive.iter().any(|shape| NaiveDateTime::parse_from_str(text, shape).is_ok());
    Err(if is_naive { "add Z or +00:00" } else { "such as 2026-01-01 or 2026-01-01T00:00:00Z" })
}

/// Names that stand for a cron text.
pub(super) const PRESETS: &[&str] = &[
    "@once",
    "@continuous",
    "@hourly",
    "@daily",
    "@midnight",
    "@weekly",
    "@monthly",
    "@quarterly",
    "@yearly",
    "@annually",
];

const MONTHS: &[&str] = &["jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec"];
const DAYS: &[&str] = &["sun", "mon", "tue", "wed", "thu", "fri", "sat"];

struct Field {
    name: &'static str,
    least: u32,
    most: u32,
    names: &'static [&'static str],
}

const FIELDS: [Field; 6] = [
    Field { name: "minute", least: 0, most: 59, names: &[] },
    Field { name: "hour", least: 0, most: 23, names: &[] },
    Field { name: "day of the month", least: 1, most: 31, names: &[] },
    Field { name: "month", least: 1, most: 12, names: MONTHS },
    Field { name: "day of the week", least: 0, most: 7, names: DAYS },
    Field { name: "second", least: 0, most: 59, names: &[] },
];

/// What is wrong with a cron text of 5 or 6 fields (the sixth are seconds), if anything.
pub(super) fn cron_fault(text: &str) -> Option<String> {
    let fields: Vec<&str> = text.split_whitespace().collect();
    if !(5..=6).contains(&fields.len()) {
        return Some(format!("a cron text has 5 or 6 fields, not {}", fields.len()));
    }
    let wrong =
        fields.iter().zip(&FIELDS).find(|(text, field)| !text.split(',').all(|part| is_part(part, field)));
    wrong.map(|(text, field)| {
        format!("{text:?} is no {} of a cron text ({} to {})", field.name, field.least, field.most)
    })
}

fn is_part(part: &str, field: &Field) -> bool {
    let (range, step) = part.split_once('/').map_or((part, None), |(range, step)| (range, Some(step)));
    if step.is_some_and(|step| !step.parse::<u32>().is_ok_and(|step| step > 0)) {
        return false;
    }
    let (is_month_day, is_week_day) = (field.name == "day of the month", field.name == "day of the week");
    match range {
        "*" => true,
        "?" => is_month_day || is_week_day,
        "l" | "L" => is_month_day,
        _ => match (range.split_once('#'), range.split_once('-')) {
            (Some((day, nth)), _) => {
                is_week_day && is_value(day, field) && matches!(nth, "1" | "2" | "3" | "4" | "5")
            }
            // The low end may be the greater: `22-4` goes over midnight.
            (None, Some((low, high))) => is_value(low, field) && is_value(high, field),
            (None, None) => {
                is_value(if is_week_day { range.trim_start_matches(['L', 'l']) } else { range }, field)
            }
        },
    }
}

fn is_value(text: &str, field: &Field) -> bool {
    let is_number = !text.is_empty() && text.chars().all(|c| c.is_ascii_digit());
    let is_name = field.names.contains(&text.to_ascii_lowercase().as_str());
    is_name
        || is_number && text.parse::<u32>().is_ok_and(|number| (field.least..=field.most).contains(&number))
}
