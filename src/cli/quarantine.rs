//! `cti-bridge quarantine`.

use std::path::PathBuf;

use clap::{Args, Subcommand};
use jiff::SignedDuration;

use crate::core::diagnostic::did_you_mean;
use crate::core::message::Reason;
use crate::core::quarantined::{DELIVERY_LIMIT, INTERNAL_ERROR, OVERFLOW};

use super::{BrokerFrom, DaemonFrom, Output};

/// What to do with the messages in quarantine.
#[derive(Debug, Subcommand)]
pub enum Quarantine {
    /// List the messages, the oldest first
    List {
        /// Which ones.
        #[command(flatten)]
        select: Select,
        /// Show at most so many, 0 for all
        #[arg(long, value_name = "N", default_value_t = 100)]
        limit: usize,
        /// Which broker.
        #[command(flatten)]
        broker: BrokerFrom,
        /// How the result is written
        #[arg(long, value_enum, default_value_t)]
        output: Output,
    },
    /// Show messages whole: how they came, why they are there, and what today's rules would make of them
    Show {
        /// Which ones.
        #[command(flatten)]
        select: Select,
        /// Show at most so many, 0 for all
        #[arg(long, value_name = "N", default_value_t = 10)]
        limit: usize,
        /// What a message is translated by.
        #[command(flatten)]
        daemon: Box<DaemonFrom>,
        /// How the result is written
        #[arg(long, value_enum, default_value_t)]
        output: Output,
    },
    /// Translate messages by today's rules and publish what comes of it
    #[command(after_help = RETRY)]
    Retry {
        /// Which ones.
        #[command(flatten)]
        select: Select,
        /// Every message, where nothing else says which ones
        #[arg(long)]
        all: bool,
        /// Do it without asking
        #[arg(long)]
        approve: bool,
        /// What a message is translated by.
        #[command(flatten)]
        daemon: Box<DaemonFrom>,
        /// How the result is written
        #[arg(long, value_enum, default_value_t)]
        output: Output,
    },
    /// Write messages to a recording, as they came, and leave them where they are
    #[command(after_help = EXPORT)]
    Export {
        /// Which ones.
        #[command(flatten)]
        select: Select,
        /// The file to write, which must not be there yet; `-` for standard output
        #[arg(long, value_name = "FILE", default_value = "-")]
        out: PathBuf,
        /// Which broker.
        #[command(flatten)]
        broker: BrokerFrom,
    },
    /// Remove messages for good
    Drop {
        /// Which ones.
        #[command(flatten)]
        select: Select,
        /// Every message, where nothing else says which ones
        #[arg(long)]
        all: bool,
        /// Do it without asking
        #[arg(long)]
        approve: bool,
        /// Which broker.
        #[command(flatten)]
        broker: BrokerFrom,
        /// How the result is written
        #[arg(long, value_enum, default_value_t)]
        output: Output,
    },
}

const EXPORT: &str = "\
The file has the format of `record`: one message a line with its exchange, routing key, all properties and its body byte \
by byte, as it came to the bridge, and why it is in quarantine. `replay` publishes it, `compare` reads it.

Examples:
  cti-bridge quarantine export --out quarantine.jsonl
  cti-bridge quarantine export --reason bad_field | jq .quarantine";

const RETRY: &str = "\
A message leaves quarantine only after the broker has confirmed what came of it and a queue has it. What cannot be \
translated yet, or nobody listens for, stays. It is safe to interrupt: at most the message at hand comes twice. Events \
that are retried come behind the ones that were bridged meanwhile.";

/// Which messages; without any of these, all.
#[derive(Debug, Args, Default, Clone)]
pub struct Select {
    /// The ids of messages, as `list` shows them
    #[arg(value_name = "ID")]
    pub ids: Vec<String>,
    /// For this reason, such as `unknown_event`; may be repeated
    #[arg(long, value_name = "REASON", value_delimiter = ',', value_parser = reason)]
    pub reason: Vec<String>,
    /// Events of this name; may be repeated
    #[arg(long, value_name = "NAME", value_delimiter = ',')]
    pub event: Vec<String>,
    /// Refused by this rule, such as `call_{action}`; may be repeated
    #[arg(long, value_name = "RULE")]
    pub rule: Vec<String>,
    /// There for longer than this, such as `2h` or `30m`
    #[arg(long, value_name = "AGE", value_parser = age)]
    pub older_than: Option<SignedDuration>,
    /// There for no longer than this
    #[arg(long, value_name = "AGE", value_parser = age)]
    pub newer_than: Option<SignedDuration>,
}

/// Every reason that a message in quarantine can have.
fn reason(text: &str) -> Result<String, String> {
    let own = Reason::ALL.map(Reason::code);
    let known: Vec<&str> = own.into_iter().chain([INTERNAL_ERROR, DELIVERY_LIMIT, OVERFLOW]).collect();
    if known.contains(&text) {
        return Ok(text.to_owned());
    }
    Err(did_you_mean(text, known.iter().copied())
        .unwrap_or_else(|| format!("expected one of {}", known.join(", "))))
}

fn age(text: &str) -> Result<SignedDuration, String> {
    let age: Option<SignedDuration> = text.parse().ok();
    age.filter(|age| !age.is_negative())
        .ok_or_else(|| "expected an age such as `90s`, `30m`, `2h` or `48h`".into())
}
