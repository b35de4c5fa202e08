//! One integration binary: what needs files, sockets or several processes.

#![allow(clippy::unwrap_used, reason = "a failed step is a failed test")]

mod archive;
mod binance;
mod checkpoint_conformance;
mod coinalyze;
mod local_checkpoints;
mod pipeline;
mod postgres;
mod quota_outage;
mod quota_simulation;
mod repair;
mod scripted;
mod servers;
