//! Client programs and what is found in them.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod forms;
mod golden;
mod hostile;
mod shown;
mod walk;
