//! Translation of one message, in both directions.

use super::message::{Outcome, Received};

/// Translates between the two forms at one pair of versions.
#[derive(Debug)]
pub struct Translator {}

impl Translator {
    /// What becomes of a message from the modern exchange.
    #[must_use]
    pub fn to_legacy<'t>(&'t self, _message: &Received<'_>) -> Outcome<'t> {
        Outcome::Dropped
    }

    /// What becomes of a message from a legacy exchange.
    #[must_use]
    pub fn to_modern<'t>(&'t self, _message: &Received<'_>) -> Outcome<'t> {
        Outcome::Dropped
    }
}
