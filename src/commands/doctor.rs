//! `doctor`: whether the bridge can do its work here, before anything is changed.

use std::fmt::Write as _;
use std::io::IsTerminal;

use regex::Regex;
use serde_json::json;

use super::{Failure, daemon, runtime, settings, site};
use crate::amqp::{self, BrokerAddress};
use crate::cli::{Doctor, FailOn, Output};
use crate::config::Config;
use crate::core::doctor::{Check, Patient, Presences, State, examine, worst};
use crate::core::intake::Intake;
use crate::core::plan::Sides;
use crate::core::site::{Aspect, Gap, Site};
use crate::core::translate::Translator;
use crate::exit_code::Exit;
use crate::render::{counted, document, printable};

/// Checks everything that can be checked; the result goes to standard output.
///
/// # Errors
/// When the broker cannot be reached or refuses the account, a source that was named cannot be used, or the settings
/// cannot.
pub fn doctor(command: &Doctor) -> Result<Exit, Failure> {
    if command.offline && (command.sources.management_url.is_some() || !command.sources.name_files()) {
        return Err(Failure::new(Exit::Usage, "`--offline` looks at files alone")
            .help("name some with `--site`, `--rabbitmqctl` or `--definitions`, and no `--management-url`"));
    }
    let config = settings::read(&command.daemon.broker, settings::layer(&command.daemon))?;
    let translator = daemon::anybodys_translator(&config)?;
    let intake = daemon::intake(&config);
    let mut checks = Vec::new();
    let brokers: &[(Sides, &BrokerAddress)] = if config.legacy.is_same(&config.modern) {
        &[(Sides::Both, &config.modern)]
    } else {
        &[(Sides::Modern, &config.modern), (Sides::Legacy, &config.legacy)]
    };
    for (sides, address) in brokers {
        checks.extend(examined(command, &config, &translator, &intake, *sides, address)?);
    }
    super::print(&match command.output {
        Output::Json => document("doctor", json!({ "checks": checks, "worst": worst(&checks) })),
        Output::Text => text(&checks),
    })?;
    let limit = match command.fail_on {
        FailOn::Warn => State::Warn,
        FailOn::Fail => State::Fail,
    };
    Ok(if worst(&checks) >= limit { Exit::Findings } else { Exit::Done })
}

/// The checks of one broker.
fn examined(
    command: &Doctor,
    config: &Config,
    translator: &Translator,
    intake: &Intake,
    sides: Sides,
    address: &BrokerAddress,
) -> Result<Vec<Check>, Failure> {
    let vhost = command.sources.vhost.as_deref().unwrap_or(&address.vhost);
    let address = BrokerAddress { vhost: vhost.to_owned(), ..address.clone() };
    let patient = Patient {
        translator,
        intake,
        sides,
        user: &address.username,
        vhost,
        pattern: &settings::permissions(config),
        covers: &covers,
    };
    let presences = if command.offline { None } else { Some(presences(&patient, &address)?) };
    let (site, unseen) = match sides {
        // The sources are of one broker, and that is the platform's.
        Sides::Legacy => (unseen("the broker of the legacy side was asked by AMQP alone"), None),
        Sides::Both | Sides::Modern => seen(command)?,
    };
    let mut checks = examine(&patient, &site, presences.as_ref());
    checks.extend(unseen);
    Ok(checks)
}

fn presences(patient: &Patient<'_>, address: &BrokerAddress) -> Result<Presences, Failure> {
    let (exchanges, queues) = patient.names();
    runtime::block_on(|| async {
        let found = amqp::presences(address, &exchanges, &queues).await;
        found.map_err(|error| runtime::not_connected(&error))
    })
}

/// What the sources show. Many sites have no management API, so one that nobody named may be missing: then that is a
/// check of its own.
fn seen(command: &Doctor) -> Result<(Site, Option<Check>), Failure> {
    let is_named = command.sources.management_url.is_some() || command.sources.name_files();
    match site::observe_with(&command.sources, &command.daemon.broker) {
        Ok(site) => Ok((site, None)),
        Err(failure) if !is_named && matches!(failure.exit, Exit::Unreachable | Exit::AccessRefused) => {
            let why = failure.to_string();
            let why = why.lines().next().unwrap_or_default().trim_start_matches("error: ").to_owned();
            let check = Check::without_management(why);
            Ok((unseen("there is no management API"), Some(check)))
        }
        Err(failure) => Err(failure),
    }
}

/// A site of which nothing was seen.
fn unseen(source: &str) -> Site {
    let gap = |aspect| Gap { aspect, what: "everything".to_owned(), source: source.to_owned() };
    Site { gaps: Aspect::ALL.map(gap).into(), ..Site::default() }
}

/// Whether a pattern of permissions covers a name: anywhere in it, as the broker does; an empty one covers none.
fn covers(pattern: &str, name: &str) -> Option<bool> {
    if pattern.is_empty() {
        return Some(false);
    }
    Some(Regex::new(pattern).ok()?.is_match(name))
}

fn text(checks: &[Check]) -> String {
    let colours = std::io::stdout().is_terminal() && std::env::var_os("NO_COLOR").is_none();
    let mut text = String::new();
    for check in checks {
        let word = format!("{:<8}", check.state.word());
        let word = if colours { format!("\u{1b}[{}m{word}\u{1b}[0m", colour(check.state)) } else { word };
        let _ = writeln!(text, "{word} {:<9} {}", check.topic, printable(&check.finding));
        if let Some(advice) = &check.advice {
            let _ = writeln!(text, "{:18} → {}", "", printable(advice));
        }
    }
    let of = |state| checks.iter().filter(|check| check.state == state).count();
    let (fail, warn, unknown) = (of(State::Fail), of(State::Warn), of(State::Unknown));
    let _ = writeln!(
        text,
        "{}: {fail} failed, {} to look at, {unknown} unknown",
        counted(checks.len(), "check"),
        warn
    );
    text
}

const fn colour(state: State) -> &'static str {
    match state {
        State::Ok => "32",
        State::Unknown => "36",
        State::Warn => "33",
        State::Fail => "1;31",
    }
}

#[cfg(test)]
mod tests {
    use super::covers;

    #[test]
    fn a_pattern_covers_what_the_broker_says_it_does() {
        for (pattern, name, covered) in [
            (".*", "xivo", Some(true)),
            ("", "xivo", Some(false)),
            ("^$", "xivo", Some(false)),
            ("xivo", "xivo-cti", Some(true)),
            ("^xivo$", "xivo-cti", Some(false)),
            (r"^(cti-bridge\..*|xivo)$", "cti-bridge.modern", Some(true)),
            ("(?!x)", "xivo", None),
            ("(", "xivo", None),
        ] {
            assert_eq!(covers(pattern, name), covered, "{pattern} {name}");
        }
    }
}
