//! The picture as one page of HTML that needs nothing beside itself.

use std::collections::BTreeSet;
use std::fmt::Write as _;

use super::runs::{edge, narrowed};
use super::text::minute;
use super::{CoverageMap, Kind, Row, Section, Span};
use crate::error::Result;
use crate::series::Series;
use crate::time_range::Millis;
use crate::workflows::html::{FOOT, count, escape, head, tile};

/// Holes in the table below.
const HOLES: usize = 200;
/// Spans named in the tip of a cell.
const NAMED: usize = 4;
/// Cells of a row: more would be narrower than the dots of a small screen, which then shows some of them only.
const COLUMNS: usize = 240;
/// Dates on the axis.
const DATES: i64 = 5;

const STYLE: &str = "
main{max-width:1240px}
:root{--k-data:#2f6fb3;--k-empty:#a9cbe8;--k-none:#eceff2;--k-lost:#9aa3ad;--k-quiet:#56b4c9;--k-outage:#b0609a;
--k-open:#e0a100;--k-unknown:#cc4b1c;--hatch:rgba(255,255,255,.55)}
@media(prefers-color-scheme:dark){:root{--k-data:#4f8fd6;--k-empty:#2c4d6e;--k-none:#2a2f35;--k-lost:#6b7580;--k-quiet:#2f8ea3;
--k-outage:#c983b6;--k-open:#f0b83a;--k-unknown:#f0703f;--hatch:rgba(0,0,0,.5)}}
a{color:var(--k-data)}
.legend{display:flex;flex-wrap:wrap;gap:4px 18px;list-style:none;margin:0 0 16px;padding:0;font-size:13px;color:var(--soft)}
.legend li{display:flex;align-items:center;gap:7px}.legend i{width:22px;height:14px;border-radius:2px}
.map{font-size:13px}.map h3{margin:12px 0 4px}
.row{display:grid;grid-template-columns:minmax(90px,210px) minmax(0,1fr) 68px;grid-template-areas:'name cells share' '. error error';
column-gap:12px;align-items:center;margin-bottom:3px}
.name{grid-area:name;display:flex;gap:6px;white-space:nowrap}.name span{overflow:hidden;text-overflow:ellipsis}
.name b{font-weight:400;color:var(--soft)}.dates{position:sticky;top:0;background:var(--card);z-index:1}
.cells{grid-area:cells;display:flex;align-items:flex-end;height:18px;background:var(--k-none);border-radius:3px;overflow:hidden}
.cells i{height:100%;min-width:0}.cells .low{height:60%}
.share{grid-area:share;text-align:right;font-variant-numeric:tabular-nums}
.row .error{grid-area:error;margin:2px 0 4px;font-weight:400;overflow-wrap:anywhere}.lone{grid-template-areas:'name error error'}
.axis{grid-area:cells;position:relative;height:18px;color:var(--soft);font-size:11px;font-variant-numeric:tabular-nums}
.axis span{position:absolute;white-space:nowrap;border-left:1px solid var(--line);padding-left:4px}
.axis span:last-child{border-left:0;border-right:1px solid var(--line);padding:0 4px 0 0;right:0}
.k-data{background:var(--k-data)}
.k-empty{background:var(--k-empty)}
.k-before{background:transparent}.legend .k-before{background:var(--k-none)}
.k-forming{background:repeating-linear-gradient(90deg,var(--k-lost) 0 1px,transparent 1px 5px)}
.k-not_listed{background:repeating-linear-gradient(0deg,var(--k-lost) 0 1px,var(--k-none) 1px 5px)}
.k-beyond_retention{background:repeating-linear-gradient(90deg,var(--hatch) 0 1px,var(--k-lost) 1px 4px)}
.k-no_trade{background:repeating-linear-gradient(0deg,var(--hatch) 0 2px,var(--k-quiet) 2px 6px)}
.k-outage{background:repeating-linear-gradient(135deg,var(--hatch) 0 2px,var(--k-outage) 2px 5px)}
.k-unresolved{background:radial-gradient(circle,var(--hatch) 1px,transparent 1.5px) 0 0/5px 5px,var(--k-open)}
.k-unknown{background:repeating-linear-gradient(45deg,var(--hatch) 0 2px,var(--k-unknown) 2px 6px)}
td i{display:inline-block;width:14px;height:10px;border-radius:2px;margin-right:7px}
td.wide{white-space:normal;overflow-wrap:anywhere;min-width:230px}
.note{margin:12px 0 0}summary{cursor:pointer;font-weight:600;font-size:17px}details[open] summary{margin-bottom:12px}
.tall{max-height:440px;overflow-y:auto}.tall th{position:sticky;top:0;background:var(--card)}
@media print{.tall{max-height:none}}
@media(max-width:1100px){.axis span:nth-last-child(2){display:none}}
@media(max-width:760px){.axis .mid{display:none}}
@media(max-width:640px){main{padding:20px 12px 40px}section{padding:14px}
.row,.lone{grid-template-columns:minmax(0,1fr) max-content;grid-template-areas:'name share' 'cells cells' 'error error';margin-bottom:8px}}
";

/// The page. `sections` are tables of others, shown below. The same values make the same bytes.
pub fn coverage_page(map: &CoverageMap, title: Option<&str>, sections: &[Section]) -> Result<String> {
    let usual = format!("Coverage of {} series", count(map.totals.series));
    let mut page = head(title.unwrap_or(&usual), STYLE);
    let _ = write!(
        page,
        "<p class=\"soft\">{} to {} UTC (exclusive), as of {}</p>\n{}",
        minute(map.start.0),
        minute(map.end.0),
        minute(map.as_of.0),
        tiles(map)
    );
    page += &picture(map);
    page += &holes(map);
    page += &summary(map);
    for section in sections {
        page += &section.html()?;
    }
    Ok(page + FOOT)
}

fn tiles(map: &CoverageMap) -> String {
    let totals = &map.totals;
    let mut text = tile("series", &count(totals.series)) + &tile("bars expected", &count(totals.expected));
    if totals.errors > 0 {
        text += &tile("series with errors", &count(totals.errors));
    }
    for (kind, bars) in &totals.bars {
        text += &tile(kind.label(), &count(*bars));
    }
    format!("<dl class=\"tiles\">{text}</dl>\n")
}

fn picture(map: &CoverageMap) -> String {
    if map.series.is_empty() {
        return "<section><h2>Map</h2><p class=\"soft\">No series to show.</p></section>\n".to_owned();
    }
    let mut text = format!("<section><h2>Map</h2>{}<div class=\"map\">{}", legend(map), axis(map));
    let mut group = None;
    for row in &map.series {
        let series: Option<Series> = row.series.parse().ok();
        let own = series.as_ref().map(|series| format!("{}, {}", series.source, series.data_type));
        if own != group {
            if let Some(own) = &own {
                let _ = write!(text, "<h3>{}</h3>", escape(own));
            }
            group = own;
        }
        text += &line(row, series.as_ref(), map);
    }
    text + "</div></section>\n"
}

fn legend(map: &CoverageMap) -> String {
    let kinds: BTreeSet<Kind> = map.series.iter().flat_map(|row| &row.cells).map(|cells| cells.0).collect();
    let mut text = "<ul class=\"legend\" aria-label=\"Legend\">".to_owned();
    for kind in kinds.iter().rev() {
        let _ = write!(text, "<li><i class=\"k-{}\"></i>{}</li>", kind.name(), kind.label());
    }
    text + "<li>A cell shows the worst of what is in it; a low one, where that is less than half.</li></ul>"
}

fn axis(map: &CoverageMap) -> String {
    let length = map.end.0 - map.start.0;
    let shape = if length > 4 * 86_400_000 { 10 } else { 16 };
    let mut text = "<div class=\"row dates\"><div class=\"axis\" aria-hidden=\"true\">".to_owned();
    for place in 0..DATES {
        let at = minute(map.start.0 + length * place / (DATES - 1));
        let class = if place == 0 || place == DATES - 1 { "end" } else { "mid" };
        let left = if place == DATES - 1 {
            String::new()
        } else {
            format!(" style=\"left:{}%\"", 100 * place / (DATES - 1))
        };
        let _ = write!(text, "<span class=\"{class}\"{left}>{}</span>", &at[..shape.min(at.len())]);
    }
    text + "</div></div>"
}

/// One series of the picture.
fn line(row: &Row, series: Option<&Series>, map: &CoverageMap) -> String {
    let (symbol, timeframe) = match series {
        Some(series) => (series.symbol.as_str(), series.timeframe.to_string()),
        None => (row.series.as_str(), String::new()),
    };
    let name = format!("{symbol} {timeframe}");
    let lone = if row.cells.is_empty() { " lone" } else { "" };
    let mut text = format!(
        "<div class=\"row{lone}\"><div class=\"name\" title=\"{}\"><span>{}</span><b>{timeframe}</b></div>",
        escape(&row.series),
        escape(symbol)
    );
    if !row.cells.is_empty() {
        let _ =
            write!(text, "<div class=\"cells\" role=\"img\" aria-label=\"{}\">", escape(&spoken(row, &name)));
        let mut column = 0;
        let columns = map.columns.min(COLUMNS);
        for cells in narrowed(&row.cells, columns) {
            let edge = |column| edge(map.start.0, map.end.0, columns, column);
            let (low, high) = (edge(column), edge(column + cells.2));
            column += cells.2;
            let class = if cells.1 < 0.5 && cells.0.is_hole() { " low" } else { "" };
            let _ = write!(
                text,
                "<i class=\"k-{}{class}\" style=\"flex:{}\" title=\"{}\"></i>",
                cells.0.name(),
                cells.2,
                escape(&tip(row, cells.0, low, high))
            );
        }
        let share = row.percent().unwrap_or_else(|| "–".to_owned());
        let _ = write!(text, "</div><span class=\"share\">{share}</span>");
    }
    if let Some(error) = &row.error {
        let _ = write!(text, "<span class=\"error\">{}</span>", escape(error));
    }
    text + "</div>\n"
}

/// The row for who does not see it.
fn spoken(row: &Row, name: &str) -> String {
    let mut text = format!("{name}: {}", row.percent().unwrap_or_else(|| "nothing expected".to_owned()));
    for (kind, bars) in row.bars.iter().rev() {
        let _ = write!(text, ", {} {}", count(*bars), kind.label());
    }
    text
}

/// What lies in some cells.
fn tip(row: &Row, kind: Kind, low: Millis, high: Millis) -> String {
    if !kind.is_hole() {
        return format!("{} to {}: {}", minute(low), minute(high), kind.label());
    }
    let inside = |span: &&Span| span.kind == kind && span.start.0 < high && span.end.0 > low;
    let mut lines: Vec<String> = row.spans.iter().filter(inside).take(NAMED + 1).map(told).collect();
    if lines.len() > NAMED || row.more_spans > 0 {
        lines.truncate(NAMED);
        lines.push(format!("and more between {} and {}", minute(low), minute(high)));
    }
    lines.join("\n")
}

/// A hole in words.
fn told(span: &Span) -> String {
    let bars = if span.bars == 1 { "1 bar".to_owned() } else { format!("{} bars", count(span.bars)) };
    let mut text =
        format!("{} to {}: {}, {bars}", minute(span.start.0), minute(span.end.0), span.kind.label());
    if let Some(attempts) = span.attempts.filter(|attempts| *attempts > 0) {
        let _ = write!(text, ", asked {}", times(attempts));
    }
    if let Some(last) = span.last_checked {
        let _ = write!(text, ", last {}", minute(last.0));
    }
    text
}

fn times(attempts: u32) -> String {
    if attempts == 1 { "once".to_owned() } else { format!("{attempts} times") }
}

/// The worst holes of all series.
fn holes(map: &CoverageMap) -> String {
    let all = map.series.iter().flat_map(|row| row.spans.iter().map(move |span| (row, span)));
    let mut all: Vec<(&Row, &Span)> = all.filter(|(_, span)| span.kind.is_hole()).collect();
    all.sort_by_key(|(_, span)| std::cmp::Reverse((span.kind, span.bars)));
    let total: u64 = map.series.iter().map(|row| row.holes).sum();
    // Of what cannot be read nothing is promised.
    let is_told = map.series.iter().any(|row| row.expected > 0 && row.error.is_none());
    let mut text = "<section><h2>Holes</h2>".to_owned();
    if all.is_empty() && !is_told {
        return String::new();
    }
    if all.is_empty() {
        return text + "<p class=\"soft\">None: every expected bar is there.</p></section>\n";
    }
    text += "<div class=\"scroll tall\" tabindex=\"0\" role=\"region\" aria-label=\"Holes\"><table><thead><tr><th scope=\"col\">Kind</th><th scope=\"col\">Series</th>\
             <th scope=\"col\">Start</th><th scope=\"col\">End (exclusive)</th><th scope=\"col\" class=\"number\">Bars</th>\
             <th scope=\"col\" class=\"number\">Asked</th><th scope=\"col\">Last asked by a repair</th></tr></thead><tbody>";
    for (row, span) in all.iter().take(HOLES) {
        let _ = write!(
            text,
            "<tr><td><i class=\"k-{}\"></i>{}</td><td class=\"wide\">{}</td><td>{}</td><td>{}</td><td class=\"number\">{}</td>\
             <td class=\"number\">{}</td><td>{}</td></tr>",
            span.kind.name(),
            span.kind.label(),
            escape(&row.series),
            minute(span.start.0),
            minute(span.end.0),
            count(span.bars),
            span.attempts.map_or_else(|| "–".to_owned(), |attempts| attempts.to_string()),
            span.last_checked.map_or_else(|| "–".to_owned(), |last| minute(last.0)),
        );
    }
    text += "</tbody></table></div>";
    let more = total.saturating_sub(all.len().min(HOLES) as u64);
    if more > 0 {
        let _ = write!(
            text,
            "<p class=\"soft note\">The worst are shown, and there are {} more.</p>",
            count(more)
        );
    }
    text + "</section>\n"
}

/// One line of numbers per series.
fn summary(map: &CoverageMap) -> String {
    if map.series.is_empty() {
        return String::new();
    }
    let kinds: Vec<Kind> = map.totals.bars.keys().rev().copied().collect();
    let open = if map.series.len() <= 50 { " open=\"\"" } else { "" };
    let mut text = format!(
        "<section><details{open}><summary>Numbers</summary>\
         <div class=\"scroll tall\" tabindex=\"0\" role=\"region\" aria-label=\"Numbers\"><table><thead><tr>\
         <th scope=\"col\">Series</th><th scope=\"col\">First</th><th scope=\"col\">Last (exclusive)</th>\
         <th scope=\"col\">Unbroken to</th><th scope=\"col\" class=\"number\">Expected</th>"
    );
    for kind in &kinds {
        let _ = write!(text, "<th scope=\"col\" class=\"number\">{}</th>", kind.label());
    }
    text += "<th scope=\"col\" class=\"number\">Covered</th></tr></thead><tbody>";
    for row in &map.series {
        let _ = write!(text, "<tr><td class=\"wide\">{}</td>", escape(&row.series));
        if row.cells.is_empty() {
            let error = row.error.as_deref().unwrap_or_default();
            let _ = write!(
                text,
                "<td colspan=\"{}\" class=\"wide error\">{}</td></tr>",
                kinds.len() + 5,
                escape(error)
            );
            continue;
        }
        for time in [&row.first, &row.last, &row.watermark] {
            let shown = time
                .as_deref()
                .map_or_else(|| "–".to_owned(), |time| escape(&time.replace('T', " ").replace(":00Z", "")));
            let _ = write!(text, "<td>{shown}</td>");
        }
        let _ = write!(text, "<td class=\"number\">{}</td>", count(row.expected));
        for kind in &kinds {
            let _ = write!(text, "<td class=\"number\">{}</td>", count(row.bars(*kind)));
        }
        let share = row.percent().unwrap_or_else(|| "–".to_owned());
        let _ = write!(text, "<td class=\"number\">{share}</td></tr>");
    }
    text + "</tbody></table></div></details></section>\n"
}
