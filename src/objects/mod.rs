//! Places for objects: a local folder, or a prefix of an S3 bucket.

mod bucket;
mod connect;
mod folder;

use async_trait::async_trait;
use bytes::Bytes;

pub use bucket::{Bucket, Condition};
pub use connect::S3Settings;
pub use folder::Folder;

use crate::error::Result;
use crate::time_range::Millis;

/// Objects by key. A put is atomic and durable when it returns.
#[async_trait]
pub trait Objects: Send + Sync {
    /// A one-line error where nothing can be written. Leaves nothing behind where it may `clean_up`.
    async fn probe(&self, clean_up: bool) -> Result<()>;
    /// Creates or replaces `key`.
    async fn put(&self, key: &str, body: Bytes) -> Result<()>;
    /// The object; `None` where it is absent.
    async fn get(&self, key: &str) -> Result<Option<Bytes>>;
    /// The object and what tells it from its other versions; `None` where it is absent.
    async fn get_tagged(&self, key: &str) -> Result<Option<(Bytes, String)>>;
    /// One attempt to create or replace `key` where `condition` holds; whether it did. After `Unavailable` nobody knows
    /// whether it landed.
    async fn replace_if(&self, key: &str, body: Bytes, condition: &Condition) -> Result<bool>;
    /// Every key that starts with `prefix` (ending in a slash).
    async fn list(&self, prefix: &str) -> Result<Vec<String>>;
    /// No error where `key` is absent.
    async fn delete(&self, key: &str) -> Result<()>;
    /// Removes what killed writers left unfinished beside the keys that start with `prefix` (ending in a slash), last
    /// changed before `before`.
    async fn sweep(&self, _prefix: &str, _before: Millis) -> Result<()> {
        Ok(())
    }
    /// The address of `key`.
    fn uri(&self, key: &str) -> String;
}
