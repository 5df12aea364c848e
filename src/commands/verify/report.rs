//! What `verify` found, as text, as JSON, and for a build server.

use std::fmt::Write as _;

use serde_json::{Value as Json, json};

use crate::core::probe::Answer;
use crate::core::verify::{Area, Check, Defect, Verdict, percentiles};
use crate::render::junit::{self, Case, Outcome, Suite};
use crate::render::{counted, document, printable, table};

/// All that was found.
pub(super) struct Report {
    /// The brokers, without passwords; one where both sides are on the same.
    pub(super) brokers: Vec<String>,
    /// The bridge that answered.
    pub(super) bridge: Option<Answer>,
    /// What was checked.
    pub(super) checks: Vec<Check>,
    /// Events that the bridge does not listen for, as it is configured.
    pub(super) not_listened_for: usize,
}

impl Report {
    /// The defects, each once, with the checks that it fails.
    pub(super) fn defects(&self) -> Vec<(&Defect, Vec<&Check>)> {
        let mut defects: Vec<(&Defect, Vec<&Check>)> = Vec::new();
        for check in &self.checks {
            let Verdict::Failed(defect) = &check.verdict else { continue };
            match defects.iter_mut().find(|(known, _)| *known == defect) {
                Some((_, checks)) => checks.push(check),
                None => defects.push((defect, vec![check])),
            }
        }
        defects
    }

    pub(super) fn unproven(&self) -> impl Iterator<Item = (&Check, &str)> {
        self.checks.iter().filter_map(|check| match &check.verdict {
            Verdict::Unproven(why) => Some((check, why.as_str())),
            _ => None,
        })
    }

    fn of(&self, area: Area) -> impl Iterator<Item = &Check> {
        self.checks.iter().filter(move |check| check.area == area)
    }

    /// For people.
    pub(super) fn text(&self) -> String {
        let mut out = String::new();
        let brokers = self.brokers.join(" and ");
        let _ = match &self.bridge {
            Some(bridge) => writeln!(
                out,
                "bridge {} for platform {} on {brokers}\n",
                printable(&bridge.bridge),
                printable(&bridge.platform)
            ),
            None => writeln!(out, "no bridge answers on {brokers}\n"),
        };
        let head = ["", "checked", "passed", "failed", "not proven", "p50", "p99", "max"].map(str::to_owned);
        let mut rows = vec![head];
        for area in Area::ALL {
            let checks: Vec<&Check> = self.of(area).collect();
            if checks.is_empty() {
                continue;
            }
            let count = |is: fn(&Verdict) -> bool| checks.iter().filter(|check| is(&check.verdict)).count();
            let latencies: Vec<u64> = checks.iter().filter_map(|check| check.latency).collect();
            let [p50, p99, max] = percentiles(&latencies).map_or([None; 3], |latencies| latencies.map(Some));
            let shown = |latency: Option<u64>| latency.map_or_else(String::new, milliseconds);
            rows.push([
                area.to_string(),
                checks.len().to_string(),
                count(|verdict| matches!(verdict, Verdict::Passed)).to_string(),
                count(|verdict| matches!(verdict, Verdict::Failed(_))).to_string(),
                count(|verdict| matches!(verdict, Verdict::Unproven(_))).to_string(),
                shown(p50),
                shown(p99),
                shown(max),
            ]);
        }
        out.push_str(&table(&rows));
        if self.not_listened_for > 0 {
            let _ = writeln!(
                out,
                "\n{} of the legacy side are not listened for, and so dropped, as `legacy: {{events: …}}` has it",
                counted(self.not_listened_for, "event")
            );
        }
        let mut unproven: Vec<(&str, Vec<&Check>)> = Vec::new();
        for (check, why) in self.unproven() {
            match unproven.iter_mut().find(|(known, _)| *known == why) {
                Some((_, checks)) => checks.push(check),
                None => unproven.push((why, vec![check])),
            }
        }
        for (why, checks) in unproven {
            let _ = writeln!(out, "\nnot proven: {why}{}", names(&checks));
        }
        let defects = self.defects();
        for (defect, checks) in &defects {
            let _ = writeln!(
                out,
                "\nFAILED {}: {}{}",
                defect.code(),
                printable(&defect.to_string()),
                names(checks)
            );
            let _ = writeln!(out, "  = help: {}", defect.help());
        }
        if defects.is_empty() {
            out.push_str("\nall that was sent on one side arrives on the other: once, in order, and as the rules say\n");
        }
        out
    }

    /// For scripts.
    pub(super) fn json(&self) -> String {
        let verdict = |check: &Check| match &check.verdict {
            Verdict::Passed => json!({"verdict": "passed"}),
            Verdict::Failed(defect) => {
                json!({"verdict": "failed", "defect": defect.code(), "message": defect.to_string()})
            }
            Verdict::Unproven(why) => json!({"verdict": "unproven", "message": why}),
        };
        let checks = self.checks.iter().map(|check| {
            let mut value = verdict(check);
            value["area"] = check.area.code().into();
            value["name"] = check.name.as_str().into();
            if let Some(example) = &check.example {
                value["example"] = example.as_str().into();
            }
            if let Some(latency) = check.latency {
                value["latency_us"] = latency.into();
            }
            value
        });
        let latencies = Area::ALL.into_iter().filter_map(|area| {
            let latencies: Vec<u64> = self.of(area).filter_map(|check| check.latency).collect();
            let [p50, p99, max] = percentiles(&latencies)?;
            Some((area.code().to_owned(), json!({"p50": p50, "p99": p99, "max": max})))
        });
        let defects = self.defects();
        let told = defects.iter().map(|(defect, checks)| {
            json!({
                "defect": defect.code(),
                "message": defect.to_string(),
                "help": defect.help(),
                "checks": checks.len(),
            })
        });
        let bridge = self.bridge.as_ref().map(|bridge| {
            json!({"id": bridge.bridge, "origin_uuid": bridge.origin_uuid, "platform": bridge.platform})
        });
        let value = json!({
            "passed": defects.is_empty(),
            "brokers": self.brokers,
            "bridge": bridge,
            "defects": told.collect::<Vec<_>>(),
            "unproven": self.unproven().count(),
            "not_listened_for": self.not_listened_for,
            "latency_us": latencies.collect::<Json>(),
            "checks": checks.collect::<Vec<_>>(),
        });
        document("verify", value)
    }

    /// For build servers.
    pub(super) fn junit(&self) -> Result<String, String> {
        let case = |check: &Check| Case {
            name: check.name.clone(),
            place: check.example.clone(),
            outcome: match &check.verdict {
                Verdict::Passed => Outcome::Passed,
                Verdict::Failed(defect) => {
                    Outcome::Failed { kind: defect.code().to_owned(), message: defect.to_string() }
                }
                Verdict::Unproven(why) => Outcome::Skipped(why.clone()),
            },
            micros: check.latency,
            text: String::new(),
        };
        let suites: Vec<Suite> = Area::ALL
            .into_iter()
            .map(|area| Suite { name: area.code().to_owned(), cases: self.of(area).map(case).collect() })
            .filter(|suite| !suite.cases.is_empty())
            .collect();
        junit::report("cti-bridge verify", &suites)
    }
}

/// The names of some checks, each on a line of its own, with the place of its example.
fn names(checks: &[&Check]) -> String {
    const SHOWN: usize = 5;
    let mut out = String::new();
    for check in checks.iter().take(SHOWN) {
        let place = check.example.as_ref().map_or(String::new(), |example| format!("  ({example})"));
        let _ = write!(out, "\n  {}  {}{place}", check.area, printable(&check.name));
    }
    if checks.len() > SHOWN {
        let _ = write!(out, "\n  and {} more", checks.len() - SHOWN);
    }
    out
}

fn milliseconds(micros: u64) -> String {
    format!("{}.{} ms", micros / 1000, micros % 1000 / 100)
}
