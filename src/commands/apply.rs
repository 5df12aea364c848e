//! `apply`: carries out a saved plan, step by step, and keeps a journal.

use std::path::{Path, PathBuf};

use serde_json::json;

use super::look::{self, Look, Need};
use super::plan_file::PlanFile;
use super::state_file::StateFile;
use super::{Failure, approval, runtime, settings};
use crate::amqp::{BrokerAddress, Messages, Migrator, StepError};
use crate::cli::{Apply, Output};
use crate::config::Layer;
use crate::core::journal::State;
use crate::core::plan::{Plan, Step};
use crate::core::step::Action;
use crate::exit_code::Exit;
use crate::render::plan::Colours;
use crate::render::{self, counted};

/// Carries out a plan.
///
/// # Errors
/// When the plan cannot be used, the site has changed, nobody approves, or a step fails.
pub fn apply(command: &Apply) -> Result<Exit, Failure> {
    let file = PlanFile::read(&command.plan)?;
    let config = settings::read(&command.site.broker, Layer::default())?;
    let work = Work {
        address: look::broker_at(&config, &command.site.sources, &file.broker, "the plan")?,
        need: if file.live { Need::MustSee } else { Need::MayMiss },
        plan: &file.plan,
        command,
    };
    work.refuse_what_cannot_be()?;
    let path = command.state.clone().unwrap_or_else(|| beside(&command.plan));
    let mut state = StateFile::read_or_new(&path, &file.broker)?;
    if state.journal.to_undo().is_empty() {
        // What was taken back stands in the way of nothing.
        state.start_anew(&file.broker);
    }
    work.refuse_another_journal(&state, &file.broker)?;
    let mut standing = work.standing(&state)?;
    if !work.plan.steps.is_empty() {
        look::refuse_another_broker(&command.site, &config, &work.address, &standing.look)?;
    }
    let pending = standing.pending(work.plan);
    if !pending.is_empty() {
        eprint!("{}", render::plan::steps(&pending, Colours::Off));
        if let Look::Unseen { why } = &standing.look {
            eprintln!(
                "not checked: bindings, and what the plan would change in them, as nothing shows the site ({why})"
            );
        }
        approval::ask(
            &format!("do {} on {}?", counted(pending.len(), "step"), work.address),
            command.approve,
        )?;
        if !command.approve {
            // The answer may have taken its time.
            standing = work.standing(&state)?;
        }
    }
    state.begin()?;
    let carried_out = runtime::block_on(|| work.carry_out(&standing, &mut state));
    if command.output == Output::Json {
        super::print(&document(work.plan, &state))?;
    }
    let done = carried_out?;
    work.check(&standing)?;
    if command.output == Output::Text {
        super::print(&told(work.plan, done, command, &state))?;
    }
    Ok(if work.plan.impossible.is_empty() { Exit::Done } else { Exit::PartlyDone })
}

/// The state file of a plan.
fn beside(plan: &Path) -> PathBuf {
    let mut name = plan.as_os_str().to_owned();
    name.push(".state");
    name.into()
}

struct Work<'c> {
    address: BrokerAddress,
    need: Need,
    plan: &'c Plan,
    command: &'c Apply,
}

/// How far things are.
struct Standing {
    look: Look,
    /// Whether each step is done already, by whomever.
    done: Vec<bool>,
}

impl Standing {
    fn pending<'p>(&self, plan: &'p Plan) -> Vec<&'p Step> {
        plan.steps.iter().zip(&self.done).filter(|(_, done)| !**done).map(|(step, _)| step).collect()
    }
}

impl Work<'_> {
    fn refuse_what_cannot_be(&self) -> Result<(), Failure> {
        if let Some(conflict) = self.plan.conflicts.first() {
            return Err(Failure::new(Exit::Misconfigured, render::printable(&conflict.to_string()))
                .help(conflict.help()));
        }
        match self.plan.impossible.first() {
            Some(first) if !self.command.partial => {
                let message = format!(
                    "the plan cannot be carried out whole: {}: {}",
                    render::printable(&first.what),
                    render::printable(&first.why)
                );
                Err(Failure::new(Exit::Misconfigured, message)
                    .help(render::printable(&first.help))
                    .help("`--partial` does the rest"))
            }
            _ => Ok(()),
        }
    }

    fn refuse_another_journal(&self, state: &StateFile, broker: &str) -> Result<(), Failure> {
        let help = "name another state file with `--state`, or roll this one back first";
        state.journal.belongs_to(self.plan).map_err(|error| {
            let why = render::printable(&error.to_string());
            Failure::new(Exit::BadInput, format!("{} is of another plan: {why}", state.shown())).help(help)
        })?;
        let journalled = &state.journal.header.broker;
        if journalled == broker {
            return Ok(());
        }
        let message = format!("{} is of {}", state.shown(), render::printable(journalled));
        Err(Failure::new(Exit::BadInput, message).help(help))
    }

    /// Looks at the site, refuses it where it has drifted, and sees which steps are done.
    fn standing(&self, state: &StateFile) -> Result<Standing, Failure> {
        let planned = self.plan.basis.vhost.as_ref();
        if let Some(vhost) = planned.filter(|vhost| **vhost != self.address.vhost) {
            let message = format!(
                "the plan was made for the virtual host `{}`, and {} is named",
                render::printable(vhost),
                self.address
            );
            return Err(Failure::new(Exit::Misconfigured, message).help("name it with `--vhost`"));
        }
        let look = look::look(&self.command.site, &self.address, self.need)?;
        let done = match look.site() {
            Some(site) => {
                let drift = self.plan.drift(site);
                if !drift.is_empty() {
                    let drift =
                        drift.iter().map(|drift| format!("  {}\n", render::printable(&drift.to_string())));
                    let text = format!(
                        "error: the site has changed since the plan was made\n{}  = help: plan anew; nothing was done\n",
                        drift.collect::<String>()
                    );
                    return Err(Failure::rendered(Exit::Misconfigured, vec![text]));
                }
                self.plan.steps.iter().map(|step| step.action.is_done(site)).collect()
            }
            None => runtime::block_on(|| self.asked_for(state))?,
        };
        Ok(Standing { look, done })
    }

    /// Which steps are done, as far as AMQP tells, and the journal where it does not.
    async fn asked_for(&self, state: &StateFile) -> Result<Vec<bool>, Failure> {
        let migrator = self.connect().await?;
        let mut done = Vec::new();
        for (at, step) in self.plan.steps.iter().enumerate() {
            let journalled = matches!(state.journal.state(at + 1), Some(State::Done | State::Found));
            let is_there = exists(&migrator, &step.action).await.map_err(|error| {
                Failure::new(Exit::Unreachable, format!("cannot look for what is there: {error}"))
            })?;
            done.push(is_there.unwrap_or(journalled));
        }
        migrator.close().await;
        Ok(done)
    }

    async fn connect(&self) -> Result<Migrator, Failure> {
        Migrator::connect(&self.address).await.map_err(|error| runtime::not_connected(&error))
    }

    /// Does what is not done, and says how many steps that were.
    async fn carry_out(&self, standing: &Standing, state: &mut StateFile) -> Result<usize, Failure> {
        let mut migrator = None;
        let mut count = 0;
        for (at, (step, done)) in self.plan.steps.iter().zip(&standing.done).enumerate() {
            let (number, action) = (at + 1, &step.action);
            if *done {
                settle(state, number, action)?;
                continue;
            }
            let migrator = match &migrator {
                Some(migrator) => migrator,
                None => migrator.insert(self.connect().await?),
            };
            eprintln!("step {number} of {}: {action}", self.plan.steps.len());
            if self.do_step(migrator, state, (number, action), standing.look.site().is_some()).await? {
                count += 1;
            }
        }
        if let Some(migrator) = migrator {
            migrator.close().await;
        }
        Ok(count)
    }

    /// Does a step; whether it was left to be done is the answer.
    async fn do_step(
        &self,
        migrator: &Migrator,
        state: &mut StateFile,
        (number, action): (usize, &Action),
        is_seen: bool,
    ) -> Result<bool, Failure> {
        // Somebody may have been quicker than us; then it is not ours, and has to be what the plan says.
        let is_there =
            exists(migrator, action).await.map_err(|error| self.failed(number, action, &error, state))?;
        // AMQP does not tell whether a binding was there. One between what others made may have been, and is not ours.
        let is_ours = match (is_there, action) {
            (Some(is_there), _) => !is_there,
            (None, Action::Bind(_)) => is_seen || state.journal.made_an_end_of(action),
            (None, _) => true,
        };
        if is_ours {
            state.note(number, State::Doing, action)?;
        }
        match migrator.perform(action, Messages::Keep).await {
            Ok(()) if !is_ours => {
                settle(state, number, action)?;
                Ok(false)
            }
            Ok(()) => {
                state.note(number, State::Done, action)?;
                Ok(true)
            }
            Err(error) => {
                if error.is_certain() {
                    state.note(number, State::Failed, action)?;
                }
                Err(self.failed(number, action, &error, state))
            }
        }
    }

    fn failed(&self, number: usize, action: &Action, error: &StepError, state: &StateFile) -> Failure {
        let steps = &self.plan.steps;
        let mut text = format!(
            "error: cannot {}: {}\n  = while: step {number} of {}\n",
            render::printable(&action.to_string()),
            render::printable(&error.to_string()),
            steps.len()
        );
        for (at, step) in steps.iter().enumerate() {
            let word = match state.journal.state(at + 1) {
                Some(State::Done | State::Undoing) => "done",
                Some(State::Found) => "was done before",
                Some(State::Doing) => "perhaps done",
                Some(State::Failed) => "refused",
                Some(State::Undone) | None => "not done",
            };
            text.push_str(&format!("  {word:15}  {}\n", render::printable(&step.action.to_string())));
        }
        let plan = render::printable(&self.command.plan.display().to_string());
        text.push_str(&format!(
            "  = help: repeating `cti-bridge apply {plan}` is harmless and does the rest; `cti-bridge rollback {}` takes \
             it back\n",
            state.shown()
        ));
        Failure::rendered(Exit::PartlyDone, vec![text])
    }

    /// Looks once more, where that is possible, that everything is as it was planned.
    fn check(&self, standing: &Standing) -> Result<(), Failure> {
        if standing.look.site().is_none()
            || !look::is_live(&self.command.site.sources)
            || standing.pending(self.plan).is_empty()
        {
            return Ok(());
        }
        let look = look::look(&self.command.site, &self.address, self.need)?;
        let Some(site) = look.site() else { return Ok(()) };
        match self.plan.steps.iter().find(|step| !step.action.is_done(site)) {
            None => Ok(()),
            Some(step) => {
                let action = render::printable(&step.action.to_string());
                let message = format!("the broker does not show what was done: {action}");
                Err(Failure::new(Exit::PartlyDone, message).help("repeat `apply`; it is harmless"))
            }
        }
    }
}

/// Whether what a declaration makes is there; none for what AMQP cannot be asked for.
async fn exists(migrator: &Migrator, action: &Action) -> Result<Option<bool>, StepError> {
    Ok(match action {
        Action::DeclareExchange(exchange) => Some(migrator.has_exchange(&exchange.name).await?),
        Action::DeclareQueue(queue) => Some(migrator.queue(&queue.name).await?.is_some()),
        _ => None,
    })
}

/// Notes whose a step is that is done already.
fn settle(state: &mut StateFile, number: usize, action: &Action) -> Result<(), Failure> {
    let settled = if state.journal.is_ours(number) { State::Done } else { State::Found };
    if state.journal.state(number) == Some(settled) { Ok(()) } else { state.note(number, settled, action) }
}

fn told(plan: &Plan, done: usize, command: &Apply, state: &StateFile) -> String {
    let name = render::printable(&command.plan.display().to_string());
    let total = plan.steps.len();
    if done == 0 {
        return format!("nothing to do: {} of {name} done already\n", counted(total, "step"));
    }
    let before = match total - done {
        0 => String::new(),
        before => format!(", {before} done before"),
    };
    let undo = state.shown();
    format!("{} of {name} done{before}; `cti-bridge rollback {undo}` takes it back\n", counted(done, "step"))
}

fn document(plan: &Plan, state: &StateFile) -> String {
    let steps: Vec<_> = plan
        .steps
        .iter()
        .enumerate()
        .map(
            |(at, step)| json!({"step": at + 1, "action": step.action, "state": state.journal.state(at + 1)}),
        )
        .collect();
    render::document("apply", json!({"state_file": state.shown(), "steps": steps}))
}
