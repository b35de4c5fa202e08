//! The lake: Parquet objects under a URL, on local disk or any S3.

mod bronze;
mod encoding;
mod naming;

pub use bronze::BronzeWriter;
pub use encoding::{Codec, Encoding, decode, encode};
