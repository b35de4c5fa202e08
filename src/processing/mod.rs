//! What is made of rows: coarser bars ([`resample`]), one series of several sources ([`merge`]), open interest in another
//! unit ([`convert_open_interest`]), and one name of a market whatever a venue calls it ([`Symbol`]). Pure: rows in, rows
//! out, and what could not be made is said beside it, never invented.

mod merge;
mod resample;
mod rows;
mod symbols;
mod units;
mod venues;

pub use merge::{Merged, merge};
pub use resample::{Incomplete, Resampled, check_nesting, resample};
pub use rows::latest;
pub use symbols::{Kind, Symbol};
pub use units::{Contract, Conversion, Converted, OpenInterestUnit, Price, convert_open_interest};
pub use venues::{Hints, Venue};
