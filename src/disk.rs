//! Durable writes to local folders: temp name, write, fsync, rename, fsync of the folder. Killed at any
//! point, either the old file or the new one is there.

use std::fs::{self, File};
use std::io::{self, ErrorKind, Write};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::time::UNIX_EPOCH;

use url::Url;

use crate::error::{Error, Result};
use crate::time_range::Millis;
use crate::unique::unique;

/// Files of this ending are unfinished and belong to nobody after a crash.
pub const TEMP: &str = "qf-tmp";

/// What a failed file operation means, in one line.
pub fn failure(doing: &str, path: &Path, error: &io::Error) -> Error {
    let message = format!("cannot {doing} {}: {error}", path.display());
    match error.kind() {
        ErrorKind::PermissionDenied
        | ErrorKind::NotADirectory
        | ErrorKind::ReadOnlyFilesystem
        | ErrorKind::IsADirectory
        | ErrorKind::InvalidFilename
        | ErrorKind::AlreadyExists => Error::invalid(message).fatal(),
        ErrorKind::StorageFull | ErrorKind::QuotaExceeded => {
            Error::unavailable(message).with_hint("free some space; what was written is kept").fatal()
        }
        _ => Error::unavailable(message),
    }
}

/// Makes `folder` and its parents durable.
pub fn make_folder(folder: &Path) -> Result<()> {
    if folder.is_dir() {
        return Ok(());
    }
    fs::create_dir_all(folder).map_err(|error| failure("create the folder", folder, &error))?;
    for made in folder.ancestors().take_while(|path| !path.as_os_str().is_empty()) {
        // Above the first folder that we may not open there is nothing of ours.
        let Ok(open) = File::open(made) else { break };
        let _ = open.sync_all();
    }
    Ok(())
}

/// Puts `bytes` at `path` (whose folder exists) durably and at once.
pub fn replace(path: &Path, bytes: &[u8]) -> Result<()> {
    let temp = temp_name(path);
    finish(&temp, path, overwrite(&temp, bytes).and_then(|()| fs::rename(&temp, path)))
}

/// [`replace`] by way of `temp`, in the same folder, which the caller alone may use until this returns; what a
/// killed writer left there is overwritten. The old file stays at `temp` where the system can swap two names:
/// replaced again and again, no file is made or freed, which halves the cost (docs/decisions/0006).
pub fn replace_through(temp: &Path, path: &Path, bytes: &[u8]) -> Result<()> {
    finish(temp, path, overwrite(temp, bytes).and_then(|()| swap(temp, path)))
}

fn finish(temp: &Path, path: &Path, written: io::Result<()>) -> Result<()> {
    if let Err(error) = written {
        let _ = fs::remove_file(temp);
        return Err(failure("write", path, &error));
    }
    sync_folder(path)
}

/// In place: keeps the blocks of a file that is there.
fn overwrite(path: &Path, bytes: &[u8]) -> io::Result<()> {
    let mut file = File::options().create(true).write(true).truncate(false).open(path)?;
    file.write_all(bytes)?;
    file.set_len(bytes.len() as u64)?;
    file.sync_data()
}

/// Renames `temp` to `path`; what was at `path` is then at `temp`, if the system can do that.
fn swap(temp: &Path, path: &Path) -> io::Result<()> {
    #[cfg(any(target_os = "linux", target_vendor = "apple"))]
    {
        use rustix::fs::{CWD, RenameFlags, renameat_with};
        if renameat_with(CWD, temp, CWD, path, RenameFlags::EXCHANGE).is_ok() {
            return Ok(());
        }
    }
    // Nothing at `path` yet, or a file system that cannot.
    fs::rename(temp, path)
}

/// A file that is locked until this is dropped. Unlocked by name: a child that was forked meanwhile keeps the file open,
/// and with it a lock that ended when the file is closed.
#[derive(Debug)]
pub struct Locked(pub File);

impl Drop for Locked {
    fn drop(&mut self) {
        let _ = self.0.unlock();
    }
}

/// The lock file `path`, whose folder is made. Only its holder may remove it.
pub fn lock(path: &Path) -> Result<Locked> {
    make_folder(path.parent().unwrap_or(Path::new(".")))?;
    loop {
        let opened = File::options().create(true).append(true).open(path);
        let file = opened.map_err(|error| failure("open", path, &error))?;
        file.lock().map_err(|error| failure("lock", path, &error))?;
        // Whoever held it may have removed it meanwhile, and somebody else made it anew.
        let (ours, there) = (file.metadata(), fs::metadata(path));
        if let (Ok(ours), Ok(there)) = (ours, there)
            && (ours.dev(), ours.ino()) == (there.dev(), there.ino())
        {
            return Ok(Locked(file));
        }
    }
}

/// The bytes of a file; `None` where there is none.
pub fn read(path: &Path) -> Result<Option<Vec<u8>>> {
    match fs::read(path) {
        Ok(bytes) => Ok(Some(bytes)),
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(None),
        Err(error) => Err(failure("read", path, &error)),
    }
}

/// Removes a file, not yet durably; whether there was one.
pub fn remove(path: &Path) -> Result<bool> {
    match fs::remove_file(path) {
        Ok(()) => Ok(true),
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(false),
        Err(error) => Err(failure("delete", path, &error)),
    }
}

/// The path that an absolute path or a `file:///` URL means; `None` where `url` is neither.
pub fn path_of(url: &str) -> Option<PathBuf> {
    if url.starts_with('/') {
        return Some(PathBuf::from(url));
    }
    let parsed = Some(url).filter(|url| url.starts_with("file:///")).and_then(|url| Url::parse(url).ok());
    parsed.and_then(|url| url.to_file_path().ok())
}

/// Makes a rename or a removal in `path`'s folder durable.
pub fn sync_folder(path: &Path) -> Result<()> {
    let folder = path.parent().unwrap_or(Path::new("."));
    File::open(folder)
        .and_then(|open| open.sync_all())
        .map_err(|error| failure("sync the folder", folder, &error))
}

/// A name beside `path` that no other writer uses, be it on another machine with the same folder.
fn temp_name(path: &Path) -> PathBuf {
    let name = path.file_name().unwrap_or_default().to_string_lossy();
    let short: String = name.chars().take(100).collect();
    path.with_file_name(format!(".{short}.{:016x}.{TEMP}", unique()))
}

/// Removes the unfinished files in `folder` that were last changed before `before`: nobody writes them any more. Not
/// durably, and those that cannot be removed stay.
pub fn sweep(folder: &Path, before: Millis) -> Result<()> {
    let entries = match fs::read_dir(folder) {
        Ok(entries) => entries,
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(()),
        Err(error) => return Err(failure("list", folder, &error)),
    };
    for entry in entries.flatten() {
        let changed = entry.metadata().and_then(|about| about.modified()).ok();
        let age = changed.and_then(|at| at.duration_since(UNIX_EPOCH).ok());
        let is_old = age.is_some_and(|age| i128::from(before) > age.as_millis() as i128);
        if is_old && entry.path().extension().is_some_and(|ending| ending == TEMP) {
            let _ = fs::remove_file(entry.path());
        }
    }
    Ok(())
}

/// Every finished file below `folder`; none where it does not exist.
pub fn files_below(folder: &Path) -> Result<Vec<PathBuf>> {
    let entries = match fs::read_dir(folder) {
        Ok(entries) => entries,
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(Vec::new()),
        Err(error) => return Err(failure("list", folder, &error)),
    };
    let mut files = Vec::new();
    for entry in entries {
        let path = entry.map_err(|error| failure("list", folder, &error))?.path();
        if path.is_dir() {
            files.extend(files_below(&path)?);
        } else if path.extension().is_none_or(|ending| ending != TEMP) {
            files.push(path);
        }
    }
    Ok(files)
}

/// Runs `work` off the async threads.
pub async fn blocking<T: Send + 'static>(work: impl FnOnce() -> Result<T> + Send + 'static) -> Result<T> {
    tokio::task::spawn_blocking(work).await.map_err(|_| Error::internal("a disk operation panicked"))?
}
