//! A comparison as one page of HTML that needs nothing beside itself: no script, no network.

use std::fmt::Write as _;

use super::chart;
use super::{Drawn, Pair, ValidationReport};
use crate::quality::reconcile::Details;
use crate::quality::{Severity, Validation};
use crate::series::Series;
use crate::timeframe::Timeframe;
use crate::workflows::html::{FOOT, count, escape, head, tile};

/// So many runs of bars are shown.
const MOST: usize = 20;

const STYLE: &str = "
svg{display:block;width:100%;min-width:600px;height:auto;margin-bottom:14px}
.axis,.value{fill:var(--soft);font-size:11px}.value{fill:var(--ink)}
.grid,.tick{stroke:var(--line)}.base{stroke:var(--soft)}.limit{stroke:var(--bad);stroke-dasharray:5 4}
.within,.full{fill:var(--data)}.beyond{fill:var(--bad)}.none{fill:var(--none)}.few{fill:var(--few)}
.half{fill:var(--half)}.most{fill:var(--most)}.nothing{fill:transparent}
";

/// The page.
pub(super) fn page(report: &ValidationReport, drawn: &Drawn) -> String {
    let (class, verdict) =
        if report.agrees { ("good", "the sources agree") } else { ("bad", "the sources do not agree") };
    let mut page = head(&format!("Comparison of {} series", report.series.len()), STYLE);
    let _ = writeln!(
        page,
        "<p class=\"soft\">{} to {} (exclusive), checks version {}</p>\
         <p><span class=\"verdict {class}\">{verdict}</span></p>",
        report.start, report.end, report.checks_version
    );
    for (validation, strip) in report.series.iter().zip(&drawn.strips) {
        let timeframe =
            validation.series.parse().map_or(Timeframe::Minutes(1), |series: Series| series.timeframe);
        let picture = scrolled(&chart::strip(&strip.rows, drawn.range, timeframe, &validation.series));
        page += &section(validation, &picture);
    }
    for (pair, details) in report.pairs.iter().zip(&drawn.details) {
        page += &compared(pair, details, report, drawn);
    }
    page += &holes(report);
    page + FOOT
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
    let beyond = |what: &str, limit: f64| format!("{what} beyond {}", percent(limit));
    let mut tiles = tile("shared bars", &count(found.shared))
        + &tile("only in the first", &count(found.only_left.bars))
        + &tile("only in the second", &count(found.only_right.bars))
        + &tile(&beyond("values", report.tolerance), &count(found.value.bars))
        + &tile("worst difference", &percent(found.value.worst));
    if let (Some(volume), Some(limit)) = (&found.volume, report.volume_tolerance) {
        tiles += &tile(&beyond("volumes", limit), &count(volume.bars));
    }
    if let Some(lag) = &found.lag
        && let Some(correlation) = lag.correlation
    {
        tiles += &tile(&format!("shift (r = {correlation:.3})"), &format!("{} bars", lag.bars));
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
    text += &scrolled(&chart::differences(&details.worst, report.tolerance, drawn.range));
    text += "<h3>How many bars differ by how much</h3>";
    text += &scrolled(&chart::histogram(&details.histogram, report.tolerance));
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

/// On a small screen a picture is moved and not made so small that nobody can read it.
fn scrolled(picture: &str) -> String {
    format!("<div class=\"scroll\" tabindex=\"0\">{picture}</div>")
}

fn percent(fraction: f64) -> String {
    format!("{:.4}", fraction * 100.0).trim_end_matches('0').trim_end_matches('.').to_owned() + " %"
}
