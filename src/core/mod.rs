//! The core: plain values in, plain values out. No I/O, no async, no clock, no logging.

pub mod catalog;
pub mod changelog;
pub mod changelog_file;
pub mod compare;
pub mod diagnostic;
pub mod envelope;
pub mod examples;
pub mod finding;
pub mod history;
pub mod intake;
pub mod mapping_file;
pub mod message;
pub mod pattern;
pub mod probe;
pub mod program;
pub mod quarantined;
pub mod reader;
pub mod recording;
pub mod rule;
pub mod settings;
pub mod site;
pub mod template;
pub mod topology;
pub mod translate;
pub mod version;
pub mod yaml;
