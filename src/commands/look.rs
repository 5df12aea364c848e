//! How a site is looked at before it is changed: as `plan` did, or, where nothing shows it, not at all.

use super::{Failure, plan_file, site};
use crate::amqp::BrokerAddress;
use crate::cli::{SiteFrom, Sources};
use crate::config::Config;
use crate::core::site::Site;
use crate::exit_code::Exit;

/// What is known of a site that is to be changed.
#[derive(Debug)]
pub enum Look {
    /// All that the sources show.
    Seen(Box<Site>),
    /// Nothing but what AMQP itself tells: whether an exchange or a queue is there.
    Unseen {
        /// Why.
        why: String,
    },
}

impl Look {
    /// What was seen.
    #[must_use]
    pub fn site(&self) -> Option<&Site> {
        match self {
            Self::Seen(site) => Some(site),
            Self::Unseen { .. } => None,
        }
    }
}

/// Whether the live broker is looked at, and no file.
#[must_use]
pub fn is_live(from: &Sources) -> bool {
    from.management_url.is_some() || !from.name_files()
}

/// Whether a look at the live broker may be done without.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Need {
    /// It was there when the plan was made.
    MustSee,
    /// There never was one.
    MayMiss,
}

/// Looks at a site that is to be changed.
///
/// # Errors
/// When a source that was named cannot be read, or a live broker that was seen before no longer shows itself.
pub fn look(from: &SiteFrom, address: &BrokerAddress, need: Need) -> Result<Look, Failure> {
    let sources = Sources { vhost: Some(address.vhost.clone()), ..from.sources.clone() };
    match site::observe_with(&sources, &from.broker) {
        Ok(site) => match &site.vhost {
            Some(vhost) if *vhost != address.vhost => {
                let message = format!(
                    "what was looked at is the virtual host `{vhost}`, and {} is to be changed",
                    plan_file::place(address)
                );
                Err(Failure::new(Exit::BadInput, message).help("name it with `--vhost`"))
            }
            _ => Ok(Look::Seen(Box::new(site))),
        },
        Err(failure) if is_live(&sources) && is_no_api(&failure) => match need {
            Need::MayMiss => Ok(Look::Unseen { why: failure.message().to_owned() }),
            Need::MustSee => Err(failure.help(
                "the plan was made from what the broker showed; show it again by `--rabbitmqctl` or \
                 `--definitions`, or plan anew from these",
            )),
        },
        Err(failure) => Err(failure),
    }
}

fn is_no_api(failure: &Failure) -> bool {
    matches!(failure.exit, Exit::Unreachable | Exit::AccessRefused)
}

/// The broker of this place, as the settings have it.
///
/// # Errors
/// When the settings name another one.
pub fn broker_at(
    config: &Config,
    sources: &Sources,
    place: &str,
    what: &str,
) -> Result<BrokerAddress, Failure> {
    let mut addresses = [config.modern.clone(), config.legacy.clone()];
    if let Some(vhost) = &sources.vhost {
        addresses.iter_mut().for_each(|address| address.vhost.clone_from(vhost));
    }
    let found = addresses.iter().find(|address| plan_file::place(address) == place);
    found.cloned().ok_or_else(|| {
        let named = addresses.first().map(plan_file::place).unwrap_or_default();
        Failure::new(Exit::Misconfigured, format!("{what} is for {place}, and the settings name {named}"))
            .help("name the broker with CTI_BRIDGE_AMQP_URL or `--amqp-url`")
    })
}
