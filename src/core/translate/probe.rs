//! What becomes of a probe: an answer that nobody but who asked gets to see.

use std::borrow::Cow;
use std::collections::BTreeSet;

use serde_json::value::RawValue;

use super::data::Towards;
use super::{Translator, refused};
use crate::core::envelope::Envelope;
use crate::core::message::{HeaderValue, MARK_HEADER, Outcome, Properties, Publication, Reason, Received};
use crate::core::probe::{
    Answer, Answered, Data, MAX_PROBE_BYTES, PROBE_EVENT, PROBE_HEADER, Probe, address,
};
use crate::core::rule::DEFAULT_LEGACY_EXCHANGE;
use crate::core::settings::Probes;

impl Translator {
    /// What becomes of an event called [`PROBE_EVENT`], in place of any translation.
    pub(super) fn probed<'t>(
        &'t self,
        towards: Towards,
        event: &Envelope<'_>,
        mark: HeaderValue<'t>,
        message: &Received<'_>,
    ) -> Outcome<'t> {
        if self.settings().probes == Probes::Ignore {
            return Outcome::Dropped;
        }
        let probe = match read(event.data, message) {
            Ok(Some(probe)) => probe,
            // The answer of another bridge, on its way to who asked.
            Ok(None) => return Outcome::Answer(Vec::new()),
            Err(failure) => return refused(failure, None),
        };
        let outcome = probe.event.map(|event| {
            let inner = Received {
                exchange: "",
                routing_key: &probe.routing_key,
                properties: message.properties,
                body: event.get().as_bytes(),
            };
            match towards {
                Towards::Legacy => self.to_legacy(&inner),
                Towards::Modern => self.to_modern(&inner),
            }
        });
        let publications = match &outcome {
            Some(Outcome::Publish(publications) | Outcome::Partly(publications, _)) => {
                publications.as_slice()
            }
            _ => &[],
        };
        let result = outcome.as_ref().map(Answered::from);
        let routing_key = address(&probe.run);
        let run = probe.run.as_str().to_owned();
        let answer = Answer {
            run: probe.run,
            number: probe.number,
            bridge: self.settings().bridge_id.as_str().to_owned(),
            origin_uuid: self.settings().origin_uuid.as_str().to_owned(),
            platform: self.catalog().version().to_string(),
            result,
        };
        // Only texts, numbers and lists: they can all be written.
        let body = Data::Answer(answer).body().unwrap_or_default();
        let mut exchanges: BTreeSet<&'t str> = BTreeSet::new();
        if message.exchange.is_empty() {
            exchanges.insert("");
        } else if publications.is_empty() {
            exchanges.insert(match towards {
                Towards::Legacy => DEFAULT_LEGACY_EXCHANGE,
                Towards::Modern => &self.settings().modern_exchange,
            });
        } else {
            exchanges.extend(publications.iter().map(|publication| publication.exchange));
        }
        let answers = exchanges.into_iter().map(|exchange| Publication {
            exchange,
            routing_key: Cow::Owned(routing_key.clone()),
            properties: answer_properties(towards, &run, &mark),
            body: body.clone(),
        });
        Outcome::Answer(answers.collect())
    }
}

fn answer_properties<'t>(towards: Towards, run: &str, mark: &HeaderValue<'t>) -> Properties<'t> {
    let text = |text: Cow<'static, str>| HeaderValue::Text(text);
    let mut headers = vec![
        (Cow::Borrowed(PROBE_HEADER), text(Cow::Owned(run.to_owned()))),
        (Cow::Borrowed(MARK_HEADER), mark.clone()),
    ];
    match towards {
        Towards::Legacy => Properties { headers, ..Properties::default() },
        Towards::Modern => {
            headers.push((Cow::Borrowed("name"), text(Cow::Borrowed(PROBE_EVENT))));
            Properties {
                content_type: Some("application/json"),
                content_encoding: Some("utf-8"),
                headers,
                ..Properties::default()
            }
        }
    }
}

/// The probe, nothing for an answer, or why it is neither.
fn read<'m>(data: &'m RawValue, message: &Received<'_>) -> Result<Option<Probe<'m>>, (Reason, String)> {
    let bytes = message.body.len();
    if bytes > MAX_PROBE_BYTES {
        let detail = format!("a probe of {bytes} bytes, more than the {MAX_PROBE_BYTES} that are read");
        return Err((Reason::TooLarge, detail));
    }
    let probe = match serde_json::from_str(data.get()) {
        Ok(Data::Probe(probe)) => probe,
        Ok(Data::Answer(_)) => return Ok(None),
        // The parser repeats what stands there, and only our own sentences may be shown.
        Err(_) => return Err((Reason::BadField, format!("`{PROBE_EVENT}` without a probe in `data`"))),
    };
    let is_nested = |event: &&RawValue| {
        Envelope::read(event.get().as_bytes()).is_ok_and(|event| event.name == PROBE_EVENT)
    };
    if probe.event.as_ref().is_some_and(is_nested) {
        return Err((Reason::BadField, "a probe in a probe".into()));
    }
    Ok(Some(probe))
}

#[cfg(test)]
mod tests;
