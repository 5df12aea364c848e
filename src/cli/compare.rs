//! `cti-bridge compare`.

use std::path::PathBuf;

use clap::Args;

use super::{Form, Output, RulesFrom, origin_uuid};
use crate::core::compare::FieldPath;
use crate::core::settings::OriginUuid;
use crate::core::version::Version;

/// `cti-bridge compare`.
#[derive(Debug, Args)]
#[command(
    after_help = "Compared are routing key and body; neither the order of keys nor white space matters, and 1 and 1.0 \
differ, as they do for the programs that read them. Exit code 1 if there is any difference.

Examples:
  cti-bridge compare before.jsonl after.jsonl --ignore data.timestamp
  cti-bridge compare xivo.jsonl xivo-cti.jsonl --translate legacy
  cti-bridge compare monday.jsonl tuesday.jsonl --ignore-order --output json"
)]
pub struct Compare {
    /// The recording of before
    #[arg(value_name = "BEFORE")]
    pub before: PathBuf,
    /// The recording of after
    #[arg(value_name = "AFTER")]
    pub after: PathBuf,
    /// Translate BEFORE to this form first, by the rules of the bridge
    #[arg(long, value_name = "FORM", value_enum)]
    pub translate: Option<Form>,
    /// Let this field differ: a path in the body such as `data.timestamp` or `data.lines[*].id`, or `routing_key` or
    /// `properties.…`; may be repeated
    #[arg(long, value_name = "PATH", value_parser = field_path)]
    pub ignore: Vec<FieldPath>,
    /// Let messages come in any order
    #[arg(long)]
    pub ignore_order: bool,
    /// Compare properties and headers, too, all but the bridge's mark and the user id
    #[arg(long)]
    pub properties: bool,
    /// Show so many differences of each kind, 0 for all; the JSON document always has all
    #[arg(long, value_name = "N", default_value_t = 20)]
    pub show: usize,
    /// How the result is written
    #[arg(long, value_enum, default_value_t)]
    pub output: Output,
    /// With --translate: the `origin_uuid` of events that have none
    #[arg(long, value_name = "UUID", env = "CTI_BRIDGE_ORIGIN_UUID", value_parser = origin_uuid,
          default_value = "00000000-0000-0000-0000-000000000000")]
    pub origin_uuid: OriginUuid,
    /// With --translate: the version of the platform
    #[arg(long, value_name = "VERSION", env = "CTI_BRIDGE_MODERN_VERSION", default_value = "19.05")]
    pub modern_version: Version,
    /// Where the rules come from.
    #[command(flatten)]
    pub rules: RulesFrom,
}

fn field_path(text: &str) -> Result<FieldPath, String> {
    FieldPath::parse(text).ok_or_else(|| "expected a path such as `data.lines[*].id`".into())
}
