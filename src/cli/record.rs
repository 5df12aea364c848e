//! `cti-bridge record` and `cti-bridge tap`: listening beside everybody else.

use std::path::PathBuf;
use std::time::Duration;

use clap::{ArgGroup, Args};

use super::{BrokerFrom, Output, RulesFrom};
use crate::core::glob::Glob;

/// Where to listen.
#[derive(Debug, Args, Default, Clone)]
pub struct ListenTo {
    /// An exchange and, behind a colon, a binding key [default: the platform's exchange]
    #[arg(value_name = "EXCHANGE[:KEY]")]
    pub target: Option<String>,
    /// The exchange, as an option
    #[arg(long, value_name = "NAME", conflicts_with = "target")]
    pub exchange: Option<String>,
    /// A binding key; may be repeated [default: everything, as far as the exchange knows wildcards]
    #[arg(long, value_name = "PATTERN")]
    pub key: Vec<String>,
    /// On a direct exchange, which knows no wildcards: every key that there is a rule for
    #[arg(long, conflicts_with = "key")]
    pub rules: bool,
}

/// `cti-bridge record`.
#[derive(Debug, Args)]
#[command(
    group(ArgGroup::new("place").args(["target", "exchange"]).conflicts_with("queue")),
    after_help = "Records copies: a queue of its own is bound to the exchange and goes with the connection, and nobody else misses \
anything. A lost connection is followed by another; the recording says when messages may be missing.

Each line of a recording is a message: exchange, routing key, all properties with their types, the body byte by byte, \
and when it was received. `replay` publishes it again, `compare` holds two against each other.

Examples:
  cti-bridge record --out monday.jsonl
  cti-bridge record xivo-cti --rules --out legacy.jsonl --for 10m
  cti-bridge record xivo:calls.# --limit 100 --out - | jq .body"
)]
pub struct Record {
    /// Where to listen.
    #[command(flatten)]
    pub from: ListenTo,
    /// Record what is in this queue instead. Its messages are taken away from there: needs --consume
    #[arg(long, value_name = "NAME", conflicts_with_all = ["key", "rules"])]
    pub queue: Option<String>,
    /// Take the messages of --queue away from whoever else consumes from it
    #[arg(long, requires = "queue")]
    pub consume: bool,
    /// The file to write; `-` for standard output
    #[arg(long, value_name = "FILE", default_value = "-")]
    pub out: PathBuf,
    /// Overwrite the file
    #[arg(long)]
    pub force: bool,
    /// End after so many messages
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u64).range(1..))]
    pub limit: Option<u64>,
    /// End after this time, such as 90s, 15m or 2h
    #[arg(long = "for", value_name = "DURATION", value_parser = duration)]
    pub period: Option<Duration>,
    /// End when the recording has this size, such as 500k, 20M or 2G
    #[arg(long, value_name = "BYTES", value_parser = size)]
    pub size: Option<u64>,
    /// Which broker.
    #[command(flatten)]
    pub broker: BrokerFrom,
    /// Where the rules come from.
    #[command(flatten)]
    pub mappings: RulesFrom,
}

/// `cti-bridge tap`.
#[derive(Debug, Args)]
#[command(after_help = "Nobody misses anything: the queue that listens is its own and goes with it.

Examples:
  cti-bridge tap
  cti-bridge tap --event 'call_*' --both
  cti-bridge tap xivo-cti:call_form_result --limit 1 --output json")]
pub struct Tap {
    /// Where to listen.
    #[command(flatten)]
    pub from: ListenTo,
    /// Show these events only: a name, with `*` for any text; may be repeated
    #[arg(long, value_name = "GLOB", value_parser = glob)]
    pub event: Vec<Glob>,
    /// Show what the other side sees of it by the rules, too
    #[arg(long)]
    pub both: bool,
    /// End after so many events
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u64).range(1..))]
    pub limit: Option<u64>,
    /// How events are written; `json` is one document per line
    #[arg(long, value_enum, default_value_t)]
    pub output: Output,
    /// Which broker.
    #[command(flatten)]
    pub broker: BrokerFrom,
    /// Where the rules come from.
    #[command(flatten)]
    pub mappings: RulesFrom,
}

pub(super) fn glob(text: &str) -> Result<Glob, String> {
    Ok(Glob::new(text))
}

/// A number and a unit; a number alone is seconds.
fn duration(text: &str) -> Result<Duration, String> {
    let bad = || "expected a time such as 500ms, 90s, 15m, 2h or 1d".to_owned();
    let (number, unit) = number_and_unit(text);
    let milliseconds = match unit {
        "ms" => 1.0,
        "" | "s" => 1000.0,
        "m" => 60_000.0,
        "h" => 3_600_000.0,
        "d" => 86_400_000.0,
        _ => return Err(bad()),
    };
    let number: f64 = number.parse().map_err(|_| bad())?;
    let duration = Duration::try_from_secs_f64(number * milliseconds / 1000.0).map_err(|_| bad())?;
    if duration.is_zero() { Err(bad()) } else { Ok(duration) }
}

/// A number and a unit; a number alone is bytes.
fn size(text: &str) -> Result<u64, String> {
    let bad = || "expected a size such as 500k, 20M or 2G".to_owned();
    let (number, unit) = number_and_unit(text);
    let factor = match unit {
        "" | "B" => 1,
        "k" | "K" | "KiB" => 1 << 10,
        "M" | "MiB" => 1 << 20,
        "G" | "GiB" => 1 << 30,
        _ => return Err(bad()),
    };
    let number: u64 = number.parse().map_err(|_| bad())?;
    number.checked_mul(factor).filter(|bytes| *bytes > 0).ok_or_else(bad)
}

fn number_and_unit(text: &str) -> (&str, &str) {
    text.split_at(text.find(|c: char| c.is_ascii_alphabetic()).unwrap_or(text.len()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_times() {
        assert_eq!(duration("90"), Ok(Duration::from_secs(90)));
        assert_eq!(duration("500ms"), Ok(Duration::from_millis(500)));
        assert_eq!(duration("1.5h"), Ok(Duration::from_secs(5400)));
        for bad in ["", "s", "0", "-1s", "1w", "1 s", "nan", "inf", "1e99d"] {
            assert!(duration(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn reads_sizes() {
        assert_eq!(size("100"), Ok(100));
        assert_eq!(size("20M"), Ok(20 << 20));
        for bad in ["", "0", "1.5M", "-1", "1T", "99999999999G"] {
            assert!(size(bad).is_err(), "{bad}");
        }
    }
}
