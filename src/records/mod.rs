//! One Arrow schema per data type, with the unit and the source's own field of each column as field
//! metadata, and [`Batch`]: rows of one series in time order. A missing value is null.

mod batch;
mod quarantined;
mod schema;

pub use batch::{Batch, same_row};
pub use quarantined::{Quarantined, Reason};
pub use schema::{TS, schema};
