//! `rollback`: undoes what a state file says is ours, in reverse.

use std::collections::BTreeSet;

use serde_json::{Value, json};

use super::look::{self, Look, Need};
use super::state_file::StateFile;
use super::{Failure, approval, runtime, settings};
use crate::amqp::{BrokerAddress, Messages, Migrator, Object, StepError};
use crate::cli::{Output, Rollback};
use crate::config::Layer;
use crate::core::journal::{Line, State};
use crate::core::settings::BridgeId;
use crate::core::site::{Binding, Queue, Site};
use crate::core::step::Action;
use crate::core::undo::{marks, obstacles};
use crate::exit_code::Exit;
use crate::render::{self, counted};

/// Undoes the steps of a state file.
///
/// # Errors
/// When the state file cannot be used, others depend on what it made, nobody approves, or a step fails.
pub fn rollback(command: &Rollback) -> Result<Exit, Failure> {
    let mut state = StateFile::read(&command.state)?;
    let options = Layer { origin_uuid: command.origin_uuid.clone(), ..Layer::default() };
    let config = settings::read(&command.site.broker, options)?;
    let address =
        look::broker_at(&config, &command.site.sources, &state.journal.header.broker, "the state file")?;
    let undo: Vec<Line> = state.journal.to_undo().into_iter().cloned().collect();
    if let Some(unknown) =
        command.discard.iter().find(|name| !undo.iter().any(|line| makes_queue(line, name)))
    {
        let unknown = render::printable(unknown);
        let message = format!("`--discard {unknown}`: {} made no such queue", state.shown());
        return Err(Failure::new(Exit::Usage, message));
    }
    let of_config = config.identity.as_ref().map(|identity| identity.bridge_id.clone());
    let bridge_id = command.bridge_id.clone().or(of_config);
    let work = Work { address, bridge_id, undo, discard: command.discard.iter().cloned().collect(), command };
    if work.undo.is_empty() {
        return told(command, &state, 0);
    }
    let mut look = work.look()?;
    for line in &work.undo {
        for action in work.shown_marks(line, &look).into_iter().chain([line.action.inverse()]) {
            let (sign, object) = (action.sign(), action.object());
            eprintln!("  {sign} {object:8}  {}", render::printable(&action.subject()));
        }
    }
    if let Look::Unseen { why } = &look {
        eprintln!(
            "not checked: what else is bound to our queues, as nothing shows the site ({why}); what the broker can \
             check itself, it does"
        );
    }
    if !command.dry_run {
        look::refuse_another_broker(&command.site, &config, &work.address, &look)?;
    }
    work.refuse_what_others_need(&look)?;
    if command.dry_run {
        if command.output == Output::Json {
            super::print(&work.document(&look, &state))?;
        }
        eprintln!("nothing was undone (--dry-run)");
        return Ok(Exit::Done);
    }
    let question = format!("undo {} on {}?", counted(work.undo.len(), "step"), work.address);
    approval::ask(&question, command.approve)?;
    if !command.approve {
        // The answer may have taken its time.
        look = work.look()?;
        work.refuse_what_others_need(&look)?;
    }
    let undone = runtime::block_on(|| work.carry_out(&look, &mut state));
    if command.output == Output::Json {
        super::print(&work.document(&look, &state))?;
    }
    undone?;
    work.check(&look)?;
    match command.output {
        Output::Json => Ok(Exit::Done),
        Output::Text => told(command, &state, work.undo.len()),
    }
}

fn makes_queue(line: &Line, name: &str) -> bool {
    matches!(&line.action, Action::DeclareQueue(queue) if queue.name == name)
}

struct Work<'c> {
    address: BrokerAddress,
    /// Where the settings tell it.
    bridge_id: Option<BridgeId>,
    /// The last step first.
    undo: Vec<Line>,
    discard: BTreeSet<String>,
    command: &'c Rollback,
}

impl Work<'_> {
    /// The marks that go with a step. What a file shows is from before the bridge started.
    fn shown_marks(&self, line: &Line, look: &Look) -> Vec<Action> {
        let site = look.site().filter(|_| look::is_live(&self.command.site.sources));
        let shows = |mark: &Binding| site.is_none_or(|site| site.bindings.contains(mark));
        self.marks(line, look.site()).into_iter().filter(shows).map(Action::Unbind).collect()
    }

    fn marks(&self, line: &Line, seen: Option<&Site>) -> Vec<Binding> {
        match &line.action {
            Action::DeclareExchange(made) => marks(made, seen, self.bridge_id.as_ref()),
            _ => Vec::new(),
        }
    }

    fn look(&self) -> Result<Look, Failure> {
        look::look(&self.command.site, &self.address, Need::MayMiss)
    }

    fn refuse_what_others_need(&self, look: &Look) -> Result<(), Failure> {
        let site = runtime::block_on(|| self.counted(look))?;
        let obstacles = obstacles(&self.undo.iter().collect::<Vec<_>>(), &site, &self.discard);
        if obstacles.is_empty() {
            return Ok(());
        }
        let told = obstacles.iter().map(|obstacle| {
            let (what, why) = (render::printable(&obstacle.what), render::printable(&obstacle.why));
            format!("error: cannot {what}: {why}\n  = help: {}; nothing was undone\n", obstacle.help)
        });
        Err(Failure::rendered(Exit::Misconfigured, told.collect()))
    }

    /// The site with what its own queues hold at this moment; statistics are some seconds old.
    async fn counted(&self, look: &Look) -> Result<Site, Failure> {
        let migrator = self.connect().await?;
        let not_told =
            |error| Failure::new(Exit::Unreachable, format!("cannot look for what is there: {error}"));
        let mut site = look.site().cloned().unwrap_or_default();
        for line in &self.undo {
            match &line.action {
                Action::DeclareQueue(made) => {
                    let counts = migrator.queue(&made.name).await.map_err(not_told)?;
                    let shown = site.queue(&made.name).cloned();
                    site.queues.retain(|queue| queue.name != made.name);
                    if let Some(counts) = counts {
                        // Whether it is what was made is seen by the broker where nothing else shows it.
                        site.queues.push(Queue {
                            messages: Some(counts.messages.into()),
                            consumers: Some(counts.consumers.into()),
                            ..shown.unwrap_or_else(|| made.clone())
                        });
                    }
                }
                Action::Unbind(_) if look.site().is_none() => {
                    self.find_ends(&migrator, line, &mut site).await?
                }
                _ => {}
            }
        }
        migrator.close().await;
        Ok(site)
    }

    /// Puts the ends of a binding into a site that was not seen, if they are there.
    async fn find_ends(&self, migrator: &Migrator, line: &Line, site: &mut Site) -> Result<(), Failure> {
        let not_told =
            |error| Failure::new(Exit::Unreachable, format!("cannot look for what is there: {error}"));
        let (exchanges, queues) = line.action.names();
        for name in exchanges {
            if migrator.has_exchange(name).await.map_err(not_told)? {
                site.exchanges.push(crate::core::site::Exchange {
                    name: name.to_owned(),
                    kind: String::new(),
                    durable: None,
                    auto_delete: None,
                    internal: None,
                    arguments: Default::default(),
                    published: None,
                });
            }
        }
        for name in queues {
            if migrator.queue(name).await.map_err(not_told)?.is_some() {
                site.queues.push(Queue { name: name.to_owned(), ..Queue::default() });
            }
        }
        Ok(())
    }

    async fn connect(&self) -> Result<Migrator, Failure> {
        Migrator::connect(&self.address).await.map_err(|error| runtime::not_connected(&error))
    }

    async fn carry_out(&self, look: &Look, state: &mut StateFile) -> Result<(), Failure> {
        let migrator = self.connect().await?;
        for line in &self.undo {
            let action = line.action.inverse();
            eprintln!("step {}: {action}", line.step);
            state.note(line.step, State::Undoing, &line.action)?;
            if let Err(error) = self.undo(line, look.site(), &migrator).await {
                let mut text = format!(
                    "error: cannot {}: {}\n  = while: undoing step {}\n",
                    render::printable(&action.to_string()),
                    render::printable(&error.to_string()),
                    line.step
                );
                for line in &self.undo {
                    let word = match state.journal.state(line.step) {
                        Some(State::Undone) => "undone",
                        Some(State::Undoing) if !error.is_certain() => "perhaps undone",
                        _ => "not undone",
                    };
                    text.push_str(&format!("  {word:15}  {}\n", render::printable(&line.action.to_string())));
                }
                let is_bound = matches!(&error, StepError::InUse { object: Object::Exchange, .. });
                if is_bound && look.site().is_none() {
                    text.push_str(
                        "  = help: `--management-url` shows what is bound to it, and the bridge's mark goes then; so it \
                         does where its `--origin-uuid` or `--bridge-id` is given\n",
                    );
                }
                text.push_str("  = help: repeating it is harmless and undoes the rest\n");
                return Err(Failure::rendered(Exit::PartlyDone, vec![text]));
            }
            state.note(line.step, State::Undone, &line.action)?;
        }
        migrator.close().await;
        Ok(())
    }

    async fn undo(&self, line: &Line, seen: Option<&Site>, migrator: &Migrator) -> Result<(), StepError> {
        for mark in self.marks(line, seen) {
            migrator.perform(&Action::Unbind(mark), Messages::Keep).await?;
        }
        let messages = match &line.action {
            Action::DeclareQueue(queue) if self.discard.contains(&queue.name) => Messages::Discard,
            _ => Messages::Keep,
        };
        migrator.perform(&line.action.inverse(), messages).await
    }

    fn document(&self, look: &Look, state: &StateFile) -> String {
        let steps = self.undo.iter().map(|line| {
            json!({"step": line.step, "action": line.action.inverse(), "marks": self.shown_marks(line, look),
                "state": state.journal.state(line.step)})
        });
        document(steps.collect(), state)
    }

    /// Looks once more, where that is possible, that everything is as it was before.
    fn check(&self, look: &Look) -> Result<(), Failure> {
        if look.site().is_none() || !look::is_live(&self.command.site.sources) {
            return Ok(());
        }
        let look = self.look()?;
        let Some(site) = look.site() else { return Ok(()) };
        match self.undo.iter().find(|line| !line.action.inverse().is_done(site)) {
            None => Ok(()),
            Some(line) => {
                let action = render::printable(&line.action.inverse().to_string());
                let message = format!("the broker does not show what was done: {action}");
                Err(Failure::new(Exit::PartlyDone, message).help("look with `cti-bridge plan` what is there"))
            }
        }
    }
}

fn told(command: &Rollback, state: &StateFile, undone: usize) -> Result<Exit, Failure> {
    match command.output {
        Output::Json => super::print(&document(Vec::new(), state))?,
        Output::Text if undone == 0 => {
            super::print(&format!("nothing to undo: nothing is ours by {}\n", state.shown()))?;
        }
        Output::Text => {
            super::print(&format!("{} undone\n", counted(undone, "step")))?;
        }
    }
    Ok(Exit::Done)
}

fn document(steps: Vec<Value>, state: &StateFile) -> String {
    render::document("rollback", json!({"state_file": state.shown(), "steps": steps}))
}
