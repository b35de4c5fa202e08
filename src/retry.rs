//! When a failed request is repeated: a pure schedule, without clock or randomness of its own, and the loop that
//! follows it.

use std::time::Duration;

use crate::clock::Clock;
use crate::error::{Error, Kind, Result};

/// Exponential backoff with full jitter. A refusal by the source's quota is not counted here:
/// the limiter decides how long everybody waits, and a Retry-After is never cut short.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RetryPolicy {
    /// Requests for one chunk, the first included.
    pub attempts: u32,
    /// Longest pause before the second request; doubles each time.
    pub base: Duration,
    /// No pause is longer.
    pub max: Duration,
}

impl Default for RetryPolicy {
    fn default() -> Self {
        Self { attempts: 5, base: Duration::from_millis(500), max: Duration::from_secs(30) }
    }
}

impl RetryPolicy {
    /// The pause after failure number `attempt` (from 1), or `None` to give up.
    /// Equal `seed` and `attempt` give an equal pause, in `[1/2, 1]` of the exponential bound.
    pub fn delay(&self, error: &Error, attempt: u32, seed: u64) -> Option<Duration> {
        if error.kind() != Kind::Unavailable || error.is_fatal() || attempt >= self.attempts {
            return None;
        }
        let bound = self.base.saturating_mul(1 << (attempt - 1).min(20)).min(self.max);
        let share = mix(seed ^ u64::from(attempt)) as f64 / u64::MAX as f64;
        Some(bound.mul_f64(0.5 + share / 2.0))
    }
}

/// Runs `call` as often as `policy` allows. Processes pause for different times. Cancel safe where `call` is.
pub async fn repeat<T, F: Future<Output = Result<T>>>(
    policy: &RetryPolicy,
    clock: &dyn Clock,
    call: impl Fn() -> F,
) -> Result<T> {
    let mut attempt = 0;
    loop {
        let error = match call().await {
            Ok(done) => return Ok(done),
            Err(error) => error,
        };
        attempt += 1;
        let seed = u64::from(std::process::id()) << 32 | u64::from(attempt);
        let Some(delay) = policy.delay(&error, attempt, seed) else { return Err(error) };
        tracing::warn!("attempt {attempt} failed, again in {delay:.1?}: {error}");
        clock.sleep(delay).await;
    }
}

/// splitmix64's finalizer: spreads neighbouring seeds.
const fn mix(mut z: u64) -> u64 {
    z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
    z ^ (z >> 31)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_unavailable_is_repeated_and_not_for_ever() {
        let policy = RetryPolicy::default();
        for kind in Kind::ALL {
            let error = Error::new(kind, "x");
            assert_eq!(policy.delay(&error, 1, 7).is_some(), kind == Kind::Unavailable, "{kind:?}");
        }
        assert!(policy.delay(&Error::unavailable("x"), 5, 7).is_none());
        assert!(policy.delay(&Error::unavailable("disk full").fatal(), 1, 7).is_none());
    }

    #[test]
    fn pauses_double_up_to_the_longest() {
        let policy = RetryPolicy { attempts: 99, ..RetryPolicy::default() };
        for (attempt, bound) in [(1, 0.5), (2, 1.0), (3, 2.0), (7, 30.0), (60, 30.0)] {
            for seed in 0..100 {
                let pause = policy.delay(&Error::unavailable("x"), attempt, seed).unwrap().as_secs_f64();
                assert!(pause >= bound / 2.0 && pause <= bound, "attempt {attempt}: {pause}");
            }
        }
    }
}
