//! The lake: Parquet objects under a URL, on local disk or any S3.

mod adapter;
mod bronze;
mod cells;
mod encoding;
mod inspect;
mod naming;
mod reports;
mod rows;
mod silver;

pub use adapter::LakeAdapter;
pub use bronze::BronzeWriter;
pub use encoding::{Codec, Encoding, decode, encode};
pub use inspect::period;
pub use naming::{Object, cell};
pub use reports::Reports;
pub use silver::{Compaction, SilverWriter};
