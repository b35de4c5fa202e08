//! What an HTTP answer says about quota: refusals in every dress, Retry-After, and quota headers. Pure.

use std::time::Duration;

use chrono::DateTime;
use serde_json::Value;

use crate::ports::{Quota, Verdict};
use crate::time_range::Millis;

/// A ban that does not say for how long: 418 (Binance: from 2 minutes), 403 (Bybit: at least 10).
const BAN: Millis = 120_000;
const FORBIDDEN: Millis = 600_000;
/// Seconds.
const YEAR: f64 = 366.0 * 86_400.0;
/// Refusals inside a body are short.
const SHORT: usize = 1024;
/// Refusals by `retCode` (Bybit) and `code` (OKX) in the body of any status.
const RET_CODES: [i64; 2] = [10006, 10018];
const CODES: [i64; 2] = [50011, 50061];
/// Binance: too much weight or too many orders.
const BINANCE: i64 = -1003;

/// See [`read`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Answer {
    /// What the answer means for quota alone; [`Verdict::Failed`] where it is no success and no refusal.
    pub verdict: Verdict,
    /// What its headers say.
    pub quotas: Vec<Quota>,
}

/// Reads an answer. `header` finds a header by its lower-case name; `headers` are all names and values, lower-case.
pub fn read<'a>(
    status: u16,
    headers: impl Iterator<Item = (&'a str, &'a str)>,
    body: &[u8],
    now: Millis,
) -> Answer {
    let mut found = Headers::default();
    headers.for_each(|(name, value)| found.take(name, value.trim(), now));
    let refused = |until: Option<Millis>| Verdict::Refused { until };
    let said = |refusal: Option<Refusal>| refusal.and_then(|refusal| refusal.until);
    let verdict = match (status, refusal_in(body, now)) {
        (429, refusal) => refused(found.retry_after.or(said(refusal)).or(found.reset_when_used_up())),
        (418, refusal) => refused(found.retry_after.or(said(refusal)).or(Some(now + BAN))),
        (403, _) if is_too_frequent(body) => refused(found.retry_after.or(Some(now + FORBIDDEN))),
        (_, Some(refusal)) => refused(found.retry_after.or(refusal.until).or(found.reset_when_used_up())),
        (200..=299, None) => Verdict::Answered { is_slow: false },
        _ => Verdict::Failed,
    };
    Answer { verdict, quotas: found.quotas() }
}

/// A refusal in a body, and its end if it says so.
struct Refusal {
    until: Option<Millis>,
}

/// The refusal that a short JSON body spells.
fn refusal_in(body: &[u8], now: Millis) -> Option<Refusal> {
    let body = body.trim_ascii_start();
    if body.len() > SHORT || body.first() != Some(&b'{') {
        return None;
    }
    let body: Value = serde_json::from_slice(body).ok()?;
    let number = |name: &str| {
        let value = body.get(name)?;
        value.as_i64().or_else(|| value.as_str()?.parse().ok())
    };
    if number("retCode").is_some_and(|code| RET_CODES.contains(&code)) {
        return Some(Refusal { until: None });
    }
    match number("code")? {
        code if CODES.contains(&code) => Some(Refusal { until: None }),
        BINANCE => {
            let text = body.get("msg").and_then(Value::as_str).unwrap_or_default();
            let end = text.split_once("banned until ").map(|(_, rest)| rest);
            let digits = |text: &str| text.chars().take_while(char::is_ascii_digit).collect::<String>();
            Some(Refusal { until: end.and_then(|end| moment(digits(end).parse().ok()?, now)) })
        }
        _ => None,
    }
}

fn is_too_frequent(body: &[u8]) -> bool {
    body.len() <= SHORT && String::from_utf8_lossy(body).to_ascii_lowercase().contains("too frequent")
}

/// So many seconds from now, whole or not. More than a year means nothing.
fn after(seconds: f64, now: Millis) -> Option<Millis> {
    (0.0..=YEAR).contains(&seconds).then(|| now + (seconds * 1000.0).ceil() as Millis)
}

/// A moment, not before now. More than a year off it means nothing.
fn moment(at: Millis, now: Millis) -> Option<Millis> {
    let ahead = at.checked_sub(now)? as f64 / 1000.0;
    (ahead <= YEAR).then(|| at.max(now))
}

/// Seconds, whole or not, or an HTTP date.
fn retry_after(text: &str, now: Millis) -> Option<Millis> {
    if let Ok(seconds) = text.parse::<f64>() {
        return after(seconds, now);
    }
    moment(DateTime::parse_from_rfc2822(text).ok()?.timestamp_millis(), now)
}

/// Headers leave the unit open: below a million it is seconds from now, above a billion seconds since 1970, above a
/// trillion milliseconds. Anything else is not understood.
fn reset(text: &str, now: Millis) -> Option<Millis> {
    match text.parse::<f64>().ok()? {
        seconds @ 0.0..1e6 => after(seconds, now),
        seconds @ 1e9..1e12 => moment((seconds * 1000.0).ceil() as Millis, now),
        millis @ 1e12..1e15 => moment(millis as Millis, now),
        _ => None,
    }
}

/// A whole number at the start of `text`: `40`, or `40, 40;w=60`.
fn whole(text: &str) -> Option<u32> {
    let digits: String = text.chars().take_while(char::is_ascii_digit).collect();
    digits.parse::<u64>().ok().map(|number| u32::try_from(number).unwrap_or(u32::MAX))
}

/// As [`whole`]; a limit of nothing means nothing.
fn limit(text: &str) -> Option<u32> {
    whole(text).filter(|limit| *limit > 0)
}

#[derive(Default)]
struct Headers {
    retry_after: Option<Millis>,
    /// `X-RateLimit-*` and its kin, which speak of one window.
    single: Quota,
    /// Binance's, one per window.
    used: Vec<Quota>,
    /// IETF, by name: (name, quota).
    named: Vec<(String, Quota)>,
}

impl Headers {
    fn take(&mut self, name: &str, value: &str, now: Millis) {
        match name {
            "retry-after" => self.retry_after = retry_after(value, now),
            "ratelimit-policy" | "ratelimit" => self.structured(value, now),
            "x-ratelimit-limit" | "ratelimit-limit" | "x-rate-limit-limit" | "x-bapi-limit" => {
                self.single.limit = limit(value);
            }
            "x-ratelimit-remaining"
            | "ratelimit-remaining"
            | "x-rate-limit-remaining"
            | "x-bapi-limit-status" => {
                self.single.remaining = whole(value);
            }
            "x-ratelimit-reset"
            | "ratelimit-reset"
            | "x-rate-limit-reset"
            | "x-bapi-limit-reset-timestamp" => {
                self.single.reset = reset(value, now);
            }
            _ => {
                if let Some(period) = name.strip_prefix("x-mbx-used-weight-").and_then(interval) {
                    self.used.push(Quota { period: Some(period), used: whole(value), ..Quota::default() });
                }
            }
        }
    }

    /// `"name";q=40;w=60`, `"name";r=17;t=23`, several separated by commas; or draft 3 to 7's `limit=40, remaining=17`.
    fn structured(&mut self, value: &str, now: Millis) {
        for item in value.split(',') {
            let mut parts = item.split(';').map(str::trim);
            let name = parts.next().unwrap_or_default().trim_matches('"').to_owned();
            if let Some((key, value)) = name.split_once('=') {
                match key {
                    "limit" => self.single.limit = limit(value),
                    "remaining" => self.single.remaining = whole(value),
                    "reset" => self.single.reset = reset(value, now),
                    _ => {}
                }
                continue;
            }
            let at = self.named.iter().position(|(held, _)| *held == name).unwrap_or_else(|| {
                self.named.push((name.clone(), Quota::default()));
                self.named.len() - 1
            });
            let quota = &mut self.named[at].1;
            for (key, value) in parts.filter_map(|part| part.split_once('=')) {
                match key {
                    "q" => quota.limit = limit(value),
                    "w" => quota.period = period(whole(value).map(u64::from), 1),
                    "r" => quota.remaining = whole(value),
                    "t" => quota.reset = whole(value).and_then(|seconds| after(seconds.into(), now)),
                    _ => {}
                }
            }
        }
    }

    fn quotas(self) -> Vec<Quota> {
        let named = self.named.into_iter().map(|(_, quota)| quota);
        let all = named.chain(self.used).chain([self.single]);
        all.filter(|quota| *quota != Quota::default()).collect()
    }

    /// When the window that is used up starts anew.
    fn reset_when_used_up(&self) -> Option<Millis> {
        let all = self.named.iter().map(|(_, quota)| quota).chain([&self.single]);
        all.filter(|quota| quota.remaining == Some(0)).filter_map(|quota| quota.reset).max()
    }
}

/// A window's length, not longer than a year.
fn period(number: Option<u64>, unit: u64) -> Option<Duration> {
    let seconds = number?.checked_mul(unit)?;
    (1..=YEAR as u64).contains(&seconds).then(|| Duration::from_secs(seconds))
}

/// `1m`, `10s`, `1h`, `1d`.
fn interval(text: &str) -> Option<Duration> {
    let (number, unit) = text.split_at_checked(text.len().checked_sub(1)?)?;
    let seconds = match unit {
        "s" => 1,
        "m" => 60,
        "h" => 3600,
        "d" => 86_400,
        _ => return None,
    };
    period(number.parse().ok(), seconds)
}

#[cfg(test)]
mod tests;
