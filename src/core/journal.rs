//! What `apply` and `rollback` did, line by line: written before and after each step, so that whatever happens in
//! between, the next run knows what is ours.
//!
//! A step whose object was there before it is *not* ours and is never undone. A step that was begun and not ended may
//! or may not have reached the broker; it was begun because its object was not there, so what is there now is ours.

use serde::{Deserialize, Serialize};

use super::plan::Plan;
use super::step::Action;

/// The schema of a journal, in its first line.
pub const SCHEMA: &str = "cti-bridge/journal/1";

/// The first line.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Header {
    /// The schema's name and version.
    pub schema: String,
    /// The version of this program that began it.
    pub tool_version: String,
    /// The broker and virtual host, without user and password.
    pub broker: String,
}

/// Any other line.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Line {
    /// The step's number in its plan, from one.
    pub step: usize,
    /// What is the case.
    pub state: State,
    /// What the step does.
    pub action: Action,
}

/// How far a step is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum State {
    /// It was not done yet, and is begun.
    Doing,
    /// Done by us.
    Done,
    /// Refused by the broker: nothing was done.
    Failed,
    /// It was done before we came, so it is not ours.
    Found,
    /// Its undoing is begun.
    Undoing,
    /// Undone by us.
    Undone,
}

/// A journal that was read.
#[derive(Debug, Clone, PartialEq)]
pub struct Journal {
    /// Its first line.
    pub header: Header,
    /// The steps that it tells of, each with its last state, by their numbers.
    pub steps: Vec<Line>,
}

/// A text that is not a journal.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum JournalError {
    /// The first line is missing or torn.
    #[error("there is no first line that names the broker")]
    NoHeader,
    /// Another format.
    #[error("it is a `{found}`, and this program reads `{SCHEMA}`")]
    OtherSchema {
        /// What it says it is.
        found: String,
    },
    /// A line that is not the last one cannot be read.
    #[error("line {line}: {reason}")]
    Unreadable {
        /// Its number, from one.
        line: usize,
        /// Why.
        reason: String,
    },
    /// A line tells something else of a step than an earlier one.
    #[error("line {line}: step {step} was another one before")]
    OtherAction {
        /// Its number, from one.
        line: usize,
        /// The step.
        step: usize,
    },
}

/// Where a plan and a journal do not belong together.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("step {step} of the plan: {planned}; of the state file: {journalled}")]
pub struct OtherPlan {
    /// The step.
    pub step: usize,
    /// What the plan says.
    pub planned: String,
    /// What the journal says.
    pub journalled: String,
}

impl Journal {
    /// A journal in which nothing has happened yet.
    #[must_use]
    pub fn new(tool_version: &str, broker: &str) -> Self {
        let header =
            Header { schema: SCHEMA.into(), tool_version: tool_version.into(), broker: broker.into() };
        Self { header, steps: Vec::new() }
    }

    /// Reads a journal. A last line without its end was being written when the program or the machine stopped: it
    /// promises nothing and is left out.
    ///
    /// # Errors
    /// When anything else cannot be read.
    pub fn read(text: &str) -> Result<Self, JournalError> {
        let mut lines = text
            .split_inclusive('\n')
            .enumerate()
            .filter_map(|(at, line)| Some((at + 1, line.strip_suffix('\n')?)))
            .filter(|(_, line)| !line.trim().is_empty());
        let (_, first) = lines.next().ok_or(JournalError::NoHeader)?;
        let header: serde_json::Value = serde_json::from_str(first).map_err(|_| JournalError::NoHeader)?;
        match header.get("schema").and_then(serde_json::Value::as_str) {
            Some(SCHEMA) => {}
            Some(found) => return Err(JournalError::OtherSchema { found: found.to_owned() }),
            None => return Err(JournalError::NoHeader),
        }
        let header = serde_json::from_value(header)
            .map_err(|error| JournalError::Unreadable { line: 1, reason: error.to_string() })?;
        let mut journal = Self { header, steps: Vec::new() };
        for (number, line) in lines {
            let line: Line = serde_json::from_str(line)
                .map_err(|error| JournalError::Unreadable { line: number, reason: error.to_string() })?;
            let step = line.step;
            journal.note(line).map_err(|()| JournalError::OtherAction { line: number, step })?;
        }
        Ok(journal)
    }

    /// The length of the text without a torn last line, to which lines can be added.
    #[must_use]
    pub fn whole_bytes(text: &str) -> usize {
        text.rfind('\n').map_or(0, |at| at + 1)
    }

    /// Takes a line in.
    ///
    /// # Errors
    /// When the step is another one than before.
    #[allow(clippy::result_unit_err)]
    pub fn note(&mut self, line: Line) -> Result<(), ()> {
        match self.steps.iter_mut().find(|known| known.step == line.step) {
            Some(known) if known.action != line.action => Err(()),
            Some(known) => {
                known.state = line.state;
                Ok(())
            }
            None => {
                self.steps.push(line);
                self.steps.sort_by_key(|line| line.step);
                Ok(())
            }
        }
    }

    /// The last state of a step, by its number.
    #[must_use]
    pub fn state(&self, step: usize) -> Option<State> {
        self.steps.iter().find(|line| line.step == step).map(|line| line.state)
    }

    /// Whether what this step makes, if it is there, is ours.
    #[must_use]
    pub fn is_ours(&self, step: usize) -> bool {
        matches!(self.state(step), Some(State::Doing | State::Done | State::Undoing))
    }

    /// Whether a step of this journal made one of the ends of a binding.
    #[must_use]
    pub fn made_an_end_of(&self, action: &Action) -> bool {
        let (exchanges, queues) = action.names();
        let makes_it = |line: &Line| match &line.action {
            Action::DeclareExchange(exchange) => exchanges.contains(&exchange.name.as_str()),
            Action::DeclareQueue(queue) => queues.contains(&queue.name.as_str()),
            _ => false,
        };
        self.steps.iter().any(|line| self.is_ours(line.step) && makes_it(line))
    }

    /// What is ours and to be undone, the last step first.
    #[must_use]
    pub fn to_undo(&self) -> Vec<&Line> {
        self.steps.iter().rev().filter(|line| self.is_ours(line.step)).collect()
    }

    /// That this is the journal of this plan.
    ///
    /// # Errors
    /// When a step is another one in the plan.
    pub fn belongs_to(&self, plan: &Plan) -> Result<(), OtherPlan> {
        for line in &self.steps {
            let planned = line.step.checked_sub(1).and_then(|at| plan.steps.get(at)).map(|step| &step.action);
            if planned != Some(&line.action) {
                return Err(OtherPlan {
                    step: line.step,
                    planned: planned.map_or_else(|| "none".to_owned(), ToString::to_string),
                    journalled: line.action.to_string(),
                });
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::core::site::{Arguments, Binding, Destination};

    fn action(key: &str) -> Action {
        Action::Bind(Binding {
            source: "xivo".into(),
            destination: Destination::Queue("q".into()),
            key: key.into(),
            arguments: Arguments::new(),
        })
    }

    fn text(lines: &[(usize, State, &str)]) -> String {
        let header = serde_json::to_string(&Journal::new("0.1.0", "amqp://h:5672/%2f").header).unwrap();
        let lines = lines.iter().map(|(step, state, key)| {
            serde_json::to_string(&Line { step: *step, state: *state, action: action(key) }).unwrap()
        });
        [header].into_iter().chain(lines).map(|line| format!("{line}\n")).collect()
    }

    fn to_undo(journal: &Journal) -> Vec<usize> {
        journal.to_undo().iter().map(|line| line.step).collect()
    }

    #[test]
    fn what_was_found_there_is_not_ours_and_what_was_begun_is() {
        use State::{Doing, Done, Failed, Found, Undoing, Undone};
        let journal = Journal::read(&text(&[
            (1, Found, "a"),
            (2, Doing, "b"),
            (2, Done, "b"),
            (3, Doing, "c"),
            (3, Done, "c"),
            (3, Undoing, "c"),
            (3, Undone, "c"),
            (4, Doing, "d"),
            (4, Done, "d"),
            (4, Undoing, "d"),
            (5, Doing, "e"),
            (6, Doing, "f"),
            (6, Failed, "f"),
        ]))
        .unwrap();
        assert_eq!(to_undo(&journal), [5, 4, 2]);
        assert_eq!((journal.state(3), journal.state(7)), (Some(Undone), None));
    }

    #[test]
    fn a_torn_last_line_promises_nothing() {
        let whole = text(&[(1, State::Doing, "a"), (1, State::Done, "a")]);
        for cut in 1..whole.len() {
            let torn = &whole[..whole.len() - cut];
            let kept = &torn[..Journal::whole_bytes(torn)];
            match Journal::read(torn) {
                Ok(journal) => assert_eq!(Journal::read(kept).unwrap(), journal),
                Err(error) => assert_eq!((error, kept), (JournalError::NoHeader, "")),
            }
        }
        let journal = Journal::read(&whole[..whole.len() - 1]).unwrap();
        assert_eq!(journal.state(1), Some(State::Doing));
    }

    #[test]
    fn any_other_line_that_cannot_be_read_is_told_with_its_number() {
        let text = text(&[(1, State::Doing, "a")]).replace("\"doing\"", "\"dreaming\"") + "{}\n";
        let Err(JournalError::Unreadable { line: 2, reason }) = Journal::read(&text) else { panic!() };
        assert!(reason.contains("dreaming"), "{reason}");
    }

    #[test]
    fn another_schema_or_none_is_refused() {
        let other = text(&[]).replace("journal/1", "journal/2");
        assert_eq!(
            Journal::read(&other),
            Err(JournalError::OtherSchema { found: "cti-bridge/journal/2".into() })
        );
        for text in ["", "{}\n", "not json\n"] {
            assert_eq!(Journal::read(text), Err(JournalError::NoHeader));
        }
    }

    #[test]
    fn a_step_that_changes_its_meaning_is_refused() {
        let text = text(&[(1, State::Doing, "a"), (1, State::Done, "b")]);
        assert_eq!(Journal::read(&text), Err(JournalError::OtherAction { line: 3, step: 1 }));
    }
}
