//! `cti-bridge replay`.

use std::path::PathBuf;

use clap::{ArgGroup, Args};

use super::record::glob;
use super::{BrokerFrom, Form, Output, RulesFrom, origin_uuid};
use crate::core::glob::Glob;
use crate::core::settings::OriginUuid;
use crate::core::version::Version;

/// `cti-bridge replay`.
#[derive(Debug, Args)]
#[command(
    group(ArgGroup::new("pace").args(["speed", "rate", "no_wait"])),
    after_help = "The whole recording is checked before the first message is published. Every message is confirmed by the broker, \
with a bounded number under way; an interrupted replay goes on with --resume where the confirms ended, and the few \
that were under way may come twice.

Messages are published as they were recorded, but for the user id, which the broker would refuse, and the mark of \
bridges, for which a bridge would pass them over.

Examples:
  cti-bridge replay monday.jsonl --dry-run
  cti-bridge replay monday.jsonl --to lab --speed 10
  cti-bridge replay monday.jsonl --only 'call_*' --translate legacy --to xivo-cti --approve"
)]
pub struct Replay {
    /// The recording
    #[arg(value_name = "FILE")]
    pub file: PathBuf,
    /// So many times as fast as recorded [default: 1]
    #[arg(long, value_name = "FACTOR", value_parser = positive)]
    pub speed: Option<f64>,
    /// So many messages per second
    #[arg(long, value_name = "N", value_parser = rate)]
    pub rate: Option<f64>,
    /// As fast as the broker confirms
    #[arg(long)]
    pub no_wait: bool,
    /// These events only: a name, with `*` for any text; may be repeated
    #[arg(long, value_name = "GLOB", value_parser = glob)]
    pub only: Vec<Glob>,
    /// Publish on this exchange instead of the recorded one
    #[arg(long, value_name = "EXCHANGE")]
    pub to: Option<String>,
    /// Publish with this routing key instead of the recorded one
    #[arg(long, value_name = "KEY")]
    pub key: Option<String>,
    /// Publish what the bridge would make of the messages
    #[arg(long, value_name = "FORM", value_enum)]
    pub translate: Option<Form>,
    /// Say what would be published, without a broker
    #[arg(long)]
    pub dry_run: bool,
    /// Go on where an interrupted replay ended
    #[arg(long)]
    pub resume: bool,
    /// Publish on an exchange that is at work: one of the bus's own, or the nameless one
    #[arg(long)]
    pub approve: bool,
    /// Leave the mark of bridges on the messages; these bridges pass them over then
    #[arg(long)]
    pub keep_mark: bool,
    /// How the result is written
    #[arg(long, value_enum, default_value_t)]
    pub output: Output,
    /// With --translate modern: the `origin_uuid` of events that have none [default: the configured one]
    #[arg(long, value_name = "UUID", env = "CTI_BRIDGE_ORIGIN_UUID", value_parser = origin_uuid)]
    pub origin_uuid: Option<OriginUuid>,
    /// With --translate: the version of the platform [default: the configured one, or 19.05]
    #[arg(long, value_name = "VERSION", env = "CTI_BRIDGE_MODERN_VERSION")]
    pub modern_version: Option<Version>,
    /// Which broker.
    #[command(flatten)]
    pub broker: BrokerFrom,
    /// Where the rules come from.
    #[command(flatten)]
    pub rules: RulesFrom,
}

fn positive(text: &str) -> Result<f64, String> {
    let number = text.parse().ok().filter(|number: &f64| number.is_finite() && *number > 0.0);
    number.ok_or_else(|| "expected a number above 0".into())
}

fn rate(text: &str) -> Result<f64, String> {
    positive(text.strip_suffix("/s").unwrap_or(text))
}
