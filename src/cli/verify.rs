//! `cti-bridge verify`.

use std::path::PathBuf;

use clap::Args;

use super::{DaemonFrom, Output, Sources};

/// `cti-bridge verify`.
#[derive(Debug, Args)]
#[command(after_help = "\
The probes are the examples in the mapping files, so an event with an example is an event that is verified. They go \
straight to the bridge's own queues and the answers straight back; a handful goes over the exchanges to prove the way. \
A probe is an event called `cti-bridge-probe` that nobody has the ACL for: no client sees a call that never was.

AMQP shows no bindings, and a probe under the key of a real event would reach real clients. Where the management API is \
named, or a list of `rabbitmqctl`, bindings and foreign consumers are verified too; else they are told as not proven.

Examples:
  cti-bridge verify
  cti-bridge verify --management-url http://localhost:15672 --strict --junit verify.xml
  rabbitmqctl list_bindings --formatter json >bindings.json; cti-bridge verify --rabbitmqctl bindings.json

Exit codes: 0 all is as it should be, 1 something is not, 75 the bridge was waited for in vain; 78 the examples do not \
hold even without a broker, or the configuration switches probes off.")]
pub struct Verify {
    /// What the running bridge translates by.
    #[command(flatten)]
    pub daemon: DaemonFrom,
    /// Where to see bindings and consumers.
    #[command(flatten)]
    pub sources: Sources,
    /// Which instance to ask, where `split` in the configuration makes several [default: 1]
    #[arg(long, value_name = "N", env = "CTI_BRIDGE_PART", value_parser = clap::value_parser!(u8).range(1..))]
    pub part: Option<u8>,
    /// Fail also where something could not be proven
    #[arg(long)]
    pub strict: bool,
    /// How long to wait for the bridge, and for each next answer, in seconds
    #[arg(long, value_name = "SECONDS", default_value_t = 30, value_parser = clap::value_parser!(u64).range(1..=86_400))]
    pub patience: u64,
    /// Also write a JUnit report to this file
    #[arg(long, value_name = "FILE")]
    pub junit: Option<PathBuf>,
    /// How the result is written
    #[arg(long, value_enum, default_value_t)]
    pub output: Output,
}
