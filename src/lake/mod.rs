//! The lake: Parquet objects under a URL, on local disk or any S3.

mod adapter;
mod bronze;
mod cells;
mod encoding;
mod naming;
mod rows;
mod silver;

pub use adapter::LakeAdapter;
pub use bronze::BronzeWriter;
pub use encoding::{Codec, Encoding, decode, encode};
pub use naming::{Object, cell, period};
pub use silver::{Compaction, SilverWriter};
