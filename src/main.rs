//! Parses the arguments, runs the command, and turns what it came to into an exit code.

use std::io::{IsTerminal, Write};
use std::process::ExitCode;

use clap::Parser;
use clap::error::ErrorKind;
use tikv_jemallocator::Jemalloc;

use cti_bridge::cli::{Cli, Command};
use cti_bridge::commands::{
    Failure, apply, audit, changelog, compare, doctor, explain, plan, quarantine, record, replay, rollback,
    rules, run, tap, translate, verify,
};
use cti_bridge::exit_code::Exit;
use cti_bridge::render;

#[global_allocator]
static ALLOCATOR: Jemalloc = Jemalloc;

fn main() -> ExitCode {
    let cli = match Cli::try_parse() {
        Ok(cli) => cli,
        Err(error) => return told(&error),
    };
    if std::env::args_os().any(|argument| render::holds_a_secret(&argument.to_string_lossy())) {
        let message = "a password on the command line can be read by every user of this machine";
        return report(&Failure::new(Exit::Usage, message).help(
            "put the address into the environment, as CTI_BRIDGE_AMQP_URL or CTI_BRIDGE_MANAGEMENT_URL, or the \
             password into a file and `bus: {password_file: …}` into the configuration",
        ))
        .into();
    }
    let result = match &cli.command {
        Command::Run(command) => run::run(command),
        Command::Translate(command) => translate::translate(command),
        Command::Rules(command) => rules::rules(command),
        Command::Changelog(command) => changelog::changelog(command),
        Command::Doctor(command) => doctor::doctor(command),
        Command::Verify(command) => verify::verify(command),
        Command::Quarantine(command) => quarantine::quarantine(command),
        Command::Plan(command) => plan::plan(command),
        Command::Apply(command) => apply::apply(command),
        Command::Rollback(command) => rollback::rollback(command),
        Command::Record(command) => record::record(command),
        Command::Replay(command) => replay::replay(command),
        Command::Compare(command) => compare::compare(command),
        Command::Tap(command) => tap::tap(command),
        Command::Audit(command) => audit::audit(command),
        Command::Explain(command) => explain::explain(command),
    };
    match result {
        Ok(exit) => exit.into(),
        Err(failure) => report(&failure).into(),
    }
}

/// clap's own message, with the exit code of this program: 64 where clap has 2.
fn told(error: &clap::Error) -> ExitCode {
    let exit = match error.kind() {
        ErrorKind::DisplayHelp | ErrorKind::DisplayVersion => Exit::Done,
        _ => Exit::Usage,
    };
    let text = error.to_string();
    let shown = render::without_passwords(&text);
    // Nothing is left to be done where even this cannot be written.
    let _ = if shown == text {
        error.print()
    } else {
        // clap repeats what it does not understand, and that may be the address of a broker.
        std::io::stderr().write_all(shown.as_bytes())
    };
    exit.into()
}

fn report(failure: &Failure) -> Exit {
    let text = render::without_passwords(&failure.to_string());
    let colours = std::io::stderr().is_terminal() && std::env::var_os("NO_COLOR").is_none();
    let text = if colours { text.replace("error:", "\u{1b}[1;31merror:\u{1b}[0m") } else { text };
    let _ = std::io::stderr().write_all(text.as_bytes());
    failure.exit
}
