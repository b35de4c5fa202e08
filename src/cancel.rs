//! A flag that asks a run to stop.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use tokio::sync::Notify;

use crate::error::{Error, Result};

/// Shared by everything that belongs to one run.
#[derive(Debug, Clone, Default)]
pub struct Cancel {
    inner: Arc<(AtomicBool, Notify)>,
}

impl Cancel {
    /// Asks to stop; may be called from anywhere, any number of times.
    pub fn cancel(&self) {
        self.inner.0.store(true, Ordering::SeqCst);
        self.inner.1.notify_waiters();
    }

    /// Whether somebody asked to stop.
    pub fn is_cancelled(&self) -> bool {
        self.inner.0.load(Ordering::SeqCst)
    }

    /// Resolves once somebody asks to stop.
    pub async fn cancelled(&self) {
        let notified = self.inner.1.notified();
        tokio::pin!(notified);
        // Enlisted before the flag is read: a cancel in between is not missed.
        notified.as_mut().enable();
        if !self.is_cancelled() {
            notified.await;
        }
    }

    /// `future`, dropped with `Cancelled` as soon as somebody asks to stop.
    pub async fn guard<T>(&self, future: impl Future<Output = Result<T>>) -> Result<T> {
        tokio::select! {
            biased;
            () = self.cancelled() => Err(Error::cancelled("stopped on request")),
            done = future => done,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::error::Kind;

    #[tokio::test]
    async fn a_cancel_before_or_during_the_wait_is_seen() {
        let early = Cancel::default();
        early.cancel();
        assert_eq!(
            early.guard(std::future::pending::<Result<()>>()).await.unwrap_err().kind(),
            Kind::Cancelled
        );

        let late = Cancel::default();
        let waiting = tokio::spawn({
            let late = late.clone();
            async move { late.guard(std::future::pending::<Result<()>>()).await }
        });
        tokio::task::yield_now().await;
        late.cancel();
        assert_eq!(waiting.await.unwrap().unwrap_err().kind(), Kind::Cancelled);
    }
}
