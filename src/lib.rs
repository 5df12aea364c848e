//! Compatibility bridge for the XiVO/Wazo message bus.
//!
//! A tour: [`core`] decides everything and does no I/O. Its heart is [`core::translate`], which turns a
//! message into what is to be published, by the rules that [`core::mapping_file`] reads and
//! [`core::catalog`] finds. [`core::audit`], [`core::plan`] and [`core::verify`] hold a site against the same rules.
//! [`amqp`] moves messages and decides nothing, [`management`] asks a broker what is there, [`scan`] reads client
//! programs. [`commands`] put them together, one file for each command of [`cli`], and [`render`] writes what they say.

pub mod amqp;
pub mod cli;
pub mod commands;
pub mod config;
pub mod core;
pub mod exit_code;
pub mod management;
pub mod render;
pub mod scan;
