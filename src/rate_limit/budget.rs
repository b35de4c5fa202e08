//! What a scope (an API key, an egress address) may spend: several windows at once, a penalty box, and what the source
//! says about both. One pure value, the same in one process, in a file and in a database.

use serde::{Deserialize, Serialize};

use super::penalty::Penalty;
use super::window::{Meter, Micros};
use crate::ports::Quota;

/// A window that is less full than this is not what a refusal is about.
const SUSPECT: f64 = 0.5;

/// See the module.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Budget {
    meters: Vec<Meter>,
    penalty: Penalty,
    /// Bursts of refusals so far. A refusal of a request that was permitted in an earlier epoch tells nothing new.
    epoch: u64,
}

impl Budget {
    /// Nothing spent yet.
    pub fn new(meters: Vec<Meter>) -> Self {
        Self { meters, penalty: Penalty::default(), epoch: 0 }
    }

    /// Everything before `now` counts as spent.
    pub fn assume_full(&mut self, now: Micros) {
        self.meters.iter_mut().for_each(|meter| meter.assume_full(now));
    }

    /// Whether `other` was made of the same windows.
    pub fn has_windows_of(&self, other: &Self) -> bool {
        self.meters.len() == other.meters.len()
            && self.meters.iter().zip(&other.meters).all(|(own, other)| own.is_like(other))
    }

    /// The windows, for people.
    pub fn describe(&self) -> String {
        let one = |meter: &Meter| {
            let kind = if meter.is_fixed() { " fixed" } else { "" };
            format!("{}/{}s{kind}", meter.learned.most(), meter.period() as f64 / 1e6)
        };
        self.meters.iter().map(one).collect::<Vec<_>>().join(" ")
    }

    /// Takes over what `old` knows of windows of the same length, and of refusals.
    pub fn inherit(&mut self, old: &Self) {
        (self.penalty, self.epoch) = (old.penalty, old.epoch);
        for meter in &mut self.meters {
            if let Some(old) = old.meters.iter().find(|old| meter.is_as_long_as(old)) {
                meter.inherit(old);
            }
        }
    }

    /// Nothing is known of the past any more.
    pub fn restart(&mut self, now: Micros) {
        self.meters.iter_mut().for_each(Meter::clear);
        (self.penalty, self.epoch) = (Penalty::default(), self.epoch + 1);
        self.assume_full(now);
    }

    /// The accounts, in the order of the windows.
    pub fn meters(&self) -> &[Meter] {
        &self.meters
    }

    /// See [`Penalty`].
    pub const fn penalty(&self) -> &Penalty {
        &self.penalty
    }

    /// What a permit of this moment carries.
    pub const fn epoch(&self) -> u64 {
        self.epoch
    }

    /// The first moment, not before `now`, at which `weight` may be spent.
    pub fn earliest(&self, now: Micros, weight: u32) -> Micros {
        let mut at = self.penalty.earliest(now);
        // A moment that suits one window may not suit another that was asked before it.
        loop {
            let later = self.meters.iter().fold(at, |at, meter| meter.earliest(at, weight));
            if later == at {
                return at;
            }
            at = later;
        }
    }

    /// Whether `weight` may be spent now, or when to ask again.
    pub fn check(&mut self, now: Micros, weight: u32) -> Result<(), Micros> {
        let penalty = self.penalty.earliest(now);
        if penalty > now {
            return Err(penalty);
        }
        let mut at = now;
        for meter in &mut self.meters {
            let earliest = meter.earliest(now, weight);
            if earliest > now {
                meter.learned.want();
                at = at.max(earliest);
            }
        }
        if at > now { Err(self.earliest(at, weight)) } else { Ok(()) }
    }

    /// Whether `weight` could be spent now, in as many requests as it may take.
    pub fn fits(&self, now: Micros, weight: u32) -> bool {
        self.penalty.earliest(now) == now && self.meters.iter().all(|meter| meter.fits(now, weight))
    }

    /// Notes a spend.
    pub fn spend(&mut self, now: Micros, weight: u32) {
        self.penalty.spend(now);
        self.meters.iter_mut().for_each(|meter| meter.spend(now, weight));
    }

    /// When the last of `total` could be spent, from `now` on.
    pub fn backlog(&self, now: Micros, total: u64) -> Micros {
        let at = self.penalty.until().max(now);
        self.meters.iter().map(|meter| meter.backlog(at, total)).max().unwrap_or(at)
    }

    /// Of `total`, what is spent after the last wait for a window.
    pub fn last_round(&self, total: u64) -> u64 {
        let rest = |meter: &Meter| total.saturating_sub(1) % u64::from(meter.learned.limit()) + 1;
        self.meters.iter().max_by_key(|meter| meter.backlog(0, total)).map_or(total, rest)
    }

    /// The source answered a request permitted in `epoch`. Whether somebody may go on earlier for it.
    pub fn answer(&mut self, now: Micros, weight: u32, epoch: u64) -> bool {
        if epoch != self.epoch {
            return false;
        }
        for meter in &mut self.meters {
            meter.answer(now, weight);
        }
        self.penalty.answer()
    }

    /// A request permitted in `epoch` failed in a way that says nothing about quota. Whether somebody may go on for it.
    pub const fn fail(&mut self, epoch: u64) -> bool {
        epoch == self.epoch && self.penalty.fail()
    }

    /// The source refused a request permitted in `epoch`, until then if it said so. Whether this begins a burst.
    pub fn refuse(
        &mut self,
        now: Micros,
        weight: u32,
        epoch: u64,
        until: Option<Micros>,
        factor: f64,
    ) -> bool {
        let is_first = epoch == self.epoch;
        let fill = |meter: &Meter| f64::from(meter.used(now)) / f64::from(meter.learned.limit());
        let fullest = self.meters.iter_mut().max_by(|a, b| fill(a).total_cmp(&fill(b)));
        let mut period = Micros::MAX;
        if let Some(meter) = fullest {
            period = meter.period();
            if !is_first {
                meter.learned.refuse_again(weight);
            } else if fill(meter) >= SUSPECT {
                meter.refuse(now, weight, factor);
            }
        }
        self.penalty.refuse(now, until, period, is_first);
        self.epoch += u64::from(is_first);
        is_first
    }

    /// What the source's headers said of one window of it; the one meant is that of its period or of its limit, or the
    /// only one. `reset`: its reset, here.
    pub fn heed(&mut self, now: Micros, quota: &Quota, reset: Option<Micros>) {
        let only = self.meters.len() == 1;
        let meant = self.meters.iter_mut().find(|meter| match (quota.period, quota.limit) {
            (Some(period), _) => meter.period() == period.as_micros() as Micros,
            (None, Some(limit)) => only || meter.whole() == limit,
            (None, None) => only,
        });
        let Some(meter) = meant else {
            // Nothing is known of that window, but that it is used up.
            if let (Some(0), Some(reset)) = (quota.remaining, reset) {
                self.penalty.pause(reset);
            }
            return;
        };
        if let Some(limit) = quota.limit {
            meter.declare(now, limit);
        }
        let left = quota.remaining.map(|left| quota.limit.unwrap_or(meter.whole()).saturating_sub(left));
        if let Some(used) = quota.used.or(left) {
            meter.correct(now, used, reset);
        }
    }
}
