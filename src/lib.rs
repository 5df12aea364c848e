//! Compatibility bridge for the XiVO/Wazo message bus.
//!
//! A tour: [`core`] decides everything and does no I/O. Its heart is [`core::translate`], which turns a
//! message into what is to be published, by the rules that [`core::mapping_file`] reads and
//! [`core::catalog`] finds. [`amqp`] moves messages and decides nothing; [`management`] asks a broker what is there. [`commands`] put the two together,
//! one file for each command of [`cli`].

pub mod amqp;
pub mod cli;
pub mod commands;
pub mod config;
pub mod core;
pub mod exit_code;
pub mod management;
pub mod render;
pub mod scan;
