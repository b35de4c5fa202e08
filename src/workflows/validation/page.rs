//! A comparison as one page of HTML that needs nothing beside itself: no script, no network.

use std::fmt::Write as _;

use super::chart;
use super::{Drawn, Pair, ValidationReport};
use crate::quality::reconcile::Details;
use crate::quality::{Severity, Validation};
use crate::series::Series;
use crate::timeframe::Timeframe;

/// So many runs of bars are shown.
const MOST: usize = 20;

const STYLE: &str = "
:root{--page:#f6f7f9;--card:#fff;--ink:#16191d;--soft:#5c6670;--line:#dfe3e8;--good:#2a7f62;--warn:#9a6700;--bad:#c2412d;
--data:#3b6fb5;--few:#cfdcee;--half:#9db9dc;--most:#6c94c8;--none:#f0c9c1}
@media(prefers-color-scheme:dark){:root{--page:#14171a;--card:#1d2125;--ink:#e9ecef;--soft:#9aa5b1;--line:#343a41;
--good:#5cc39c;--warn:#e0b050;--bad:#f07b66;--data:#74a5e8;--few:#263b57;--half:#365b8c;--most:#5480bb;--none:#5a2c25}}
*{box-sizing:border-box}
body{margin:0;background:var(--page);color:var(--ink);font:15px/1.5 system-ui,-apple-system,'Segoe UI',sans-serif}
main{max-width:1040px;margin:0 auto;padding:32px 20px 64px}
h1{font-size:24px;margin:0 0 4px}h2{font-size:17px;margin:0 0 12px;overflow-wrap:anywhere}h3{font-size:13px;color:var(--soft);
font-weight:600;margin:20px 0 6px}
p{margin:0 0 12px}.soft{color:var(--soft)}
section{background:var(--card);border:1px solid var(--line);border-radius:10px;padding:20px;margin-top:20px}
.verdict{display:inline-block;padding:2px 12px;border-radius:99px;font-weight:600;color:var(--card)}
.verdict.good{background:var(--good)}.verdict.bad{background:var(--bad)}
.tiles{display:grid;grid-template-columns:repeat(auto-fit,minmax(140px,1fr));gap:12px;margin:0}
.tiles div{border:1px solid var(--line);border-radius:8px;padding:10px 12px}
dt{color:var(--soft);font-size:12px}dd{margin:0;font-size:19px;font-variant-numeric:tabular-nums}
.scroll{overflow-x:auto}
table{border-collapse:collapse;width:100%;font-variant-numeric:tabular-nums}
th{color:var(--soft);font-weight:600;font-size:12px;text-align:left}
th,td{padding:5px 12px 5px 0;border-bottom:1px solid var(--line);white-space:nowrap}
.number{text-align:right}.error{color:var(--bad);font-weight:600}.warning{color:var(--warn);font-weight:600}
.info{color:var(--soft)}
svg{display:block;width:100%;height:auto}
.axis,.value{fill:var(--soft);font-size:11px}.value{fill:var(--ink)}
.grid,.tick{stroke:var(--line)}.base{stroke:var(--soft)}.limit{stroke:var(--bad);stroke-dasharray:5 4}
.within,.full{fill:var(--data)}.beyond{fill:var(--bad)}.none{fill:var(--none)}.few{fill:var(--few)}
.half{fill:var(--half)}.most{fill:var(--most)}.nothing{fill:transparent}
";

/// The page.
pub(super) fn page(report: &ValidationReport, drawn: &Drawn) -> String {
    let (class, verdict) =
        if report.agrees { ("good", "the sources agree") } else { ("bad", "the sources do not agree") };
    let mut page = format!(
        "<!DOCTYPE html>\n<html lang=\"en\"><head><meta charset=\"utf-8\"/>\
         <meta name=\"viewport\" content=\"width=device-width, initial-scale=1\"/>\
         <title>Comparison of {} series</title><style>{STYLE}</style></head>\n<body><main>\
         <h1>Comparison of {} series</h1><p class=\"soft\">{} to {} (exclusive), checks version {}</p>\
         <p><span class=\"verdict {class}\">{verdict}</span></p>\n",
        report.series.len(),
        report.series.len(),
        report.start,
        report.end,
        report.checks_version
    );
    for (validation, strip) in report.series.iter().zip(&drawn.strips) {
        let timeframe =
            validation.series.parse().map_or(Timeframe::Minutes(1), |series: Series| series.timeframe);
        let picture = chart::strip(&strip.rows, drawn.range, timeframe, &validation.series);
        page += &section(validation, &picture);
    }
    for (pair, details) in report.pairs.iter().zip(&drawn.details) {
        page += &compared(pair, details, report, drawn);
    }
    page += &holes(report);
    page + "</main></body></html>\n"
}

fn section(validation: &Validation, picture: &str) -> String {
    let lacking: u64 = validation.gaps.iter().map(|gap| gap.bars).sum();
    let more = if validation.gap_count > validation.gaps.len() as u64 { "at least " } else { "" };
    let mut text = format!(
        "<section><h2>{}</h2><dl class=\"tiles\">{}{}{}{}</dl><h3>Rows over time: the darker the more of the bars, red none</h3>{picture}",
        escape(&validation.series),
        tile("rows", &count(validation.rows)),
        tile("closed bars", &count(validation.bars)),
        tile("gaps", &count(validation.gap_count)),
        tile("bars in them", &format!("{more}{}", count(lacking))),
    );
    if validation.findings.is_empty() {
        return text + "<p class=\"soft\">No findings.</p></section>\n";
    }
    text += "<div class=\"scroll\"><table><tr><th>Check</th><th>Code</th><th>Severity</th><th class=\"number\">Count</th><th>First</th></tr>";
    for finding in &validation.findings {
        let severity = match finding.severity {
            Severity::Error => "error",
            Severity::Warning => "warning",
            Severity::Info => "info",
        };
        let _ = write!(
            text,
            "<tr><td>{}</td><td>{}</td><td class=\"{severity}\">{severity}</td><td class=\"number\">{}</td><td>{}</td></tr>",
            finding.check,
            finding.code,
            count(finding.count),
            finding.first
        );
    }
    text + "</table></div></section>\n"
}

fn compared(pair: &Pair, details: &Details, report: &ValidationReport, drawn: &Drawn) -> String {
    let found = &pair.found;
    let differ = format!("{} beyond {}", count(found.value.bars), percent(report.tolerance));
    let mut tiles = tile("shared bars", &count(found.shared))
        + &tile("only in the first", &count(found.only_left.bars))
        + &tile("only in the second", &count(found.only_right.bars))
        + &tile("values differ", &differ)
        + &tile("worst difference", &percent(found.value.worst));
    if let (Some(volume), Some(limit)) = (&found.volume, report.volume_tolerance) {
        tiles += &tile("volumes differ", &format!("{} beyond {}", count(volume.bars), percent(limit)));
    }
    if let Some(lag) = &found.lag
        && let Some(correlation) = lag.correlation
    {
        tiles += &tile("best shift", &format!("{} bars (r = {correlation:.3})", lag.bars));
    }
    let mut text = format!(
        "<section><h2>{} against {}</h2><dl class=\"tiles\">{tiles}</dl>",
        escape(&pair.right),
        escape(&pair.left)
    );
    if let Some(lag) = found.lag.as_ref().filter(|lag| lag.is_shifted) {
        let _ = write!(
            text,
            "<p class=\"error\">The stamps of the second are {} bars {} than those of the first.</p>",
            lag.bars.abs(),
            if lag.bars > 0 { "later" } else { "earlier" }
        );
    }
    text += "<h3>Greatest difference over time</h3>";
    text += &chart::differences(&details.worst, report.tolerance, drawn.range);
    text += "<h3>How many bars differ by how much</h3>";
    text += &chart::histogram(&details.histogram, report.tolerance);
    text + "</section>\n"
}

fn holes(report: &ValidationReport) -> String {
    if report.holes.is_empty() {
        return String::new();
    }
    let mut text = "<section><h2>Bars that one source has and another lacks</h2><div class=\"scroll\"><table><tr><th>Series</th><th>Start</th><th>End</th><th class=\"number\">Bars</th></tr>".to_owned();
    for hole in report.holes.iter().take(MOST) {
        let _ = write!(
            text,
            "<tr><td>{}</td><td>{}</td><td>{}</td><td class=\"number\">{}</td></tr>",
            escape(&hole.series),
            hole.start,
            hole.end,
            count(hole.bars)
        );
    }
    text += "</table></div>";
    if report.holes.len() > MOST {
        let _ = write!(
            text,
            "<p class=\"soft\">and {} more, in the files beside</p>",
            count((report.holes.len() - MOST) as u64)
        );
    }
    text + "</section>\n"
}

fn tile(name: &str, value: &str) -> String {
    format!("<div><dt>{name}</dt><dd>{value}</dd></div>")
}

fn percent(fraction: f64) -> String {
    format!("{:.4}", fraction * 100.0).trim_end_matches('0').trim_end_matches('.').to_owned() + " %"
}

/// A number with its thousands apart.
pub(super) fn count(number: u64) -> String {
    let digits = number.to_string();
    let mut text = String::new();
    for (place, digit) in digits.chars().enumerate() {
        if place > 0 && (digits.len() - place).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

/// Text that may stand anywhere in a page.
pub(super) fn escape(text: &str) -> String {
    let mut safe = String::with_capacity(text.len());
    for letter in text.chars() {
        match letter {
            '&' => safe.push_str("&amp;"),
            '<' => safe.push_str("&lt;"),
            '>' => safe.push_str("&gt;"),
            '"' => safe.push_str("&quot;"),
            '\'' => safe.push_str("&#39;"),
            other => safe.push(other),
        }
    }
    safe
}
