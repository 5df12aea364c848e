//! `explain`: what a finding means, and what to do about it.

use serde_json::{Value as Json, json};

use super::Failure;
use crate::cli::{Explain, Output};
use crate::core::diagnostic::did_you_mean;
use crate::core::finding::{self, Explanation};
use crate::exit_code::Exit;
use crate::render::{document, printable, table};

/// Explains a finding, or lists all of them, on standard output.
///
/// # Errors
/// When there is no finding of this id.
pub fn explain(command: &Explain) -> Result<Exit, Failure> {
    let text = match (&command.id, command.output) {
        (Some(id), output) => {
            let explanation = finding::by_id(id).ok_or_else(|| unknown(id))?;
            match output {
                Output::Text => in_words(explanation),
                Output::Json => document("explain", as_json(explanation)),
            }
        }
        (None, Output::Text) => {
            let rows = finding::explanations().iter().map(|explanation| {
                [explanation.id, explanation.severity.as_str(), explanation.title].map(str::to_owned)
            });
            let head = ["ID", "SEVERITY", "WHAT"].map(str::to_owned);
            table(&[head].into_iter().chain(rows).collect::<Vec<_>>())
        }
        (None, Output::Json) => {
            let all: Vec<Json> = finding::explanations().iter().map(as_json).collect();
            document("explain-list", json!({ "findings": all }))
        }
    };
    super::print(&text)?;
    Ok(Exit::Done)
}

fn unknown(id: &str) -> Failure {
    let ids = finding::explanations().iter().map(|explanation| explanation.id);
    let help = did_you_mean(&id.to_ascii_uppercase(), ids)
        .unwrap_or_else(|| "`cti-bridge explain --list` shows all of them".into());
    Failure::new(Exit::NoInput, format!("no finding has the id `{}`", printable(id))).help(help)
}

fn in_words(explanation: &Explanation) -> String {
    let Explanation { id, severity, title, text, example, advice, .. } = explanation;
    format!("{id}  {severity}: {title}\n\n{text}\n\nExample:     {example}\nWhat to do:  {advice}\n")
}

fn as_json(explanation: &Explanation) -> Json {
    let Explanation { id, severity, title, text, example, advice, .. } = explanation;
    json!({
        "id": id, "severity": severity.as_str(), "title": title, "text": text, "example": example, "advice": advice,
    })
}
