//! The command line. Definitions only: what the words mean, not what they do.

use std::path::PathBuf;

use clap::{Args, Parser, Subcommand, ValueEnum};

use crate::config::{QUEUE_TYPES, UNKNOWN_EVENTS};
use crate::core::message::Direction;
use crate::core::settings::{BridgeId, OriginUuid, UnknownEvents};
use crate::core::topology::QueueKind;
use crate::core::version::Version;

mod apply;
mod audit;
mod changelog;
mod compare;
mod doctor;
mod plan;
mod quarantine;
mod record;
mod replay;
mod rollback;
mod site;
mod verify;

pub use apply::Apply;
pub use audit::{Audit, AuditFailOn, AuditReport, Explain};
pub use changelog::{Changelog, Report};
pub use compare::Compare;
pub use doctor::{Doctor, FailOn};
pub use plan::{Plan, Side as PlanSide};
pub use quarantine::{Quarantine, Select};
pub use record::{ListenTo, Record, Tap};
pub use replay::Replay;
pub use rollback::Rollback;
pub use site::{SiteFrom, Sources};
pub use verify::Verify;

/// Compatibility bridge for the XiVO/Wazo message bus: scripts written for the exchange `xivo-cti` keep
/// working on a platform that publishes on `xivo`.
#[derive(Debug, Parser)]
#[command(
    name = "cti-bridge",
    version,
    propagate_version = true,
    after_help = "Examples:
  cti-bridge run --origin-uuid ca7f87e9-c2c8-5fad-ba1b-c3140ebb9be3
  echo '{\"name\": \"call_form_result\", \"data\": {\"user_id\": 40}}' | cti-bridge translate --to modern
  cti-bridge rules show call_created

Exit codes: 0 done, 1 findings, 2 changes pending, 3 partly done, 64 usage, 65 bad input, 66 no such input, \
69 unreachable, 70 bug, 75 gave up waiting, 77 access refused, 78 configuration, mapping file or topology invalid."
)]
pub struct Cli {
    /// What to do.
    #[command(subcommand)]
    pub command: Command,
}

/// The commands.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Republish events both ways until SIGTERM or SIGINT
    Run(Box<Run>),
    /// Translate events from files or standard input, without a broker
    Translate(Translate),
    /// Look at the mapping rules and check them
    #[command(subcommand)]
    Rules(Rules),
    /// Tell what was added, changed, deprecated and deleted between two releases of the platform
    Changelog(Changelog),
    /// Check whether the bridge can do its work here, before anything is changed
    Doctor(Box<Doctor>),
    /// Prove that a running bridge does what its rules say
    Verify(Box<Verify>),
    /// Look at what could not be translated, try it again, or remove it
    #[command(subcommand)]
    Quarantine(Quarantine),
    /// Plan what it takes to move a site, and what becomes of each client
    Plan(Box<Plan>),
    /// Carry out a saved plan, step by step
    Apply(Apply),
    /// Undo what `apply` did
    Rollback(Rollback),
    /// Record what an exchange is given, as JSON lines
    Record(Box<Record>),
    /// Publish a recording again
    Replay(Box<Replay>),
    /// Hold two recordings against each other: what is missing, extra, changed, reordered
    Compare(Compare),
    /// Watch events go by
    Tap(Box<Tap>),
    /// Tell what will become of every client of a site in an upgrade
    Audit(Box<Audit>),
    /// Explain a finding of the audit
    Explain(Explain),
}

/// Where the rules come from.
#[derive(Debug, Args, Default, Clone)]
pub struct RulesFrom {
    /// Also read the mapping files in this directory; their rules replace built-in ones of the same name
    #[arg(long, value_name = "DIR", env = "CTI_BRIDGE_MAPPINGS", value_delimiter = ':')]
    pub mappings: Vec<PathBuf>,
    /// Leave the built-in mapping files out
    #[arg(long)]
    pub no_builtin_mappings: bool,
}

/// Which broker, and the settings of the daemon that runs there.
#[derive(Debug, Args, Default, Clone)]
pub struct BrokerFrom {
    /// The broker, as amqp://user@host:5672/vhost, the nodes of a cluster as amqp://user@host1,host2/vhost
    /// [default: guest on localhost]
    #[arg(long, value_name = "URL", env = "CTI_BRIDGE_AMQP_URL", hide_env_values = true)]
    pub amqp_url: Option<String>,
    /// Trust the authorities in this PEM file too when speaking TLS (amqps://)
    #[arg(long, value_name = "FILE", env = "CTI_BRIDGE_CA_FILE")]
    pub ca_file: Option<PathBuf>,
    /// Show this certificate to the broker; without a password it is the login (EXTERNAL)
    #[arg(long, value_name = "FILE", env = "CTI_BRIDGE_CLIENT_CERTIFICATE_FILE")]
    pub client_certificate_file: Option<PathBuf>,
    /// Its private key, if that is in another file
    #[arg(
        long,
        value_name = "FILE",
        env = "CTI_BRIDGE_CLIENT_KEY_FILE",
        requires = "client_certificate_file"
    )]
    pub client_key_file: Option<PathBuf>,
    /// Read this file instead of /etc/cti-bridge
    #[arg(long, value_name = "FILE", env = "CTI_BRIDGE_CONFIG")]
    pub config: Option<PathBuf>,
}

/// Everything that a message is translated by, as the daemon does it.
#[derive(Debug, Args, Default, Clone)]
pub struct DaemonFrom {
    /// Which broker.
    #[command(flatten)]
    pub broker: BrokerFrom,
    /// The uuid of this server, written into events that have none; XIVO_UUID works too
    #[arg(long, value_name = "UUID", env = "CTI_BRIDGE_ORIGIN_UUID", value_parser = origin_uuid)]
    pub origin_uuid: Option<OriginUuid>,
    /// Also listen for these events on the legacy side: NAME[,NAME…], may be repeated; `all` for every event; `none` for not
    /// even the default ones, where scripts only listen
    #[arg(long, value_name = "NAME", env = "CTI_BRIDGE_LEGACY_EVENTS", value_delimiter = ',')]
    pub legacy_event: Vec<String>,
    /// The version of the platform [default: 19.05]
    #[arg(long, value_name = "VERSION", env = "CTI_BRIDGE_MODERN_VERSION")]
    pub modern_version: Option<Version>,
    /// What becomes of modern events without a rule [default: pass]
    #[arg(long, value_name = "pass|quarantine|drop", env = "CTI_BRIDGE_UNKNOWN_EVENTS", value_parser = unknown_events)]
    pub unknown_events: Option<UnknownEvents>,
    /// The id in the mark that keeps events from coming back [default: the origin uuid]
    #[arg(long, value_name = "ID", env = "CTI_BRIDGE_BRIDGE_ID", value_parser = bridge_id)]
    pub bridge_id: Option<BridgeId>,
    /// Publish with delivery mode 2
    #[arg(long)]
    pub persistent: bool,
    /// Where the rules come from.
    #[command(flatten)]
    pub rules: RulesFrom,
}

/// `cti-bridge run`.
#[derive(Debug, Args)]
#[command(
    after_help = "Settings come from /etc/cti-bridge/config.yml, then /etc/cti-bridge/conf.d/*.yml, then the \
environment, then these options. A password belongs in a file (`bus: {password_file: …}`), the environment \
variable CTI_BRIDGE_AMQP_URL or the systemd credential `amqp-password`, never on the command line."
)]
pub struct Run {
    /// What a message is translated by.
    #[command(flatten)]
    pub daemon: DaemonFrom,
    /// Deliveries in flight per direction [default: 256]
    #[arg(long, value_name = "N", env = "CTI_BRIDGE_PREFETCH_COUNT", value_parser = clap::value_parser!(u16).range(1..))]
    pub prefetch_count: Option<u16>,
    /// Which part of the modern events this instance takes, where `split` in the configuration makes several
    #[arg(long, value_name = "N", env = "CTI_BRIDGE_PART", value_parser = clap::value_parser!(u8).range(1..))]
    pub part: Option<u8>,
    /// The type of the bridge's own queues [default: quorum]
    #[arg(long, value_name = "quorum|classic", env = "CTI_BRIDGE_QUEUE_TYPE", value_parser = queue_kind)]
    pub queue_type: Option<QueueKind>,
    /// Seconds between status lines, 0 for none [default: 60]
    #[arg(long, value_name = "SECONDS", env = "CTI_BRIDGE_STATUS_INTERVAL")]
    pub status_interval: Option<u64>,
    /// How log lines are written
    #[arg(long, value_name = "FORMAT", value_enum, default_value_t, env = "CTI_BRIDGE_LOG_FORMAT")]
    pub log_format: LogFormat,
    /// Which log lines are written
    #[arg(long, value_name = "LEVEL", value_enum, default_value_t, env = "CTI_BRIDGE_LOG_LEVEL")]
    pub log_level: LogLevel,
}

/// `cti-bridge translate`.
#[derive(Debug, Args)]
#[command(
    after_help = "Each line of input is an event, or an object with the event under `body` and, as they apply, \
`exchange`, `routing_key` and `properties`. Each line of output is such an object; what was written can be read \
again. A line that cannot be translated is told on standard error with its number, and the exit code is 1."
)]
pub struct Translate {
    /// The form to translate to
    #[arg(long, value_name = "FORM", value_enum)]
    pub to: Form,
    /// Write the event alone, without routing key and properties
    #[arg(long)]
    pub bare: bool,
    /// The `origin_uuid` of events that have none
    #[arg(long, value_name = "UUID", env = "CTI_BRIDGE_ORIGIN_UUID", value_parser = origin_uuid,
          default_value = "00000000-0000-0000-0000-000000000000")]
    pub origin_uuid: OriginUuid,
    /// The version of the platform
    #[arg(long, value_name = "VERSION", env = "CTI_BRIDGE_MODERN_VERSION", default_value = "19.05")]
    pub modern_version: Version,
    /// What becomes of modern events without a rule
    #[arg(long, value_name = "pass|quarantine|drop", default_value = "pass", value_parser = unknown_events)]
    pub unknown_events: UnknownEvents,
    /// Where the rules come from.
    #[command(flatten)]
    pub rules: RulesFrom,
    /// Files of JSON lines; `-` or none for standard input
    #[arg(value_name = "FILE")]
    pub files: Vec<PathBuf>,
}

/// `cti-bridge rules`.
#[derive(Debug, Subcommand)]
pub enum Rules {
    /// Check mapping files and the examples in them
    Check {
        /// The directory to check, by itself; without it, the built-in files
        dir: Option<PathBuf>,
        /// How the result is written
        #[arg(long, value_enum, default_value_t)]
        output: Output,
    },
    /// List the events of all rules
    List {
        /// Where the rules come from.
        #[command(flatten)]
        rules: RulesFrom,
        /// How the result is written
        #[arg(long, value_enum, default_value_t)]
        output: Output,
    },
    /// Explain one event: both faces, versions, ACL, and where documents and wire differ
    Show {
        /// The event's name, such as `call_created`
        event: String,
        /// Where the rules come from.
        #[command(flatten)]
        rules: RulesFrom,
        /// How the result is written
        #[arg(long, value_enum, default_value_t)]
        output: Output,
    },
}

/// One of the two forms of an event.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Form {
    /// Two keys, direct exchange `xivo-cti`
    Legacy,
    /// Four keys, topic exchange `xivo`
    Modern,
}

impl Form {
    /// The way to this form.
    #[must_use]
    pub const fn direction(self) -> Direction {
        match self {
            Self::Legacy => Direction::ToLegacy,
            Self::Modern => Direction::ToModern,
        }
    }
}

/// How a result is written to standard output.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, ValueEnum)]
pub enum Output {
    /// For people
    #[default]
    Text,
    /// One JSON document, for scripts
    Json,
}

/// How log lines are written to standard error.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, ValueEnum)]
pub enum LogFormat {
    /// For people; in colours on a terminal
    #[default]
    Text,
    /// One JSON object per line
    Json,
}

/// The least severe log lines that are written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, ValueEnum)]
pub enum LogLevel {
    /// What stops the bridge
    Error,
    /// And what an operator should look at
    Warn,
    /// And changes of state, and the regular status
    #[default]
    Info,
    /// And each refused message
    Debug,
    /// Everything
    Trace,
}

fn origin_uuid(text: &str) -> Result<OriginUuid, String> {
    OriginUuid::parse(text)
        .ok_or_else(|| "expected a uuid, such as ca7f87e9-c2c8-5fad-ba1b-c3140ebb9be3".into())
}

fn bridge_id(text: &str) -> Result<BridgeId, String> {
    BridgeId::parse(text).ok_or_else(|| "expected 1 to 64 letters, digits, `-`, `_` or `.`".into())
}

fn unknown_events(text: &str) -> Result<UnknownEvents, String> {
    word(text, &UNKNOWN_EVENTS)
}

fn queue_kind(text: &str) -> Result<QueueKind, String> {
    word(text, &QUEUE_TYPES)
}

fn word<T: Copy>(text: &str, choices: &[(&str, T)]) -> Result<T, String> {
    choices.iter().find(|(word, _)| *word == text).map(|(_, choice)| *choice).ok_or_else(|| {
        let words: Vec<&str> = choices.iter().map(|(word, _)| *word).collect();
        format!("expected one of {}", words.join(", "))
    })
}
