//! `run`: the daemon, in the foreground until SIGTERM or SIGINT.

use std::cell::Cell;
use std::collections::HashSet;
use std::io::IsTerminal;
use std::os::unix::process::CommandExt;
use std::path::PathBuf;
use std::sync::Arc;
use std::thread;
use std::time::Duration;

use secrecy::ExposeSecret;
use tokio::signal::unix::{SignalKind, signal};
use tokio::time::{Instant, interval_at};
use tracing::{info, warn};
use tracing_subscriber::EnvFilter;

use super::{Failure, mappings};
use crate::amqp::{
    self, Bridge, BrokerAddress, Counters, DirectionSnapshot, Event, Inequivalent, Object, RunError, Side,
    Snapshot, Unroutable,
};
use crate::cli::{LogFormat, LogLevel, Run};
use crate::config::{self, Bus, Config, ConfigError, Layer};
use crate::core::catalog::Catalog;
use crate::core::diagnostic::did_you_mean;
use crate::core::intake::Intake;
use crate::core::message::DeliveryMode;
use crate::core::settings::{Listen, OriginUuid, Settings};
use crate::core::topology::{Declare, QueueKind};
use crate::core::translate::Translator;
use crate::exit_code::Exit;
use crate::render;

/// How long to finish what is under way; below the 20 s that a unit file should allow for stopping.
const SHUTDOWN_GRACE: Duration = Duration::from_secs(10);
/// Without any confirm for this long, a broker that is not blocked is taken for hung.
const CONFIRM_TIMEOUT: Duration = Duration::from_secs(30);

/// Address space only: what a stack does not use costs no memory. Not optimised, a level takes far more.
const STACK_BYTES: usize = if cfg!(debug_assertions) { 2048 } else { 256 } * 1024 * 1024;

/// The password that everybody knows, so that it may stand on a command line.
const PUBLIC_PASSWORD: &str = "guest";

/// Republishes both ways until it is told to stop.
///
/// # Errors
/// When the settings or mapping files cannot be used, or a broker has other exchanges than it must or does
/// not let us in.
pub fn run(command: &Run, url_on_command_line: bool) -> Result<Exit, Failure> {
    let config = settings(command, url_on_command_line)?;
    let bridge = bridge(&config)?;
    with_deep_stacks()?;
    log_to_stderr(command);
    let cannot_start = |error| Failure::new(Exit::Bug, format!("cannot start: {error}"));
    let serve = || {
        let runtime =
            tokio::runtime::Builder::new_current_thread().enable_all().build().map_err(cannot_start)?;
        runtime.block_on(serve(&bridge, &config))
    };
    // Not the main thread, whose stack is as small as the machine's administrator likes.
    thread::scope(|scope| {
        let running = thread::Builder::new().stack_size(STACK_BYTES).spawn_scoped(scope, serve);
        running.map_err(cannot_start)?.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic))
    })
}

/// Starts this program anew with stacks that bear the headers of any message.
///
/// A frame of headers has 128 KiB, which is room for 26,000 arrays one inside the other. They are read, copied and
/// dropped by recursion in the client library, whose own thread has the standard library's 2 MiB and would
/// overflow: one message would end the process, and do so again after every start.
fn with_deep_stacks() -> Result<(), Failure> {
    const VARIABLE: &str = "RUST_MIN_STACK";
    let enough = |value: std::ffi::OsString| {
        value.to_str()?.parse().ok().filter(|bytes: &usize| *bytes >= STACK_BYTES)
    };
    if std::env::var_os(VARIABLE).and_then(enough).is_some() {
        return Ok(());
    }
    let program = std::env::current_exe()
        .map_err(|error| Failure::new(Exit::Bug, format!("cannot find this program: {error}")))?;
    let error = std::process::Command::new(program)
        .args(std::env::args_os().skip(1))
        .env(VARIABLE, STACK_BYTES.to_string())
        .exec();
    Err(Failure::new(Exit::Bug, format!("cannot start anew: {error}")))
}

fn settings(command: &Run, url_on_command_line: bool) -> Result<Config, Failure> {
    let url = match command.amqp_url.as_ref().filter(|url| !url.is_empty()) {
        None => None,
        Some(url) => {
            let address = BrokerAddress::parse(url).map_err(|error| Failure::new(Exit::Usage, error))?;
            if url_on_command_line && address.password.expose_secret() != PUBLIC_PASSWORD {
                let message = "a password on the command line can be read by every user of this machine";
                return Err(Failure::new(Exit::Usage, message).help(
                    "put the address into the environment variable CTI_BRIDGE_AMQP_URL, or the password into a \
                     file and `bus: {password_file: …}` into the configuration",
                ));
            }
            Some(address)
        }
    };
    let flags = Layer {
        bus: Bus { url, ..Bus::default() },
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
    let xivo_uuid = std::env::var("XIVO_UUID").ok();
    let xivo_uuid = match xivo_uuid.as_deref().filter(|text| !text.is_empty()) {
        Some(text) => Some(OriginUuid::parse(text).ok_or_else(|| {
            Failure::new(Exit::Misconfigured, "the environment variable XIVO_UUID is not a uuid")
        })?),
        None => None,
    };
    let credentials = std::env::var_os("CREDENTIALS_DIRECTORY").map(PathBuf::from);
    config::read_files(command.config.as_deref())
        .and_then(|files| files.under(flags).finish(xivo_uuid, credentials.as_deref()))
        .map_err(cannot_use)
}

fn cannot_use(error: ConfigError) -> Failure {
    match &error {
        ConfigError::Invalid { path, text, diagnostics } => {
            let path = path.display().to_string();
            let mistakes = diagnostics.iter().map(|mistake| render::diagnostic(&path, text, mistake));
            Failure::rendered(Exit::Misconfigured, mistakes.collect())
        }
        ConfigError::Unreadable { source, .. } => {
            Failure::new(Exit::NoInput, format!("{error}: {source}"))
        }
        ConfigError::NoOriginUuid => Failure::new(Exit::Misconfigured, error).help(
            "name this server's uuid: `--origin-uuid`, `origin_uuid:` in the configuration, or XIVO_UUID in the \
             environment, where the platform's own daemons find it",
        ),
        ConfigError::ExchangeOfLegacy(_) => Failure::new(Exit::Misconfigured, error),
    }
}

fn bridge(config: &Config) -> Result<Bridge, Failure> {
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
        bridge_id: config.bridge_id.clone(),
        origin_uuid: config.origin_uuid.clone(),
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
                permissions(config)
            ))
        }
    }
}

/// The pattern of all that an account needs, for `rabbitmqctl set_permissions`.
fn permissions(config: &Config) -> String {
    let literal = |text: &str| text.replace('.', "\\.");
    let (prefix, exchange) = (literal(&config.queue_prefix), literal(&config.exchange_name));
    format!("^({prefix}\\..*|{exchange}|xivo-cti|xivo-ami|xivo-status-updates|amq\\.default)$")
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
