//! What the answers show.

use std::collections::BTreeSet;

use super::{Area, Arrival, Check, Defect, Question, Verdict, difference};
use crate::core::message::Direction;

/// One direction of the bridge, as it was asked.
#[derive(Debug, Clone, Copy)]
pub struct Line<'l> {
    /// Which.
    pub direction: Direction,
    /// The queue that the bridge consumes from.
    pub intake_queue: &'l str,
    /// The key with which they come in from an exchange.
    pub binding_key: &'l str,
    /// What the exchanges are bound to with it.
    pub bound: &'l str,
    /// Whether the last question was answered, so that nothing more is to come.
    pub is_complete: bool,
}

/// Holds the answers, in the order in which they came, against the questions.
#[must_use]
pub fn judge(line: Line<'_>, questions: &[Question], arrivals: &[Arrival]) -> Vec<Check> {
    let area = Area::from(line.direction);
    if !line.is_complete {
        // What is missing may be on its way, and the reason is told elsewhere.
        let why = "no answer, and none to a later question either";
        return questions
            .iter()
            .map(|asked| check(area, asked, Verdict::Unproven(why.into()), None))
            .collect();
    }
    let mut checks: Vec<Check> = Vec::new();
    let straight = questions.iter().filter(|question| question.over.is_none());
    let lost = straight.clone().filter(|asked| answers(arrivals, asked, "").is_empty()).count();
    let of = straight.clone().count();
    let thief = || Defect::Lost { queue: line.intake_queue.to_owned(), lost, of };
    for asked in straight {
        let came = answers(arrivals, asked, "");
        let verdict = match came.first() {
            None => Verdict::Failed(thief()),
            Some(_) => compared(asked, &came),
        };
        checks.push(check(area, asked, verdict, came.first().map(|arrival| arrival.latency)));
    }
    if of > 0 {
        checks.push(Check::new(area, "order", order(questions, arrivals)));
    }
    for asked in questions {
        let Some(over) = &asked.over else { continue };
        let is_way_in_open = questions
            .iter()
            .filter(|other| other.over.as_ref() == Some(over))
            .any(|other| arrivals.iter().any(|arrival| arrival.answer.number == other.number));
        for back in &asked.back {
            let came = answers(arrivals, asked, back);
            let verdict = match came.first() {
                Some(_) => compared(asked, &came),
                None if lost > 0 => {
                    Verdict::Unproven("probes get lost, so that one says nothing of its way".into())
                }
                None if !is_way_in_open => Verdict::Failed(Defect::BindingMissing {
                    source: over.clone(),
                    key: line.binding_key.to_owned(),
                    destination: line.bound.to_owned(),
                }),
                None => Verdict::Failed(no_way_out(back)),
            };
            let name = format!("`{over}` → bridge → `{back}`");
            let latency = came.first().map(|arrival| arrival.latency);
            let example = Some(asked.example.clone());
            checks.push(Check { area: Area::Paths, name, example, verdict, latency });
        }
    }
    checks
}

/// The binding that copies AMI events is the way on which answers over `xivo-ami` come.
fn no_way_out(exchange: &str) -> Defect {
    match exchange {
        "xivo-ami" => Defect::BindingMissing {
            source: exchange.to_owned(),
            key: "#".to_owned(),
            destination: "exchange `xivo-cti`".to_owned(),
        },
        _ => Defect::NoWayOut { exchange: exchange.to_owned() },
    }
}

fn check(area: Area, asked: &Question, verdict: Verdict, latency: Option<u64>) -> Check {
    Check { area, name: asked.event.clone(), example: Some(asked.example.clone()), verdict, latency }
}

fn answers<'a>(arrivals: &'a [Arrival], asked: &Question, exchange: &str) -> Vec<&'a Arrival> {
    arrivals
        .iter()
        .filter(|arrival| arrival.answer.number == asked.number && arrival.exchange == exchange)
        .collect()
}

/// That the answers are one, and the right one.
fn compared(asked: &Question, came: &[&Arrival]) -> Verdict {
    let bridges: BTreeSet<&str> = came.iter().map(|arrival| arrival.answer.bridge.as_str()).collect();
    if bridges.len() > 1 {
        let bridges = bridges.into_iter().map(str::to_owned).collect();
        return Verdict::Failed(Defect::SecondBridge { bridges });
    }
    match came {
        [one] => {
            let made = one.answer.result.clone().unwrap_or_default();
            difference(&made, &asked.expected)
                .map_or(Verdict::Passed, |difference| Verdict::Failed(Defect::Different { difference }))
        }
        [first, ..] => Verdict::Failed(Defect::Twice { bridge: first.answer.bridge.clone() }),
        [] => Verdict::Unproven("no answer".to_owned()),
    }
}

/// That straight answers came in the order of their questions.
fn order(questions: &[Question], arrivals: &[Arrival]) -> Verdict {
    let mut highest = 0;
    let mut seen = BTreeSet::new();
    for arrival in arrivals.iter().filter(|arrival| arrival.exchange.is_empty()) {
        let number = arrival.answer.number;
        if seen.insert(number) && number < highest {
            let late = questions.iter().find(|question| question.number == number);
            let event = late.map_or_else(String::new, |question| question.event.clone());
            return Verdict::Failed(Defect::OutOfOrder { event });
        }
        highest = highest.max(number);
    }
    Verdict::Passed
}
