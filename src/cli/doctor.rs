//! `cti-bridge doctor`.

use clap::{Args, ValueEnum};

use super::{DaemonFrom, Output, Sources};

/// `cti-bridge doctor`.
#[derive(Debug, Args)]
#[command(
    after_help = "Nothing on the broker is made or changed. AMQP tells which exchanges and queues are there. Types, \
traffic, alarms and permissions come from the management API or from files; without these they are unknown.

Examples:
  cti-bridge doctor
  rabbitmqctl list_exchanges name type durable auto_delete internal arguments --formatter json |
    cti-bridge doctor --rabbitmqctl -
  cti-bridge doctor --offline --site before-the-upgrade.json

Exit code 1 where a check failed, 69 where the broker cannot be reached, 77 where it refuses the account."
)]
pub struct Doctor {
    /// What the daemon would be.
    #[command(flatten)]
    pub daemon: DaemonFrom,
    /// What to look at besides AMQP.
    #[command(flatten)]
    pub sources: Sources,
    /// Connect to no broker: look at files alone
    #[arg(long)]
    pub offline: bool,
    /// The least that makes the exit code 1
    #[arg(long, value_name = "STATE", value_enum, default_value_t)]
    pub fail_on: FailOn,
    /// How the result is written
    #[arg(long, value_enum, default_value_t)]
    pub output: Output,
}

/// The least that makes a check count as failed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, ValueEnum)]
pub enum FailOn {
    /// Somebody should look at it
    Warn,
    /// The bridge cannot work
    #[default]
    Fail,
}
