//! `run`: the daemon, in the foreground until SIGTERM or SIGINT.

use std::cell::Cell;
use std::collections::HashSet;
use std::io::IsTerminal;
use std::sync::Arc;
use std::time::Duration;

use tokio::signal::unix::{SignalKind, signal};
use tokio::time::{Instant, interval_at};
use tracing::{info, warn};
use tracing_subscriber::EnvFilter;

use super::{Failure, mappings, runtime, settings};
use crate::amqp::{
    self, Bridge, BrokerAddress, Counters, DirectionSnapshot, Event, Inequivalent, Object, RunError, Side,
    Snapshot, Unroutable,
};
use crate::cli::{LogFormat, LogLevel, Run};
use crate::config::{Config, Identity, Layer};
use crate::core::catalog::Catalog;
use crate::core::diagnostic::did_you_mean;
use crate::core::intake::Intake;
use crate::core::message::DeliveryMode;
use crate::core::settings::{Listen, Settings};
use crate::core::topology::{Declare, QueueKind};
use crate::core::translate::Translator;
use crate::exit_code::Exit;
use crate::render;

/// How long to finish what is under way; below the 20 s that a unit file should allow for stopping.
const SHUTDOWN_GRACE: Duration = Duration::from_secs(10);
/// Without any confirm for this long, a broker that is not blocked is taken for hung.
const CONFIRM_TIMEOUT: Duration = Duration::from_secs(30);

/// Republishes both ways until it is told to stop.
///
/// # Errors
/// When the settings or mapping files cannot be used, or a broker has other exchanges than it must or does
/// not let us in.
pub fn run(command: &Run) -> Result<Exit, Failure> {
    let config = settings(command)?;
    let bridge = bridge(&config)?;
    runtime::with_deep_stacks()?;
    log_to_stderr(command);
    runtime::block_on(|| serve(&bridge, &config))
}

fn settings(command: &Run) -> Result<Config, Failure> {
    let flags = Layer {
        legacy_events: command.legacy_event.iter().filter(|name| !name.is_empty()).cloned().collect(),
        modern_version: command.modern_version,
        unknown_events: command.unknown_events,
        origin_uuid: command.origin_uuid.clone(),
        bridge_id: command.bridge_id.clone(),
        mappings: command.rules.mappings.clone(),
        builtin_mappings: command.rules.no_builtin_mappings.then_some(false),
        prefetch_count: command.prefetch_count,
        queue_type: command.queue_type,
        persistent: command.persistent.then_some(true),
        status_interval: command.status_interval,
        ..Layer::default()
    };
    settings::read(&command.broker, flags)
}

fn bridge(config: &Config) -> Result<Bridge, Failure> {
    let Identity { origin_uuid, bridge_id } = config.identity().map_err(settings::cannot_use)?;
    let mappings = mappings::load(config.builtin_mappings, &config.mappings)?;
    let catalog = Catalog::at(config.modern_version, &mappings);
    let all = config.legacy_events.iter().any(|name| name == "all");
    if let Some(unknown) =
        config.legacy_events.iter().find(|name| *name != "all" && catalog.by_legacy_name(name).is_none())
    {
        let help = did_you_mean(unknown, catalog.listed().map(|(name, _)| name))
            .unwrap_or_else(|| "`cti-bridge rules list` shows all of them".into());
        let unknown = render::printable(unknown);
        let message = format!("cannot listen for `{unknown}`: there is no rule for it");
        return Err(Failure::new(Exit::Misconfigured, message).help(help));
    }
    let settings = Settings {
        bridge_id: bridge_id.clone(),
        origin_uuid: origin_uuid.clone(),
        modern_exchange: config.exchange_name.clone(),
        listen: if all {
            Listen::All
        } else {
            Listen::Also(config.legacy_events.iter().cloned().collect::<HashSet<_>>())
        },
        unknown_events: config.unknown_events,
        max_hops: config.max_hops,
        delivery_mode: if config.persistent { DeliveryMode::Persistent } else { DeliveryMode::Transient },
        legacy_content_type: config.legacy_content_type.clone(),
    };
    let translator = Translator::new(catalog, settings);
    let intake = Intake {
        prefix: config.queue_prefix.clone(),
        queue_kind: config.queue_type,
        modern_exchange_kind: config.exchange_type,
        declare_modern_exchange: if config.declare { Declare::Active } else { Declare::Passive },
    };
    let side = |address: &BrokerAddress, topology, intake_queue| Side {
        address: address.clone(),
        topology,
        intake_queue,
        quarantine_queue: intake.quarantine_queue(),
    };
    Ok(Bridge {
        legacy: side(&config.legacy, intake.legacy_side(&translator), intake.legacy_queue()),
        modern: side(&config.modern, intake.modern_side(&translator), intake.modern_queue()),
        translator,
        prefetch_count: config.prefetch_count,
        unroutable: if config.count_unroutable { Unroutable::Count } else { Unroutable::Ignore },
        shutdown_grace: SHUTDOWN_GRACE,
        confirm_timeout: CONFIRM_TIMEOUT,
        counters: Arc::new(Counters::default()),
    })
}

async fn serve(bridge: &Bridge, config: &Config) -> Result<Exit, Failure> {
    let no_signals = |error| Failure::new(Exit::Bug, format!("cannot wait for signals: {error}"));
    let mut terminate = signal(SignalKind::terminate()).map_err(no_signals)?;
    let mut interrupt = signal(SignalKind::interrupt()).map_err(no_signals)?;
    let shutdown = async {
        let name = tokio::select! {
            _ = terminate.recv() => "SIGTERM",
            _ = interrupt.recv() => "SIGINT",
        };
        info!(signal = name, "stopping");
        notify(sd_notify::NotifyState::Stopping);
    };
    info!(
        version = env!("CARGO_PKG_VERSION"),
        legacy = %bridge.legacy.address,
        modern = %bridge.modern.address,
        exchange = bridge.translator.settings().modern_exchange,
        platform = %bridge.translator.catalog().version(),
        origin_uuid = bridge.translator.settings().origin_uuid.as_str(),
        "starting"
    );
    if bridge.legacy.topology.queues.iter().any(|queue| queue.kind == QueueKind::Classic) {
        warn!(
            "classic queues lose what is in them when the broker stops, and one message that no client can read stops them"
        );
    }
    let was_ready = Cell::new(false);
    let on = |event: Event| {
        if let Event::Ready { first: true } = event {
            was_ready.set(true);
            info!(
                legacy_queue = bridge.legacy.intake_queue,
                modern_queue = bridge.modern.intake_queue,
                legacy_bindings = bridge.legacy.topology.bindings.len(),
                "ready"
            );
            notify(sd_notify::NotifyState::Ready);
        }
    };
    let running = amqp::run(bridge, on, shutdown);
    let result = match config.status_interval {
        None => running.await,
        Some(period) => {
            let mut status = interval_at(Instant::now() + period, period);
            let mut running = std::pin::pin!(running);
            loop {
                tokio::select! {
                    result = &mut running => break result,
                    _ = status.tick() => tell(&bridge.counters.snapshot(), "status"),
                }
            }
        }
    };
    match result {
        Ok(()) => {
            tell(&bridge.counters.snapshot(), "stopped");
            Ok(Exit::Done)
        }
        Err(run_error) => Err(cannot_run(&run_error, config)),
    }
}

/// systemd is told where there is one; that it cannot be reached changes nothing.
fn notify(state: sd_notify::NotifyState<'_>) {
    let _ = sd_notify::notify(&[state]);
}

fn cannot_run(error: &RunError, config: &Config) -> Failure {
    match error {
        RunError::Inequivalent { source: Inequivalent { object: Object::Queue, .. }, .. } => {
            Failure::new(Exit::Misconfigured, error).help(
                "it was made with another `queue_type`: set that one again, or delete the queue when it is empty",
            )
        }
        RunError::Inequivalent { .. } => Failure::new(Exit::Misconfigured, error).help(
            "the bridge never changes what it did not make: delete it if nothing needs it, or let the bridge run on \
             another virtual host",
        ),
        RunError::AccessRefused { .. } => {
            Failure::new(Exit::AccessRefused, error).help(format!(
                "check user, password and virtual host; the account needs configure, write and read on `{}`, and \
                 `guest` is let in from the broker's own machine only",
                settings::permissions(config)
            ))
        }
    }
}

fn tell(snapshot: &Snapshot, what: &'static str) {
    for (direction, counted) in [("to_legacy", &snapshot.to_legacy), ("to_modern", &snapshot.to_modern)] {
        let DirectionSnapshot {
            received,
            redelivered,
            published,
            acked,
            echoes,
            dropped,
            unroutable,
            quarantined,
            ..
        } = counted;
        let sessions = snapshot.sessions;
        info!(
            direction,
            received,
            published,
            acked,
            unroutable,
            echoes,
            dropped,
            quarantined,
            redelivered,
            sessions,
            "{what}"
        );
        if !counted.quarantined_by_reason.is_empty() {
            let reasons: Vec<String> = counted
                .quarantined_by_reason
                .iter()
                .map(|(reason, count)| format!("{}={count}", reason.code()))
                .collect();
            warn!(direction, reasons = reasons.join(" "), "quarantined since the start");
        }
    }
}

/// Only our own lines: lapin's hold bodies of messages.
fn log_to_stderr(command: &Run) {
    let level = match command.log_level {
        LogLevel::Error => "error",
        LogLevel::Warn => "warn",
        LogLevel::Info => "info",
        LogLevel::Debug => "debug",
        LogLevel::Trace => "trace",
    };
    let colours = std::io::stderr().is_terminal() && std::env::var_os("NO_COLOR").is_none();
    let subscriber = tracing_subscriber::fmt()
        .with_env_filter(EnvFilter::new(format!("off,cti_bridge={level}")))
        .with_writer(std::io::stderr)
        .with_ansi(colours);
    // A second subscriber in one process is a test's; the first one stays.
    let _ = match command.log_format {
        LogFormat::Text => subscriber.try_init(),
        LogFormat::Json => subscriber.json().try_init(),
    };
}
