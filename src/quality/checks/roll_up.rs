//! Coarse bars against the finer ones inside them: open, high, low and close exactly, volume nearly.

use std::collections::VecDeque;

use arrow_array::cast::AsArray;
use arrow_array::types::Float64Type;

use super::Check;
use super::checker::Checker;
use crate::error::{Error, Result};
use crate::records::Batch;
use crate::series::{DataType, Series};
use crate::time_range::Millis;
use crate::timeframe::Timeframe;

#[derive(Debug, Clone, Copy, PartialEq)]
struct Bar {
    at: Millis,
    open: f64,
    high: f64,
    low: f64,
    close: f64,
    volume: f64,
}

/// The comparison, fed with both in time order and step by step.
pub struct RollUp {
    fine: Timeframe,
    coarse: Timeframe,
    tolerance: f64,
    /// The bar that finer ones add up to, when it closes, and how many they are.
    adding: Option<(Bar, Millis, u64)>,
    last: Option<Millis>,
    added: VecDeque<Bar>,
    held: VecDeque<Bar>,
    /// Bars compared.
    pub compared: u64,
    differing: Option<(Millis, u64)>,
}

impl RollUp {
    /// For bars of `series` against those of `fine`; `tolerance` is for the volume, a fraction. `Invalid` where `fine`
    /// bars do not add up to them.
    pub fn new(series: &Series, fine: Timeframe, tolerance: f64) -> Result<Self> {
        let coarse = series.timeframe;
        if series.data_type != DataType::Ohlcv {
            return Err(Error::invalid(format!(
                "{series}: only ohlcv bars add up, not {}",
                series.data_type
            )));
        }
        let fits = fine < coarse && coarse.shortest() % fine.shortest() == 0 && fine != Timeframe::Week;
        if !fits {
            return Err(Error::invalid(format!("bars of {fine} do not add up to bars of {coarse}")));
        }
        let (added, held) = (VecDeque::new(), VecDeque::new());
        Ok(Self {
            fine,
            coarse,
            tolerance,
            adding: None,
            last: None,
            added,
            held,
            compared: 0,
            differing: None,
        })
    }

    /// The next rows of both, in time order; all that open before some moment.
    pub fn look(&mut self, fine: &Batch, coarse: &Batch) {
        for bar in bars(fine) {
            self.add(bar);
        }
        self.held.extend(bars(coarse));
        while let (Some(sum), Some(bar)) = (self.added.front(), self.held.front()) {
            if sum.at == bar.at {
                self.compared += 1;
                if !self.fits(sum, bar) {
                    let (_, count) = self.differing.get_or_insert((bar.at, 0));
                    *count += 1;
                }
            }
            let (sum_at, bar_at) = (sum.at, bar.at);
            if sum_at <= bar_at {
                self.added.pop_front();
            }
            if bar_at <= sum_at {
                self.held.pop_front();
            }
        }
        // Finer bars that are not whole leave nothing to compare with.
        let open = self.adding.map_or(Millis::MAX, |(bar, ..)| bar.at);
        if self.added.is_empty() {
            self.held.retain(|bar| bar.at >= open);
        }
    }

    fn add(&mut self, bar: Bar) {
        if self.last == Some(bar.at) || !self.fine.is_aligned(bar.at) {
            return;
        }
        self.last = Some(bar.at);
        match &mut self.adding {
            Some((sum, end, count)) if bar.at < *end => {
                sum.high = sum.high.max(bar.high);
                sum.low = sum.low.min(bar.low);
                sum.close = bar.close;
                sum.volume += bar.volume;
                *count += 1;
            }
            _ => {
                self.close();
                let at = self.coarse.floor(bar.at);
                self.adding = Some((Bar { at, ..bar }, self.coarse.next(at), 1));
            }
        }
        if self.adding.is_some_and(|(_, end, _)| self.fine.next(bar.at) >= end) {
            self.close();
        }
    }

    fn close(&mut self) {
        if let Some((sum, end, count)) = self.adding.take()
            && count == self.fine.count(sum.at, end)
        {
            self.added.push_back(sum);
        }
    }

    fn fits(&self, sum: &Bar, bar: &Bar) -> bool {
        let most = sum.volume.abs().max(bar.volume.abs()) * self.tolerance;
        let prices = |bar: &Bar| [bar.open, bar.high, bar.low, bar.close];
        prices(sum) == prices(bar) && (sum.volume - bar.volume).abs() <= most
    }

    /// Tells `checker` of the coarse bars what was found.
    pub fn tell(&self, checker: &mut Checker) {
        if let Some((first, count)) = self.differing {
            checker.note(Check::RollUp, first, count);
        }
    }
}

fn bars(batch: &Batch) -> impl Iterator<Item = Bar> + '_ {
    let column = |index: usize| &**batch.rows().column(index).as_primitive::<Float64Type>().values();
    let (open, high, low, close, volume) = (column(1), column(2), column(3), column(4), column(5));
    batch.ts().iter().enumerate().map(move |(row, at)| Bar {
        at: *at,
        open: open[row],
        high: high[row],
        low: low[row],
        close: close[row],
        volume: volume[row],
    })
}
