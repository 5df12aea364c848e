//! How a site is looked at before it is changed: as `plan` did, or, where nothing shows it, not at all.

use std::fmt;
use std::sync::Arc;
use std::time::{Duration, Instant};

use tokio::time::sleep;

use super::site::Live;
use super::{Failure, plan_file, runtime, site};
use crate::amqp::{BrokerAddress, Migrator, StepError};
use crate::cli::{SiteFrom, Sources};
use crate::config::Config;
use crate::core::site::Site;
use crate::exit_code::Exit;
use crate::render;

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

/// Refuses a management API of another broker than the one that is to be changed: a queue that is declared over AMQP has to
/// show in it.
///
/// # Errors
/// When it does not show, or one of the two does not answer.
pub fn refuse_another_broker(
    from: &SiteFrom,
    config: &Config,
    address: &BrokerAddress,
    look: &Look,
) -> Result<(), Failure> {
    if look.site().is_none() || !is_live(&from.sources) {
        return Ok(());
    }
    let sources = Sources { vhost: Some(address.vhost.clone()), ..from.sources.clone() };
    let live = Arc::new(Live::of(&sources, &from.broker)?);
    let (place, api) = (plan_file::place(address), live.to_string());
    let shown = runtime::block_on(|| async {
        let migrator = Migrator::connect(address).await.map_err(|error| runtime::not_connected(&error))?;
        let shown = shown(&migrator, &live, &config.queue_prefix).await;
        migrator.close().await;
        shown
    })?;
    match shown {
        Shown::Yes => Ok(()),
        Shown::No => {
            let message = format!(
                "the management API at {api} is that of another broker: a queue that was just declared at {place} does not \
                 show there"
            );
            Err(Failure::new(Exit::Misconfigured, message).help(
                "name that of the broker that is to be changed with `--management-url`; nothing was done",
            ))
        }
        Shown::Unknown { why } => {
            let why = render::printable(&why);
            eprintln!("not checked: whether the management API at {api} is that of {place} ({why})");
            Ok(())
        }
    }
}

/// Whether a queue that is on one broker shows on another, or the same.
enum Shown {
    Yes,
    No,
    /// There is no such queue.
    Unknown {
        /// Why not.
        why: String,
    },
}

/// The nodes of a cluster come to know of a new queue one after the other (RabbitMQ 4 with Khepri).
const PATIENCE: Duration = Duration::from_secs(5);
const PAUSE: Duration = Duration::from_millis(200);

async fn shown(migrator: &Migrator, live: &Arc<Live>, queue_prefix: &str) -> Result<Shown, Failure> {
    let unreachable = |why: &dyn fmt::Display| {
        let message = format!("cannot look whether the management API is that of the broker: {why}");
        Failure::new(Exit::Unreachable, render::printable(&message))
    };
    let queue = match migrator.declare_temporary_queue(queue_prefix).await {
        Ok(queue) => queue,
        Err(StepError::Refused(why)) => return Ok(Shown::Unknown { why: why.to_string() }),
        Err(error) => return Err(unreachable(&error)),
    };
    let end = Instant::now() + PATIENCE;
    loop {
        let (live, name) = (Arc::clone(live), queue.clone());
        // Elsewhere, so that the heartbeats of the connection go on.
        let asked = tokio::task::spawn_blocking(move || live.has_queue(&name)).await;
        if asked.map_err(|error| unreachable(&error))?? {
            return Ok(Shown::Yes);
        }
        if Instant::now() >= end {
            break;
        }
        sleep(PAUSE).await;
    }
    // It would be gone, had its connection been lost meanwhile.
    match migrator.queue(&queue).await {
        Ok(Some(_)) => Ok(Shown::No),
        Ok(None) => Err(unreachable(&"the connection to the broker was lost")),
        Err(error) => Err(unreachable(&error)),
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
