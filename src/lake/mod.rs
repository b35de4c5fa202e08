//! The lake: Parquet objects under a URL, on local disk or any S3.

mod bronze;
mod encoding;
mod file;
mod naming;
mod object;
mod s3;

pub use bronze::BronzeWriter;
pub use encoding::{Codec, Encoding, decode, encode};
pub use s3::S3Settings;
