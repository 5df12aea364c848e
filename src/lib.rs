//! cti-bridge.

pub mod core;
