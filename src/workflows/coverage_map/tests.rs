//! What holds of every map.
