//! From where on something is a finding: plain numbers with names.

use super::meant;
use crate::error::{Error, Result};
use crate::time_range::Millis;

/// From where on something is a finding.
#[derive(Debug, Clone, PartialEq)]
pub struct Thresholds {
    /// A bar may open so many seconds after now: clocks differ.
    pub future_skew_seconds: f64,
    /// Bars that are missing for so many seconds after their close are an error; by default they stay a warning.
    pub gap_error_seconds: f64,
    /// So many bars without a move, with volume, are no finding; see also `run_quantile`.
    pub frozen_bars: f64,
    /// So many bars without volume are no finding.
    pub idle_bars: f64,
    /// Runs shorter than this quantile of the series' own runs are no finding, where it has a thousand of them.
    pub run_quantile: f64,
    /// A spike is so many times the median move of `spike_window` bars.
    pub spike_factor: f64,
    /// And at least this fraction of the price.
    pub spike_least: f64,
    /// Bars over which the median is taken.
    pub spike_window: f64,
    /// What may be left of a spike one bar later, as a fraction of it.
    pub spike_rest: f64,
    /// A jump from close to open is so many times the mean range of a bar.
    pub jump_factor: f64,
    /// How near a move must be to a whole factor to look like a split, as a fraction.
    pub split_tolerance: f64,
    /// By what fraction volumes may differ that should add up.
    pub volume_tolerance: f64,
    /// A source may be so many seconds late with a bar that has closed, beside one bar.
    pub late_seconds: f64,
    /// From here on being late is an error.
    pub late_error_seconds: f64,
}

impl Default for Thresholds {
    fn default() -> Self {
        Self {
            future_skew_seconds: 60.0,
            gap_error_seconds: f64::INFINITY,
            frozen_bars: 120.0,
            idle_bars: 120.0,
            run_quantile: 0.999,
            spike_factor: 30.0,
            spike_least: 0.01,
            spike_window: 500.0,
            spike_rest: 0.5,
            jump_factor: 20.0,
            split_tolerance: 0.01,
            volume_tolerance: 1e-6,
            late_seconds: 600.0,
            late_error_seconds: 86_400.0,
        }
    }
}

impl Thresholds {
    /// Name, value, and what it must be at least and at most.
    fn entries(&mut self) -> [(&'static str, &mut f64, f64, f64); 14] {
        const ANY: f64 = f64::INFINITY;
        [
            ("future_skew_seconds", &mut self.future_skew_seconds, 0.0, ANY),
            ("gap_error_seconds", &mut self.gap_error_seconds, 0.0, ANY),
            ("frozen_bars", &mut self.frozen_bars, 1.0, ANY),
            ("idle_bars", &mut self.idle_bars, 1.0, ANY),
            ("run_quantile", &mut self.run_quantile, 0.0, 1.0),
            ("spike_factor", &mut self.spike_factor, 0.0, ANY),
            ("spike_least", &mut self.spike_least, 0.0, ANY),
            ("spike_window", &mut self.spike_window, 20.0, 1e6),
            ("spike_rest", &mut self.spike_rest, 0.0, 1.0),
            ("jump_factor", &mut self.jump_factor, 0.0, ANY),
            ("split_tolerance", &mut self.split_tolerance, 0.0, 0.5),
            ("volume_tolerance", &mut self.volume_tolerance, 0.0, 1.0),
            ("late_seconds", &mut self.late_seconds, 0.0, ANY),
            ("late_error_seconds", &mut self.late_error_seconds, 0.0, ANY),
        ]
    }

    /// Sets one by its name. `Invalid` where there is none of that name, or it cannot be so.
    pub fn set(&mut self, name: &str, value: f64) -> Result<()> {
        let mut entries = self.entries();
        let names: Vec<&'static str> = entries.iter().map(|entry| entry.0).collect();
        let Some((_, held, least, most)) = entries.iter_mut().find(|entry| entry.0 == name) else {
            let unknown = Error::invalid(format!("unknown threshold {name:?}; use {}", names.join(", ")));
            return Err(match meant(name, names.into_iter()) {
                Some(hint) => unknown.with_hint(hint),
                None => unknown,
            });
        };
        if !(*least..=*most).contains(&value) {
            return Err(Error::invalid(format!(
                "threshold {name} must be a number from {least} to {most}, not {value}"
            )));
        }
        **held = value;
        Ok(())
    }

    /// The defaults with some values of one's own.
    pub fn of<'a>(values: impl IntoIterator<Item = (&'a str, f64)>) -> Result<Self> {
        let mut thresholds = Self::default();
        for (name, value) in values {
            thresholds.set(name, value)?;
        }
        Ok(thresholds)
    }

    /// Every name with its value.
    pub fn named(&self) -> Vec<(&'static str, f64)> {
        self.clone().entries().map(|(name, value, ..)| (name, *value)).into()
    }

    /// Seconds as milliseconds; longer than any range where they are infinite.
    pub(super) fn millis(seconds: f64) -> Millis {
        if seconds >= 1e15 { Millis::MAX / 4 } else { (seconds * 1000.0) as Millis }
    }
}
