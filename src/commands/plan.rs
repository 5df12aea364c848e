//! `plan`: what it takes to move a site, without doing any of it.

use std::io::IsTerminal;
use std::path::Path;

use super::plan_file::{PlanFile, place};
use super::{Failure, daemon, look, private_file, settings, site};
use crate::amqp::BrokerAddress;
use crate::cli::{Output, Plan as Command, PlanSide};
use crate::config::{Config, Layer};
use crate::core::plan::{self, Mode, Options, Plan, Sides};
use crate::exit_code::Exit;
use crate::render;
use crate::render::plan::Colours;

/// Plans the migration of a site.
///
/// # Errors
/// When the settings, the mapping files or the site cannot be read, or the plan not be saved.
pub fn plan(command: &Command) -> Result<Exit, Failure> {
    let options = Layer { queue_type: command.queue_type, ..settings::layer(&command.daemon) };
    let config = settings::read(&command.daemon.broker, options)?;
    let translator = daemon::anybodys_translator(&config)?;
    let (sides, address) = sides(command, &config)?;
    let live = look::is_live(&command.sources);
    let mut sources = command.sources.clone();
    if live {
        sources.vhost = Some(address.vhost.clone());
    }
    let site = site::observe_with(&sources, &command.daemon.broker)?;
    let options = Options {
        mode: if command.native { Mode::Native } else { Mode::Bridge },
        sides,
        rebind: command.rebind.clone(),
    };
    let file = PlanFile {
        tool_version: env!("CARGO_PKG_VERSION").to_owned(),
        broker: place(&address),
        live,
        plan: plan::plan(&site, &translator, &daemon::intake(&config), &options),
    };
    match command.output {
        Output::Text => super::print(&render::plan::plan(&file.plan, colours()))?,
        Output::Json => super::print(&file.document()?)?,
    }
    let exit = exit(&file.plan, command.detailed_exit_codes);
    if let Some(out) = &command.out {
        if exit == Exit::Misconfigured {
            eprintln!("not saved: it must not be carried out as it is");
        } else {
            save(&file, out)?;
            let shown = render::printable(&out.display().to_string());
            eprintln!("saved; carry it out with `cti-bridge apply {shown}`");
        }
    }
    Ok(exit)
}

/// Which sides of the bridge are planned, and the broker where they are.
fn sides(command: &Command, config: &Config) -> Result<(Sides, BrokerAddress), Failure> {
    let is_one = config.legacy.is_same(&config.modern);
    let (sides, address) = match command.side {
        None if is_one => (Sides::Both, &config.modern),
        None => {
            let message = format!(
                "the two sides of the bridge are apart: legacy on {}, modern on {}",
                config.legacy, config.modern
            );
            let help = "plan one after the other, with `--side legacy` and `--side modern`";
            return Err(Failure::new(Exit::Usage, message).help(help));
        }
        Some(PlanSide::Legacy) => (Sides::Legacy, &config.legacy),
        Some(PlanSide::Modern) => (Sides::Modern, &config.modern),
    };
    if command.native && sides != Sides::Both {
        let message = "`--native` binds one exchange to the other, so both must be on one virtual host";
        return Err(Failure::new(Exit::Usage, message));
    }
    let mut address = address.clone();
    if let Some(vhost) = &command.sources.vhost {
        address.vhost.clone_from(vhost);
    }
    Ok((sides, address))
}

fn exit(plan: &Plan, detailed: bool) -> Exit {
    if !plan.conflicts.is_empty() {
        Exit::Misconfigured
    } else if !plan.impossible.is_empty() {
        Exit::Findings
    } else if detailed && !plan.is_empty() {
        Exit::ChangesPending
    } else {
        Exit::Done
    }
}

/// In colours on a terminal, unless they are not wanted.
fn colours() -> Colours {
    let on = std::io::stdout().is_terminal() && std::env::var_os("NO_COLOR").is_none();
    if on { Colours::On } else { Colours::Off }
}

fn save(file: &PlanFile, path: &Path) -> Result<(), Failure> {
    private_file::write(path, file.document()?).map_err(|error| {
        let shown = render::printable(&path.display().to_string());
        Failure::new(Exit::Unreachable, format!("cannot write {shown}: {error}"))
    })
}
