//! The pictures of a page, as inline SVG. Colours are the page's, so that they follow light and dark.

use std::fmt::Write as _;

use chrono::DateTime;

use crate::quality::reconcile::{BINS, BUCKETS};
use crate::time_range::{Millis, TimeRange};
use crate::timeframe::Timeframe;
use crate::workflows::html::{count, escape};

const WIDTH: f64 = 960.0;
const LEFT: f64 = 64.0;
const PLOT: f64 = WIDTH - LEFT - 16.0;
/// Differences below this are drawn as none.
const LEAST: f64 = 1e-7;
const NAMES: [&str; BUCKETS.len() + 1] =
    ["equal", "≤ 0.001 bp", "≤ 0.01 bp", "≤ 0.1 bp", "≤ 1 bp", "≤ 10 bp", "≤ 1 %", "≤ 10 %", "> 10 %"];

fn open(height: f64, label: &str) -> String {
    format!(
        "<svg viewBox=\"0 0 {WIDTH} {height}\" role=\"img\" aria-label=\"{0}\"><title>{0}</title>",
        escape(label)
    )
}

/// Where a part of the range begins, from the left.
fn across(bin: usize) -> f64 {
    LEFT + PLOT * bin as f64 / BINS as f64
}

/// Five moments under a plot.
fn time_axis(range: TimeRange, top: f64) -> String {
    let day = 86_400_000;
    let shape = if range.length() > 4 * day { "%Y-%m-%d" } else { "%m-%d %H:%M" };
    let mut axis = String::new();
    for fifth in 0..5_i32 {
        let at = range.start() + (range.length() as f64 * f64::from(fifth) / 4.0) as Millis;
        let text = DateTime::from_timestamp_millis(at).unwrap_or_default().format(shape);
        let x = LEFT + PLOT * f64::from(fifth) / 4.0;
        let anchor = ["start", "middle", "middle", "middle", "end"][fifth as usize];
        let _ = write!(
            axis,
            "<line class=\"tick\" x1=\"{x:.1}\" y1=\"{top}\" x2=\"{x:.1}\" y2=\"{}\"/>\
             <text class=\"axis\" x=\"{x:.1}\" y=\"{}\" text-anchor=\"{anchor}\">{text}</text>",
            top + 4.0,
            top + 17.0
        );
    }
    axis
}

/// How much of each part of the range has rows: one strip.
pub(super) fn strip(rows: &[u64], range: TimeRange, timeframe: Timeframe, label: &str) -> String {
    let part =
        |bin: usize| range.start() + (i128::from(range.length()) * bin as i128 / BINS as i128) as Millis;
    let mut svg = open(46.0, &format!("rows of {label} over time"));
    let level = |bin: usize| {
        let bars = timeframe.count(part(bin), part(bin + 1));
        match (bars, rows[bin]) {
            (0, 0) => None,
            (bars, rows) => Some((rows as f64 / bars.max(1) as f64 * 4.0).min(4.0).floor() as usize),
        }
    };
    let mut bin = 0;
    while bin < BINS {
        let here = level(bin);
        let from = bin;
        while bin < BINS && level(bin) == here {
            bin += 1;
        }
        let class = here.map_or("nothing", |level| ["none", "few", "half", "most", "full"][level]);
        let (x, width) = (across(from), across(bin) - across(from));
        let _ =
            write!(svg, "<rect class=\"{class}\" x=\"{x:.1}\" y=\"2\" width=\"{width:.1}\" height=\"22\"/>");
    }
    svg + &time_axis(range, 26.0) + "</svg>"
}

/// The greatest difference in each part of the range, on a scale of powers of ten, with the tolerance as a line.
pub(super) fn differences(worst: &[f64], tolerance: f64, range: TimeRange) -> String {
    let (top, bottom) = (10.0, 170.0);
    let height = |difference: f64| {
        let powers = (difference.clamp(LEAST, 1.0).log10() - LEAST.log10()) / -LEAST.log10();
        (bottom - top) * powers
    };
    let mut svg = open(bottom + 24.0, "greatest difference over time");
    for (text, value) in [("100 %", 1.0), ("1 %", 1e-2), ("1 bp", 1e-4), ("0.01 bp", 1e-6)] {
        let y = bottom - height(value);
        let _ = write!(
            svg,
            "<line class=\"grid\" x1=\"{LEFT}\" y1=\"{y:.1}\" x2=\"{}\" y2=\"{y:.1}\"/>\
             <text class=\"axis\" x=\"{}\" y=\"{:.1}\" text-anchor=\"end\">{text}</text>",
            LEFT + PLOT,
            LEFT - 8.0,
            y + 4.0
        );
    }
    let width = PLOT / BINS as f64 - 1.0;
    for (bin, difference) in worst.iter().enumerate().filter(|(_, difference)| **difference > 0.0) {
        let tall = height(*difference).max(1.5);
        let class = if *difference > tolerance { "beyond" } else { "within" };
        let (x, y) = (across(bin) + 0.5, bottom - tall);
        let _ = write!(
            svg,
            "<rect class=\"{class}\" x=\"{x:.1}\" y=\"{y:.1}\" width=\"{width:.1}\" height=\"{tall:.1}\"/>"
        );
    }
    let y = bottom - height(tolerance);
    let _ = write!(
        svg,
        "<line class=\"limit\" x1=\"{LEFT}\" y1=\"{y:.1}\" x2=\"{0}\" y2=\"{y:.1}\"/>\
         <text class=\"axis\" x=\"{0}\" y=\"{1:.1}\" text-anchor=\"end\">tolerance</text>\
         <line class=\"base\" x1=\"{LEFT}\" y1=\"{bottom}\" x2=\"{0}\" y2=\"{bottom}\"/>",
        LEFT + PLOT,
        y - 4.0
    );
    svg + &time_axis(range, bottom) + "</svg>"
}

/// How many bars differ by how much.
pub(super) fn histogram(counts: &[u64], tolerance: f64) -> String {
    let (top, bottom) = (22.0, 170.0);
    let most = counts.iter().copied().max().unwrap_or_default().max(1) as f64;
    let step = PLOT / counts.len() as f64;
    let mut svg = open(bottom + 24.0, "how many bars differ by how much");
    for (place, bars) in counts.iter().enumerate() {
        let middle = LEFT + step * (place as f64 + 0.5);
        let tall = if *bars == 0 { 0.0 } else { ((bottom - top) * *bars as f64 / most).max(1.5) };
        // A bucket that the tolerance cuts counts as within.
        let is_beyond = place > 0 && BUCKETS[place - 1] >= tolerance;
        let class = if is_beyond { "beyond" } else { "within" };
        let (x, y, width) = (middle - step * 0.36, bottom - tall, step * 0.72);
        let _ = write!(
            svg,
            "<rect class=\"{class}\" x=\"{x:.1}\" y=\"{y:.1}\" width=\"{width:.1}\" height=\"{tall:.1}\" rx=\"2\"/>\
             <text class=\"value\" x=\"{middle:.1}\" y=\"{:.1}\" text-anchor=\"middle\">{}</text>\
             <text class=\"axis\" x=\"{middle:.1}\" y=\"{}\" text-anchor=\"middle\">{}</text>",
            y - 6.0,
            count(*bars),
            bottom + 17.0,
            NAMES[place]
        );
    }
    let (from, to) = (LEFT, LEFT + PLOT);
    let _ = write!(svg, "<line class=\"base\" x1=\"{from}\" y1=\"{bottom}\" x2=\"{to}\" y2=\"{bottom}\"/>");
    svg + "</svg>"
}
