//! `cti-bridge plan`.

use std::path::PathBuf;

use clap::{Args, ValueEnum};

use super::{DaemonFrom, Output, Sources, queue_kind};
use crate::core::topology::QueueKind;

/// `cti-bridge plan`.
#[derive(Debug, Args)]
#[command(
    after_help = "Nothing is written to the broker. What the daemon will be run with (`--legacy-event`, `--queue-type`, a \
configuration file) belongs here as well, so that both mean the same.

Examples:
  cti-bridge plan --out site.plan
  cti-bridge plan --definitions definitions.json --native
  cti-bridge plan --rebind wallboard --out site.plan && cti-bridge apply site.plan

Exit codes: 0 planned, 1 something needed cannot be done, 2 changes are pending (with --detailed-exit-codes), \
78 a message would go round, or come twice."
)]
pub struct Plan {
    /// No daemon: bindings between exchanges for the events that need no translation, and nothing for the others
    #[arg(long)]
    pub native: bool,
    /// Bind this named client queue to the modern exchange and take it off the legacy ones; may be repeated
    #[arg(long, value_name = "QUEUE")]
    pub rebind: Vec<String>,
    /// Save the plan to this file, for `apply`
    #[arg(long, value_name = "FILE")]
    pub out: Option<PathBuf>,
    /// Exit with 2 where changes are pending
    #[arg(long)]
    pub detailed_exit_codes: bool,
    /// Which side of the bridge to plan, where the two have different brokers or virtual hosts
    #[arg(long, value_name = "SIDE", value_enum)]
    pub side: Option<Side>,
    /// The type of the bridge's own queues [default: quorum]
    #[arg(long, value_name = "quorum|classic", env = "CTI_BRIDGE_QUEUE_TYPE", value_parser = queue_kind)]
    pub queue_type: Option<QueueKind>,
    /// What the daemon translates by.
    #[command(flatten)]
    pub daemon: DaemonFrom,
    /// How the result is written
    #[arg(long, value_enum, default_value_t)]
    pub output: Output,
    /// What to look at.
    #[command(flatten)]
    pub sources: Sources,
}

/// One side of the bridge.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Side {
    /// Where the legacy exchanges are
    Legacy,
    /// Where the modern exchange is
    Modern,
}
