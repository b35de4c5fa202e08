//! A scope in a file: for all processes of one machine, and for those that come after them. Not synced to the disk: one
//! that a crash of the machine has damaged counts as full.

use std::fs::{self, File};
use std::io::{ErrorKind, Read, Seek, Write};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, UNIX_EPOCH};

use async_trait::async_trait;

use super::cell::{Cell, Change};
use super::scope::Scope;
use crate::clock::Clock;
use crate::disk::{Locked, failure, make_folder};
use crate::error::{Error, Kind, Result};
use crate::rate_limit::Micros;

/// One file, changed in place under a lock.
pub struct FileCell {
    path: PathBuf,
    new: Scope,
    clock: Arc<dyn Clock>,
}

/// A lock that is held for longer is held by a process that was stopped.
const PATIENCE: Duration = Duration::from_secs(5);
const PAUSE: Duration = Duration::from_millis(5);

impl FileCell {
    /// `new`: what the file holds at first.
    pub fn new(path: PathBuf, new: Scope, clock: Arc<dyn Clock>) -> Self {
        Self { path, new, clock }
    }

    fn open(&self) -> Result<File> {
        let open = || File::options().create(true).read(true).write(true).truncate(false).open(&self.path);
        match open() {
            Err(error) if error.kind() == ErrorKind::NotFound => {
                make_folder(self.path.parent().unwrap_or(Path::new(".")))?;
                open()
            }
            opened => opened,
        }
        .map_err(|error| failure("open", &self.path, &error))
    }

    /// Waits for the lock without blocking a thread.
    async fn lock(&self) -> Result<File> {
        let deadline = self.clock.monotonic() + PATIENCE;
        loop {
            let file = self.open()?;
            match file.try_lock() {
                Ok(()) => return Ok(file),
                Err(error) => pause(&self.path, &*self.clock, deadline, error).await?,
            }
        }
    }

    /// What the file holds. Damaged by a crash of the machine, it says nothing about what was spent.
    fn read(&self, file: &mut File, now: Micros) -> Result<Scope> {
        let mut text = String::new();
        match file.read_to_string(&mut text) {
            Ok(0) if is_new(file, now) => return Ok(self.new.clone()),
            Ok(_) => {}
            Err(error) if error.kind() == ErrorKind::InvalidData => text.clear(),
            Err(error) => return Err(failure("read", &self.path, &error)),
        }
        match Scope::parse(&text) {
            Err(error) if error.kind() == Kind::Data => {
                tracing::warn!("{}: {error}; its windows count as full", self.path.display());
                let mut scope = self.new.clone();
                scope.forget(now);
                Ok(scope)
            }
            parsed => parsed,
        }
    }
}

/// Whether an empty file was made just now, and not emptied by a crash of the machine.
fn is_new(file: &File, now: Micros) -> bool {
    let made = file.metadata().and_then(|about| about.modified()).ok();
    let made = made.and_then(|at| at.duration_since(UNIX_EPOCH).ok());
    made.is_none_or(|made| made.as_micros() + 2 * PATIENCE.as_micros() > u128::from(now))
}

/// Waits a little for a lock that is held; fails after `deadline`.
async fn pause(path: &Path, clock: &dyn Clock, deadline: Duration, error: fs::TryLockError) -> Result<()> {
    match error {
        fs::TryLockError::WouldBlock if clock.monotonic() < deadline => {
            clock.sleep(PAUSE).await;
            Ok(())
        }
        fs::TryLockError::WouldBlock => {
            let path = path.display();
            Err(Error::unavailable(format!("another process has held {path} for {PATIENCE:?}")))
        }
        fs::TryLockError::Error(error) => Err(failure("lock", path, &error)),
    }
}

/// What the file at `path` holds, without a change; `None` where there is nothing.
pub(super) async fn peek(path: &Path, clock: &dyn Clock) -> Result<Option<Scope>> {
    let mut file = match File::open(path) {
        Ok(file) => Locked(file),
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(failure("open", path, &error)),
    };
    let deadline = clock.monotonic() + PATIENCE;
    while let Err(error) = file.0.try_lock_shared() {
        pause(path, clock, deadline, error).await?;
    }
    let mut text = String::new();
    file.0.read_to_string(&mut text).map_err(|error| failure("read", path, &error))?;
    if text.is_empty() { Ok(None) } else { Scope::parse(&text).map(Some) }
}

#[async_trait]
impl Cell for FileCell {
    async fn update(&self, change: &mut Change<'_>) -> Result<Duration> {
        // Short and without a sync: not worth a thread of its own.
        let mut file = Locked(self.lock().await?);
        let file = &mut file.0;
        let now = self.clock.now().unsigned_abs() * 1000;
        let mut scope = self.read(file, now)?;
        change(&mut scope, now)?;
        let text = scope.text()?;
        let written = file.rewind().and_then(|()| file.write_all(text.as_bytes()));
        written
            .and_then(|()| file.set_len(text.len() as u64))
            .map_err(|error| failure("write", &self.path, &error))?;
        Ok(Duration::ZERO)
    }

    fn place(&self) -> String {
        self.path.display().to_string()
    }
}
