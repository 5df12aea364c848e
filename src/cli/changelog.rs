//! `cti-bridge changelog`.

use clap::{Args, ValueEnum};

use super::{RulesFrom, word};
use crate::core::changelog::{Basis, Kind};
use crate::core::version::Version;

/// `cti-bridge changelog`.
#[derive(Debug, Args)]
#[command(
    after_help = "An upgrade has the changes of every release after `--from`, up to and with that of `--to`. Either may be a \
number that no release has.

For one event, or several by name, its whole life is told: what happened to it, what it looks like on the wire in \
each version, and what takes its place and what is lost in that.

Examples:
  cti-bridge changelog --from 14.24 --to 19.05
  cti-bridge changelog --event user_status_update
  cti-bridge changelog --event 'chat_*' --kind deleted
  cti-bridge changelog --from 19.04 --to 19.05 --fail-on deleted,changed

A file `changelog.yaml` in a directory of `--mappings` adds to the built-in changelog; what it says of an event, an \
exchange or a part of the envelope in a release, as documented or as observed, replaces what is built in for that."
)]
pub struct Changelog {
    /// The release to upgrade from; its own changes are not listed
    #[arg(long, value_name = "VERSION")]
    pub from: Option<Version>,
    /// The release to upgrade to; its changes are listed
    #[arg(long, value_name = "VERSION")]
    pub to: Option<Version>,
    /// Of this event alone, or of those that match a pattern such as `call_*`: NAME[,NAME…], may be repeated
    #[arg(long, value_name = "NAME", value_delimiter = ',')]
    pub event: Vec<String>,
    /// Changes of these kinds alone: added, changed, deprecated, deleted
    #[arg(long, value_name = "KIND", value_delimiter = ',', value_parser = kind)]
    pub kind: Vec<Kind>,
    /// What is documented, or observed on the wire and in the platform's code, alone
    #[arg(long, value_name = "documented|observed", value_parser = basis)]
    pub basis: Option<Basis>,
    /// Exit with 1 if a change of one of these kinds is listed
    #[arg(long, value_name = "KIND", value_delimiter = ',', value_parser = kind)]
    pub fail_on: Vec<Kind>,
    /// Where rules and changelog come from.
    #[command(flatten)]
    pub rules: RulesFrom,
    /// How the result is written
    #[arg(long, value_enum, default_value_t)]
    pub output: Report,
}

/// How a changelog is written to standard output.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, ValueEnum)]
pub enum Report {
    /// For people
    #[default]
    Text,
    /// One JSON document, for scripts
    Json,
    /// Markdown, for tickets and release notes
    Markdown,
}

fn kind(text: &str) -> Result<Kind, String> {
    word(text, &Kind::ALL.map(|kind| (kind.as_str(), kind)))
}

fn basis(text: &str) -> Result<Basis, String> {
    word(text, &Basis::ALL.map(|basis| (basis.as_str(), basis)))
}
