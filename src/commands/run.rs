//! `run`: the daemon, in the foreground until SIGTERM or SIGINT.

use std::cell::Cell;
use std::io::IsTerminal;
use std::sync::Arc;
use std::time::Duration;

use sd_notify::NotifyState;
use tokio::signal::unix::{SignalKind, signal};
use tokio::time::{Instant, Interval, interval_at};
use tracing::{info, warn};
use tracing_subscriber::EnvFilter;

use super::manager::Manager;
use super::{Failure, daemon, runtime, settings};
use crate::amqp::{
    self, Bridge, BrokerAddress, Counters, DirectionSnapshot, Event, Inequivalent, Object, RunError, Side,
    Snapshot, Unroutable,
};
use crate::cli::{LogFormat, LogLevel, Run};
use crate::config::{Config, Layer};
use crate::core::topology::QueueKind;
use crate::exit_code::Exit;

/// How long to finish what is under way; below the 20 s that a unit file should allow for stopping.
const SHUTDOWN_GRACE: Duration = Duration::from_secs(10);
/// How long between two looks at whether all is still there: what is gone is noticed within twice this time.
const WATCH_PERIOD: Duration = Duration::from_secs(10);
/// How long between two looks at whether a direction moves: that it does not is known after the second.
const LOOK_PERIOD: Duration = Duration::from_secs(10);
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
    runtime::with_fitting_memory()?;
    log_to_stderr(command);
    runtime::block_on(|| serve(&bridge, &config))
}

fn settings(command: &Run) -> Result<Config, Failure> {
    let options = Layer {
        prefetch_count: command.prefetch_count,
        queue_type: command.queue_type,
        part: command.part,
        status_interval: command.status_interval,
        ..settings::layer(&command.daemon)
    };
    settings::read(&command.daemon.broker, options)
}

fn bridge(config: &Config) -> Result<Bridge, Failure> {
    let identity = config.identity().map_err(settings::cannot_use)?;
    config.check_part().map_err(settings::cannot_use)?;
    let translator = daemon::translator(config, identity)?;
    let intake = daemon::intake(config);
    let side = |address: &BrokerAddress, topology, intake_queue| Side {
        address: address.clone(),
        topology,
        intake_queue,
        quarantine_queue: intake.quarantine_queue(),
    };
    Ok(Bridge {
        legacy: side(&config.legacy, intake.legacy_side(&translator), intake.legacy_queue()),
        modern: side(&config.modern, intake.modern_side(&translator), intake.modern_queue()),
        translator: Arc::new(translator),
        prefetch_count: config.prefetch_count,
        unroutable: if config.count_unroutable { Unroutable::Count } else { Unroutable::Ignore },
        shutdown_grace: SHUTDOWN_GRACE,
        watch_period: WATCH_PERIOD,
        look_period: LOOK_PERIOD,
        confirm_timeout: CONFIRM_TIMEOUT,
        counters: Arc::new(Counters::default()),
    })
}

async fn serve(bridge: &Bridge, config: &Config) -> Result<Exit, Failure> {
    let no_signals = |error| Failure::new(Exit::Bug, format!("cannot wait for signals: {error}"));
    let mut terminate = signal(SignalKind::terminate()).map_err(no_signals)?;
    let mut interrupt = signal(SignalKind::interrupt()).map_err(no_signals)?;
    let manager = Manager::of_this_process();
    let shutdown = async {
        let name = tokio::select! {
            _ = terminate.recv() => "SIGTERM",
            _ = interrupt.recv() => "SIGINT",
        };
        info!(signal = name, "stopping");
        manager.tell(NotifyState::Stopping);
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
    let is_silent = Cell::new(false);
    let on = |event: Event| match event {
        Event::Ready { first } => {
            manager.tell(NotifyState::Status("both directions move"));
            if !first {
                return;
            }
            info!(
                legacy_queue = bridge.legacy.intake_queue,
                modern_queue = bridge.modern.intake_queue,
                legacy_bindings = bridge.legacy.topology.bindings.len(),
                "ready"
            );
            manager.tell(NotifyState::Ready);
        }
        Event::Lost => manager.tell(NotifyState::Status("not moving; the log says why")),
        Event::Silent(now) => is_silent.set(now),
        Event::Blocked | Event::Unblocked | Event::Draining => {}
    };
    let mut running = std::pin::pin!(amqp::run(bridge, on, shutdown));
    let (mut status, mut watchdog) = (every(config.status_interval), every(manager.watchdog_period()));
    let result = loop {
        tokio::select! {
            result = &mut running => break result,
            () = status.next() => tell(&bridge.counters.snapshot(), "status"),
            // A broker that is away, takes no messages or confirms none is no reason to start anew: that would count as
            // one more delivery of what is under way.
            () = watchdog.next() => if !is_silent.get() {
                manager.tell(NotifyState::Watchdog);
            },
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

/// What comes round again and again, or never.
struct Every(Option<Interval>);

fn every(period: Option<Duration>) -> Every {
    Every(period.map(|period| interval_at(Instant::now() + period, period)))
}

impl Every {
    async fn next(&mut self) {
        match &mut self.0 {
            Some(interval) => drop(interval.tick().await),
            None => std::future::pending().await,
        }
    }
}

fn cannot_run(error: &RunError, config: &Config) -> Failure {
    match error {
        RunError::Inequivalent { source: Inequivalent { object: Object::Queue, .. }, .. } => {
            Failure::new(Exit::Misconfigured, error).help(
                "it was made with another `queue_type` or other bounds (`intake`, `quarantine`): set those again, or delete the queue when it is empty",
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
            probes,
            dropped,
            unroutable,
            quarantined,
            sessions,
            ..
        } = counted;
        info!(
            direction,
            received,
            published,
            acked,
            unroutable,
            echoes,
            probes,
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
