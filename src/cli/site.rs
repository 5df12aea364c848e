//! Where a site is looked at: a live broker, files that show a part of one, or an earlier look.

use std::path::PathBuf;

use clap::Args;

use super::BrokerFrom;
use crate::core::site::rabbitmqctl::COMMANDS;

/// What to look at, for commands that ask for no broker otherwise.
#[derive(Debug, Args, Default, Clone)]
pub struct SiteFrom {
    /// The sources.
    #[command(flatten)]
    pub sources: Sources,
    /// Whose settings: user and password of the management API are those of the broker, where its address has none.
    #[command(flatten)]
    pub broker: BrokerFrom,
}

/// What to look at. Sources may be mixed: each adds what it shows.
#[derive(Debug, Args, Default, Clone)]
#[command(next_help_heading = "What to look at")]
pub struct Sources {
    /// The management API of a live broker, as http://host:15672; also the environment variable
    /// CTI_BRIDGE_MANAGEMENT_URL, where no file is named [default: port 15672 of the broker]
    #[arg(long, value_name = "URL")]
    pub management_url: Option<String>,
    /// Trust the authorities in this PEM file too at an https:// management API [default: those of the broker's settings]
    #[arg(long, value_name = "FILE", env = "CTI_BRIDGE_MANAGEMENT_CA_FILE")]
    pub management_ca_file: Option<PathBuf>,
    /// The virtual host to look at [default: the broker's; in files `/`, or the only one]
    #[arg(long, value_name = "NAME")]
    pub vhost: Option<String>,
    /// A list as `rabbitmqctl list_… --formatter json` writes it, recognised by its columns; `-` for standard
    /// input; may be repeated
    #[arg(long, value_name = "FILE", long_help = lists_help())]
    pub rabbitmqctl: Vec<PathBuf>,
    /// Definitions as `rabbitmqctl export_definitions` or the management interface writes them; may be repeated
    #[arg(long, value_name = "FILE")]
    pub definitions: Vec<PathBuf>,
    /// What an earlier run saved with `--save-site`; may be repeated
    #[arg(long, value_name = "FILE")]
    pub site: Vec<PathBuf>,
    /// Save what is seen to this file, for `--site`
    #[arg(long, value_name = "FILE")]
    pub save_site: Option<PathBuf>,
}

/// The commands to run on the broker, word by word.
fn lists_help() -> String {
    let mut help = "Lists as `rabbitmqctl list_… --formatter json` writes them, one or many in a file, recognised by their \
                    columns; `-` for standard input; may be repeated. What to ask for on the broker, as root (other \
                    columns, or fewer lists, leave gaps that are told):"
        .to_owned();
    for command in COMMANDS {
        help.push_str(&format!("\n  rabbitmqctl {command} --formatter json"));
    }
    help
}

impl Sources {
    /// Whether a file is to be looked at.
    #[must_use]
    pub fn name_files(&self) -> bool {
        !(self.site.is_empty() && self.definitions.is_empty() && self.rabbitmqctl.is_empty())
    }
}
