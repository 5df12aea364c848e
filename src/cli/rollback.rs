//! `cti-bridge rollback`.

use std::path::PathBuf;

use clap::Args;

use super::{Output, SiteFrom, bridge_id, origin_uuid};
use crate::core::settings::{BridgeId, OriginUuid};

/// `cti-bridge rollback`.
#[derive(Debug, Args)]
#[command(
    after_help = "Undoes what `apply` did, the last step first. What was there before is left alone. Nothing is undone while others \
depend on any of it: clients bound to an exchange, a consumer or messages in a queue. So stop the daemon first. To \
repeat it is harmless at any time. As with `apply`, a management API of another broker is refused.

Exit codes: 0 done, 3 partly done, 64 nobody to approve it, 69 broker unreachable, 78 others depend on it, \
or the site is that of another broker."
)]
pub struct Rollback {
    /// The state file that `apply` wrote, such as site.plan.state
    #[arg(value_name = "STATE")]
    pub state: PathBuf,
    /// Do it without asking
    #[arg(long)]
    pub approve: bool,
    /// Only show what would be undone, and what stands against it
    #[arg(long)]
    pub dry_run: bool,
    /// Give up the messages in this queue of ours; may be repeated
    #[arg(long, value_name = "QUEUE")]
    pub discard: Vec<String>,
    /// The uuid of the server that the bridge runs for, by which its mark is known where nothing shows it
    #[arg(long, value_name = "UUID", env = "CTI_BRIDGE_ORIGIN_UUID", value_parser = origin_uuid)]
    pub origin_uuid: Option<OriginUuid>,
    /// The id in that mark [default: the origin uuid]
    #[arg(long, value_name = "ID", env = "CTI_BRIDGE_BRIDGE_ID", value_parser = bridge_id)]
    pub bridge_id: Option<BridgeId>,
    /// How the result is written
    #[arg(long, value_enum, default_value_t)]
    pub output: Output,
    /// What to look at.
    #[command(flatten)]
    pub site: SiteFrom,
}
