//! `cti-bridge audit` and `cti-bridge explain`.

use std::path::PathBuf;

use clap::{Args, ValueEnum};

use super::{Output, RulesFrom, SiteFrom};
use crate::core::diagnostic::did_you_mean;
use crate::core::finding::{Fate, Severity};
use crate::core::version::Version;

/// `cti-bridge audit`.
#[derive(Debug, Args)]
#[command(after_help = "Examples:
  cti-bridge audit --from 14.24 --to 19.05
  cti-bridge audit --from 14.24 --to 19.05 --definitions export.json --scan /usr/local/bin
  rabbitmqctl list_bindings --formatter json | cti-bridge audit --from 19.05 --to 22.17 --rabbitmqctl -
  cti-bridge audit --from 14.24 --to 19.05 --accepted accepted.yaml --output junit > audit.xml

Without any source the management API of the broker is asked. With `--scan` it is where `--management-url` says so.

A file for `--accepted` is a list of entries such as
  - {id: CTI0007, client: popup.py, key: 'call_*', reason: the bridge runs here, until: 2027-06-30}
where `client`, `queue`, `exchange` and `key` may be left out, `*` stands for any text, and `until` may be `never`.")]
pub struct Audit {
    /// The version that the clients of this site run with today
    #[arg(long, value_name = "VERSION", required_unless_present = "schema")]
    pub from: Option<Version>,
    /// The version that the site is to have
    #[arg(long, value_name = "VERSION", required_unless_present = "schema")]
    pub to: Option<Version>,
    /// Read the sources of client programs in this file or directory; may be repeated
    #[arg(long, value_name = "PATH", num_args = 1..)]
    pub scan: Vec<PathBuf>,
    /// Findings that are accepted, with reason and end, as YAML
    #[arg(long, value_name = "FILE")]
    pub accepted: Option<PathBuf>,
    /// Exit with 1 for findings of this severity or a worse one (error, warning, note, never), or of these fates
    /// (changed, deleted, never-sent, …); several with commas
    #[arg(long, value_name = "WHAT", value_delimiter = ',', default_value = "warning", value_parser = fail_on)]
    pub fail_on: Vec<AuditFailOn>,
    /// How the result is written
    #[arg(long, value_enum, default_value_t)]
    pub output: AuditReport,
    /// Print the JSON schema of `--output json`, and do nothing else
    #[arg(long)]
    pub schema: bool,
    /// What to look at.
    #[command(flatten)]
    pub site: SiteFrom,
    /// Where the rules come from.
    #[command(flatten)]
    pub rules: RulesFrom,
}

/// How an audit is written to standard output.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, ValueEnum)]
pub enum AuditReport {
    /// For people: a tree, client by client
    #[default]
    Text,
    /// One JSON document, for scripts
    Json,
    /// JUnit XML, for build servers: a suite for each client, a case for each binding
    Junit,
    /// Annotations of GitHub Actions
    Github,
    /// SARIF 2.1.0, for code scanning
    Sarif,
}

/// What makes an audit end with exit code 1.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum AuditFailOn {
    /// Findings of this severity or a worse one.
    Severity(Severity),
    /// Findings about events of this fate.
    Fate(Fate),
    /// Nothing.
    Never,
}

fn fail_on(text: &str) -> Result<AuditFailOn, String> {
    let text = text.replace('_', "-");
    let mut words: Vec<(String, AuditFailOn)> = vec![("never".into(), AuditFailOn::Never)];
    words.extend(
        Severity::ALL.map(|severity| (severity.as_str().to_owned(), AuditFailOn::Severity(severity))),
    );
    words.extend(Fate::ALL.map(|fate| (fate.as_str().replace('_', "-"), AuditFailOn::Fate(fate))));
    words.iter().find(|(word, _)| *word == text).map(|(_, meant)| *meant).ok_or_else(|| {
        let names: Vec<&str> = words.iter().map(|(word, _)| word.as_str()).collect();
        did_you_mean(&text, names.iter().copied())
            .unwrap_or_else(|| format!("expected one of {}", names.join(", ")))
    })
}

/// `cti-bridge explain`.
#[derive(Debug, Args)]
pub struct Explain {
    /// The id of a finding, such as CTI0012
    #[arg(required_unless_present = "list")]
    pub id: Option<String>,
    /// List all ids
    #[arg(long, conflicts_with = "id")]
    pub list: bool,
    /// How the result is written
    #[arg(long, value_enum, default_value_t)]
    pub output: Output,
}
