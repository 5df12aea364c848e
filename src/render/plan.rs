//! Plans for people: `+` is added, `-` removed, `~` rebound, `!` cannot be done.

use std::fmt::Write as _;

use super::{counted, printable, table};
use crate::core::plan::{Mode, Plan, Step};

/// Whether signs are in colour.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Colours {
    /// On a terminal.
    On,
    /// Everywhere else.
    Off,
}

impl Colours {
    fn sign(self, sign: char) -> String {
        let colour = match sign {
            '+' => 32,
            '-' | '!' => 31,
            _ => 33,
        };
        match self {
            Self::On => format!("\u{1b}[{colour}m{sign}\u{1b}[0m"),
            Self::Off => sign.to_string(),
        }
    }
}

/// A whole plan.
#[must_use]
pub fn plan(plan: &Plan, colours: Colours) -> String {
    let mut text = String::new();
    let steps: Vec<&Step> = plan.steps.iter().collect();
    text.push_str(&self::steps(&steps, colours));
    for impossible in &plan.impossible {
        let sign = colours.sign('!');
        let _ = writeln!(text, "  {sign} {}: {}", printable(&impossible.what), printable(&impossible.why));
        let _ = writeln!(text, "      = help: {}", printable(&impossible.help));
    }
    if !plan.clients.is_empty() {
        text.push_str("\nclients of the legacy exchanges\n");
        text.push_str(&clients(plan));
    }
    if !plan.notes.is_empty() {
        text.push('\n');
    }
    for note in &plan.notes {
        let _ = writeln!(text, "note: {}", printable(note));
    }
    text.push('\n');
    if plan.conflicts.is_empty() {
        text.push_str(match plan.mode {
            Mode::Bridge => "no message goes round or comes twice\n",
            Mode::Native => "bindings alone: the daemon must not run here, or events come twice\n",
        });
    }
    for conflict in &plan.conflicts {
        let _ = writeln!(text, "{} {}", colours.sign('!'), printable(&conflict.to_string()));
        let _ = writeln!(text, "    = help: {}", conflict.help());
    }
    text.push_str(&totals(plan));
    text
}

/// Steps, one line each; those that rebind a queue under its name.
#[must_use]
pub fn steps(steps: &[&Step], colours: Colours) -> String {
    let mut text = String::new();
    let mut queue = None;
    for step in steps {
        let indent = if step.rebinds.is_some() { "    " } else { "  " };
        if step.rebinds != queue {
            queue.clone_from(&step.rebinds);
            if let Some(queue) = &step.rebinds {
                let sign = colours.sign('~');
                let _ = writeln!(text, "  {sign} queue     {}  # leaves the bridge", printable(queue));
            }
        }
        let (sign, object) = (colours.sign(step.action.sign()), step.action.object());
        let (subject, why) = (printable(&step.action.subject()), printable(&step.why));
        let _ = writeln!(text, "{indent}{sign} {object:8}  {subject}  # {why}");
    }
    text
}

fn clients(plan: &Plan) -> String {
    let mut rows = Vec::new();
    for client in &plan.clients {
        let mut queue = printable(&client.queue);
        if client.exclusive == Some(true) {
            queue.push_str(" (exclusive)");
        }
        if !client.who.is_empty() {
            let _ = write!(queue, ", {}", printable(&client.who.join(", ")));
        }
        for need in &client.needs {
            let event = match &need.event {
                Some(event) if *event != need.key => format!("{} ({event})", need.key),
                _ => need.key.clone(),
            };
            rows.push([
                format!("  {queue}"),
                printable(&need.exchange),
                printable(&event),
                need.served.words().to_owned(),
                printable(&need.note),
            ]);
            queue.clear();
        }
    }
    table(&rows)
}

fn totals(plan: &Plan) -> String {
    let count = |sign: char| {
        plan.steps.iter().filter(|step| step.action.sign() == sign && step.rebinds.is_none()).count()
    };
    let mut rebound: Vec<&String> = plan.steps.iter().filter_map(|step| step.rebinds.as_ref()).collect();
    rebound.dedup();
    let mut parts = vec![format!("{} to add", count('+')), format!("{} to remove", count('-'))];
    if !rebound.is_empty() {
        parts.push(format!("{} to rebind", counted(rebound.len(), "queue")));
    }
    parts.push(format!("{} in place", plan.in_place));
    if !plan.impossible.is_empty() {
        parts.push(format!("{} impossible", plan.impossible.len()));
    }
    format!("{}\n", parts.join(", "))
}
