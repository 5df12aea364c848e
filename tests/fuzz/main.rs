//! Hostile input: whatever goes in, nothing panics, nothing hangs, and nothing gets out of the shape of its rule.
//!
//! `scripts/fuzz` runs the same for as long as one likes.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod attack;
mod corpus;
mod mutator;
mod oracle;
mod random;
mod runner;
mod shape;
mod targets;
#[path = "../translator/mod.rs"]
mod translator;
mod world;

#[test]
fn bodies() {
    runner::run(&targets::BODIES);
}

#[test]
fn properties() {
    runner::run(&targets::PROPERTIES);
}

#[test]
fn mappings() {
    runner::run(&targets::MAPPINGS);
}

#[test]
fn templates() {
    runner::run(&targets::TEMPLATES);
}

#[test]
fn configuration() {
    runner::run(&targets::CONFIGURATION);
}

#[test]
fn files() {
    runner::run(&targets::FILES);
}

#[test]
fn compare() {
    runner::run(&targets::COMPARE);
}

#[test]
fn oracle() {
    oracle::run();
}
