//! `cti-bridge apply`.

use std::path::PathBuf;

use clap::Args;

use super::{Output, SiteFrom};

/// `cti-bridge apply`.
#[derive(Debug, Args)]
#[command(
    after_help = "Works over AMQP alone. The site is looked at again before anything is done: where it has changed since the plan \
was made, nothing is. Where there is no management API and no file shows the site, only exchanges and queues can be \
checked, and that is said. Each step is noted in the state file before and after it: `rollback` undoes what is ours, \
and nothing else. To repeat `apply` is harmless at any time, also after it was killed. A queue that is declared for a \
moment, `cti-bridge.check-…`, has to show in the management API, else that is of another broker and nothing is done.

Exit codes: 0 done, 3 partly done, 64 nobody to approve it, 69 broker unreachable, 78 the site has changed, or is \
that of another broker."
)]
pub struct Apply {
    /// The plan, as `plan --out` saved it
    #[arg(value_name = "PLAN")]
    pub plan: PathBuf,
    /// Do it without asking
    #[arg(long)]
    pub approve: bool,
    /// Do what can be done where the plan says that something cannot, and exit with 3
    #[arg(long)]
    pub partial: bool,
    /// Where it is noted what was done [default: PLAN.state]
    #[arg(long, value_name = "FILE")]
    pub state: Option<PathBuf>,
    /// How the result is written
    #[arg(long, value_enum, default_value_t)]
    pub output: Output,
    /// What to look at.
    #[command(flatten)]
    pub site: SiteFrom,
}
