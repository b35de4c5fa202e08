//! A series read period by period and checked on the way: what is held of it never grows with the range.

use std::sync::Arc;

use futures::stream::{BoxStream, StreamExt, iter};

use crate::coverage::Coverage;
use crate::error::Result;
use crate::lake::{BronzeWriter, Object, period};
use crate::quality::{Checker, Selection, Stored, Thresholds, Validation, sorted};
use crate::records::Batch;
use crate::series::Series;
use crate::time_range::{Millis, TimeRange};

/// Objects read at once.
const WIDTH: usize = 8;

/// What is looked for.
#[derive(Debug, Clone, Default)]
pub struct Wanted {
    /// From where on something is a finding.
    pub thresholds: Thresholds,
    /// Which checks count.
    pub selection: Selection,
}

/// The rows of one series over one range, in time order.
pub(super) struct Reader {
    pub(super) series: Series,
    pub(super) checker: Checker,
    objects: BoxStream<'static, Result<Stored>>,
    /// The starts of the objects that are not read yet, the next one last.
    starts: Vec<Millis>,
    /// Rows that later objects may add to, each batch in order.
    pending: Vec<Batch>,
}

impl Reader {
    pub(super) async fn open(
        lake: &Arc<BronzeWriter>,
        series: &Series,
        range: TimeRange,
        now: Millis,
        wanted: &Wanted,
        coverage: Option<Coverage>,
    ) -> Result<Self> {
        let objects = lake.all(series).await.map_err(|error| error.context(series))?;
        let inside: Vec<Object> =
            objects.into_iter().filter(|object| object.range.intersect(range).is_some()).collect();
        let starts = inside.iter().rev().map(|object| object.range.start()).collect();
        let (lake, key) = (Arc::clone(lake), series.clone());
        let read = iter(inside).map(move |object| {
            let (lake, series) = (Arc::clone(&lake), key.clone());
            async move { lake.stored(&series, object).await }
        });
        let (thresholds, selection) = (wanted.thresholds.clone(), wanted.selection.clone());
        Ok(Self {
            checker: Checker::new(series, range, now, thresholds, selection, coverage),
            series: series.clone(),
            objects: read.buffered(WIDTH).boxed(),
            starts,
            pending: Vec::new(),
        })
    }

    /// The rows that open before `end`, all of them and checked, which no earlier call has answered.
    pub(super) async fn until(&mut self, end: Millis) -> Result<Vec<Batch>> {
        while self.starts.pop_if(|start| *start < end).is_some() {
            let Some(stored) = self.objects.next().await else { break };
            let stored = stored.map_err(|error| error.context(&self.series))?;
            let rows = self.checker.stored(&stored)?;
            self.pending.push(rows);
        }
        let ready = self.take(end)?;
        for rows in &ready {
            self.checker.look(rows);
        }
        Ok(ready)
    }

    /// Takes what opens before `end` out of the pending rows, in time order.
    fn take(&mut self, end: Millis) -> Result<Vec<Batch>> {
        let (mut ready, mut later) = (Vec::new(), Vec::new());
        for rows in self.pending.drain(..) {
            let cut = rows.ts().partition_point(|at| *at < end);
            let parts = [(&mut ready, rows.slice(0, cut)), (&mut later, rows.slice(cut, rows.len() - cut))];
            for (of, part) in parts {
                if !part.is_empty() {
                    of.push(part);
                }
            }
        }
        self.pending = later;
        let in_order = ready.windows(2).all(|pair| pair[0].ts().last() < pair[1].ts().first());
        if in_order { Ok(ready) } else { Ok(vec![sorted(&Batch::joined(self.series.data_type, &ready)?)?]) }
    }

    pub(super) fn finish(self) -> Validation {
        self.checker.finish()
    }
}

/// The ends of the periods that `range` touches, in order.
pub(super) fn ends(range: TimeRange, series: &Series) -> impl Iterator<Item = Millis> + use<> {
    let timeframe = series.timeframe;
    let mut at = range.start();
    std::iter::from_fn(move || {
        let end = (at < range.end()).then(|| period(timeframe, at).map_or(range.end(), TimeRange::end))?;
        at = end;
        Some(end.min(range.end()))
    })
}
