//! Which files make a range: months where they are published, days where a month is not yet, or lacks bars.

use futures::stream::{StreamExt, TryStreamExt, iter};

use super::files::{self, DAY, Period, days, has_days, has_months, months};
use super::rooms::Rooms;
use super::table::{self, Table};
use super::{BinanceArchiveAdapter, unzip};
use crate::error::{Error, Result};
use crate::quality::gaps;
use crate::records::Batch;
use crate::series::Series;
use crate::time_range::{Millis, TimeRange};
use crate::timeframe::Timeframe;

/// A day's file that is absent so long after its day is not there at all; before, it is not yet published.
pub(super) const DAY_LATE: Millis = 3 * 86_400_000;
/// As `DAY_LATE`, of a month's: they come on the first Monday after.
pub(super) const MONTH_LATE: Millis = 14 * 86_400_000;
/// Files of one request that are under way at once.
const WIDTH: usize = 4;

/// What the files say about a range.
#[derive(Debug, Default)]
pub(super) struct Found {
    pub(super) rows: Vec<Batch>,
    /// `name:sha256` of each file that was read, and what was odd in it.
    pub(super) files: Vec<String>,
    pub(super) notes: Vec<String>,
    /// Bytes downloaded.
    pub(super) bytes: u64,
    /// From here on files are not yet published: what there is of later ones proves nothing about this one.
    pub(super) open_from: Option<Millis>,
}

impl Found {
    fn add(&mut self, file: &File) {
        self.files.push(format!("{}:{}", file.name, file.sha256));
        self.notes.extend(file.table.notes.iter().map(|note| format!("{}: {note}", file.name)));
        self.bytes += file.bytes;
    }

    /// Adds what follows in time; nothing after a file that is not yet published.
    fn append(mut self, next: Self) -> Self {
        if self.open_from.is_none() {
            self.rows.extend(next.rows);
            self.files.extend(next.files);
            self.notes.extend(next.notes);
            self.bytes += next.bytes;
            self.open_from = next.open_from;
        }
        self
    }
}

/// A file that was read.
struct File {
    name: String,
    sha256: String,
    bytes: u64,
    table: Table,
}

impl BinanceArchiveAdapter {
    /// Everything the archive has of `series` in `range`, up to the first file that is not yet published.
    pub(super) async fn gather(&self, series: &Series, range: TimeRange) -> Result<Found> {
        let parts = iter(months(range)).map(|part| self.month(series, part)).buffered(WIDTH);
        let found = parts.try_fold(Found::default(), |found, next| async { Ok(found.append(next)) }).await?;
        if found.files.is_empty() {
            self.check_known(series).await?;
        } else {
            self.remember(series);
        }
        Ok(found)
    }

    /// As [`Self::gather`], of a range inside one month.
    async fn month(&self, series: &Series, part: TimeRange) -> Result<Found> {
        let now = self.clock.now();
        let month = Timeframe::Month.floor(part.start());
        let end = Timeframe::Month.next(month);
        if !has_months(series) || end > now {
            return self.days(series, part, &days(&[part]), None).await;
        }
        if let Some(file) = self.read(series, Period::Month(month)).await? {
            let held = file.table.rows.within(part);
            let lacking = days(&gaps(held.ts(), part, series.timeframe));
            let wanted = if has_days(series) { lacking } else { Vec::new() };
            return self.days(series, part, &wanted, Some(file)).await;
        }
        if end + MONTH_LATE > now {
            return self.days(series, part, &days(&[part]), None).await;
        }
        self.never_published(series, part).await
    }

    /// The days of a month that should have a file and has none. A market that is younger, or gone, has none of its
    /// days either: the first and the last one tell.
    async fn never_published(&self, series: &Series, part: TimeRange) -> Result<Found> {
        let all = days(&[part]);
        if !has_days(series) || all.is_empty() {
            return Ok(Found::default());
        }
        let (first, last) = (all[0], all[all.len() - 1]);
        let probes = if first == last { vec![first] } else { vec![first, last] };
        let found = self.days(series, part, &probes, None).await?;
        if found.files.is_empty() || all.len() <= probes.len() {
            return Ok(found);
        }
        let between = self.days(series, part, &all[1..all.len() - 1], None).await?;
        Ok(found.append(between))
    }

    /// The rows of the files of `wanted` days (in order) in `part`, and those of its month for which there is a file.
    async fn days(
        &self,
        series: &Series,
        part: TimeRange,
        wanted: &[Millis],
        month: Option<File>,
    ) -> Result<Found> {
        let now = self.clock.now();
        let mut found = Found::default();
        if let Some(month) = &month {
            found.add(month);
        }
        let whole = month.map_or_else(|| Batch::empty(series.data_type), |month| month.table.rows);
        found.rows.push(whole.within(part));
        let read = |day: Millis| async move {
            let over = has_days(series) && DAY.next(day) <= now;
            let file = if over { self.read(series, Period::Day(day)).await? } else { None };
            Ok::<_, Error>((day, file))
        };
        let mut files = iter(wanted.iter().copied()).map(read).buffered(WIDTH);
        while let Some((day, file)) = files.try_next().await? {
            match file {
                Some(file) => {
                    found.rows.push(table::supplement(&whole, &file.table.rows, part)?);
                    found.add(&file);
                }
                None if is_due(series, day, now) => {}
                None => {
                    found.open_from = Some(day.max(part.start()));
                    break;
                }
            }
        }
        Ok(found)
    }

    /// The file of `period`, proved and parsed; `None` where there is none.
    async fn read(&self, series: &Series, period: Period) -> Result<Option<File>> {
        let path = files::path(self.market, series, period);
        let Some(proved) = self.archive.file(&path).await? else { return Ok(None) };
        let name = path.rsplit('/').next().unwrap_or(&path).to_owned();
        let series = series.clone();
        let room = self.rooms.get_or_init(Rooms::default).take().await?;
        let parse = move || {
            let bytes = proved.body.len() as u64;
            room.with(|body| {
                unzip::csv(&name, &proved.body, body)?;
                let table = table::table(&series, period, body).map_err(|error| error.context(&name))?;
                Ok(File { name, sha256: proved.sha256, bytes, table })
            })
        };
        // Tens of milliseconds for a month: other requests go on meanwhile.
        let parsed = tokio::task::spawn_blocking(parse).await;
        parsed.map_err(|_| Error::internal(format!("parsing {path} panicked")))?.map(Some)
    }
}

/// Whether the file with the bars of `day` would be there if it were ever to come.
fn is_due(series: &Series, day: Millis, now: Millis) -> bool {
    if has_days(series) {
        return DAY.next(day) + DAY_LATE <= now;
    }
    Timeframe::Month.next(Timeframe::Month.floor(day)) + MONTH_LATE <= now
}
