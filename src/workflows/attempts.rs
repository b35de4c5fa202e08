//! A request that failed and is repeated: after a refusal when the limiter allows it, after another failure as often as
//! the schedule does.

use crate::cancel::Cancel;
use crate::error::{Error, Kind, Result};

use super::backfill::{BackfillSpec, Parts};

/// How often one request has failed. Refusals do not count.
pub(super) struct Attempts {
    failed: u32,
    /// Requests of other seeds pause for other times.
    seed: u64,
}

impl Attempts {
    pub(super) const fn new(seed: u64) -> Self {
        Self { failed: 0, seed }
    }

    /// Returns when `what` may be asked for again; gives `error` back where it may not.
    pub(super) async fn pause(
        &mut self,
        error: Error,
        what: &str,
        parts: &Parts,
        spec: &BackfillSpec,
        cancel: &Cancel,
    ) -> Result<()> {
        if error.kind() == Kind::RateLimited {
            // The limiter now makes everybody wait; the next permit parks where that is too long.
            tracing::warn!("{what}: {error}");
            return Ok(());
        }
        self.failed += 1;
        let attempt = self.failed;
        let Some(delay) = spec.retry.delay(&error, attempt, self.seed) else {
            return Err(if attempt > 1 { error.context(format!("after {attempt} attempts")) } else { error });
        };
        tracing::warn!("{what}: attempt {attempt} failed, again in {delay:.1?}: {error}");
        cancel
            .guard(async {
                parts.clock.sleep(delay).await;
                Ok(())
            })
            .await
    }
}
