//! The rules under test: the built-in ones, and two that use all that a rule may say.

use std::sync::LazyLock;

use cti_bridge::commands::mappings;
use cti_bridge::core::translate::Translator;

use super::translator;
pub use super::translator::{BRIDGE, MODERN_EXCHANGE, ORIGIN};

pub const LEGACY_EXCHANGES: [&str; 3] = ["xivo-cti", "xivo-ami", "xivo-status-updates"];

/// The translator at 19.05.
pub static TRANSLATOR: LazyLock<Translator> = LazyLock::new(|| {
    let mut mappings = mappings::load(true, &[]).unwrap();
    mappings.layers.push(translator::made_up());
    translator::translator(&mappings)
});
