//! One integration binary: what needs files, sockets or several processes.

mod checkpoint_conformance;
mod coinalyze;
mod local_checkpoints;
mod pipeline;
mod scripted;
