//! Whether the archive has a market at all. An absent file may mean a market that was younger, or gone; but a name or
//! an address that is wrong would make every file absent, and years would be committed as `empty`.

use std::sync::PoisonError;

use futures::stream::{StreamExt, TryStreamExt, iter};

use super::BinanceArchiveAdapter;
use super::files::{self, DAY, Period, has_days, has_months};
use crate::error::{Error, Result};
use crate::series::Series;
use crate::time_range::Millis;
use crate::timeframe::Timeframe;

/// Binance began in July 2017.
const BEGAN: Millis = 1_498_867_200_000;
/// Days before now whose month may not be published yet.
const RECENT: u32 = 45;
/// Questions under way at once.
const WIDTH: usize = 8;

impl BinanceArchiveAdapter {
    /// The market of `series` has files.
    pub(super) fn remember(&self, series: &Series) {
        self.known.lock().unwrap_or_else(PoisonError::into_inner).insert(series.clone());
    }

    /// `Invalid` where no file of `series` was ever there. Looks for checksums, newest first, until there is one: a
    /// market that lives costs a few questions, once.
    pub(super) async fn check_known(&self, series: &Series) -> Result<()> {
        if self.known.lock().unwrap_or_else(PoisonError::into_inner).contains(series) {
            return Ok(());
        }
        let asked = samples(series, self.clock.now()).into_iter().map(|period| async move {
            let path = format!("{}.CHECKSUM", files::path(self.market, series, period));
            self.archive.is_there(&path).await
        });
        let mut answers = iter(asked).buffered(WIDTH);
        while let Some(is_there) = answers.try_next().await? {
            if is_there {
                self.remember(series);
                return Ok(());
            }
        }
        Err(Error::invalid(format!(
            "Binance's archive has no file of {} {} of the market {:?} ({}), of any time",
            series.data_type, series.timeframe, series.symbol, self.market
        ))
        .with_hint("check the symbol (BTCUSDT), the market (spot or usdm) and base_url; a new market's first file comes a day late"))
    }
}

/// Files of which a market has one whenever it lived: its months, and recent days; newest first.
fn samples(series: &Series, now: Millis) -> Vec<Period> {
    let mut samples = Vec::new();
    let today = DAY.floor(now);
    if has_days(series) {
        samples.extend((1..=RECENT).map(|days| Period::Day(DAY.back(today, days))));
    }
    let mut month = Timeframe::Month.floor(now);
    while month > BEGAN {
        month = Timeframe::Month.back(month, 1);
        samples.push(if has_months(series) {
            Period::Month(month)
        } else {
            Period::Day(DAY.step(month, 14))
        });
    }
    samples
}
