//! The core: plain values in, plain values out. No I/O, no async, no clock, no logging.

pub mod message;
pub mod topology;
pub mod translate;
pub mod version;
