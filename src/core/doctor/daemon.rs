//! Whether the site needs the daemon at all: a binding does where only extra keys are added.

use super::{Check, Patient, State};
use crate::core::plan::{self, Client, Mode, Need, Options, Served};
use crate::core::site::{Aspect, Site};

const TOPIC: &str = "daemon";

pub(super) fn check(patient: &Patient<'_>, site: &Site) -> Check {
    if !site.shows(Aspect::Bindings) && site.bindings.is_empty() {
        return Check::new(TOPIC, State::Unknown, "what is bound to the legacy exchanges was not seen").advise(
            "`rabbitmqctl list_bindings --formatter json | cti-bridge doctor --rabbitmqctl -` shows whether a binding \
             would do without the daemon",
        );
    }
    let options = Options { mode: Mode::Native, ..Options::default() };
    let clients = plan::plan(site, patient.translator, patient.intake, &options).clients;
    let needs: Vec<(&Client, &Need)> =
        clients.iter().flat_map(|client| client.needs.iter().map(move |need| (client, need))).collect();
    if needs.is_empty() {
        let finding =
            "nothing is bound to a legacy exchange yet, so nothing tells whether a binding would do";
        return Check::new(TOPIC, State::Ok, finding);
    }
    let needing: Vec<_> = needs.iter().filter(|(_, need)| need.served == Served::Unserved).collect();
    match needing.first() {
        Some((client, need)) => {
            let finding = format!(
                "{} of {} bindings to legacy exchanges need it: queue `{}`, key `{}`: {}",
                needing.len(),
                needs.len(),
                client.queue,
                need.key,
                need.note
            );
            Check::new(TOPIC, State::Ok, finding)
        }
        None if needs.iter().any(|(_, need)| need.served == Served::Binding) => {
            let finding =
                "a binding would do for everything that is bound to legacy exchanges and still sent";
            Check::new(TOPIC, State::Ok, finding).advise("`cti-bridge plan --native` shows how")
        }
        None => {
            let finding = "nothing that is bound to legacy exchanges is sent any more, or known";
            Check::new(TOPIC, State::Warn, finding).advise("`cti-bridge audit` tells what became of each")
        }
    }
}
