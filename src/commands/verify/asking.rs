//! One direction of the bridge is asked: all questions at once, then who is there, which nobody answers before it has
//! answered everything that came before.

use std::cell::RefCell;
use std::collections::HashMap;
use std::pin::pin;
use std::time::{Duration, Instant};

use crate::amqp::{Incoming, Outgoing, Probing, SetUpError};
use crate::core::message::{Direction, MARK_HEADER};
use crate::core::probe::{Answer, Data, PROBE_EVENT, PROBE_HEADER, PROBE_KEY, Probe, Run};
use crate::core::verify::{Arrival, Question};

/// So many times it is asked who is there, one after the other, before a second bridge has had its chance to answer.
const ROUNDS: u64 = 3;

/// The two ends of one direction.
pub(super) struct Asking<'a> {
    pub(super) direction: Direction,
    pub(super) run: &'a Run,
    pub(super) intake_queue: &'a str,
    /// Where probes are sent.
    pub(super) from: &'a Probing,
    /// Where answers come.
    pub(super) to: &'a mut Probing,
    /// How long to wait for the next answer.
    pub(super) patience: Duration,
}

/// What came of it.
pub(super) struct Asked {
    /// The answers, in their order.
    pub(super) arrivals: Vec<Arrival>,
    /// Whether no answer is missing any more.
    pub(super) is_complete: bool,
}

impl Asking<'_> {
    /// Asks who is there; nobody, where there is no answer for too long.
    pub(super) async fn who(&mut self) -> Result<Option<Answer>, SetUpError> {
        let number = 0;
        self.from.send(vec![self.outgoing(number, None, Self::question(self.run, number))], |_| {}).await?;
        while let Some(incoming) = next(self.to, self.patience).await? {
            if let Some(answer) = read(&incoming).filter(|answer| answer.number == number) {
                return Ok(Some(answer));
            }
        }
        Ok(None)
    }

    /// Asks all of this, and waits for all the answers there will ever be.
    pub(super) async fn all(&mut self, questions: &[Question]) -> Result<Asked, SetUpError> {
        let mut last = questions.len() as u64 + 1;
        let mut probes: Vec<Outgoing> = questions
            .iter()
            .map(|asked| self.outgoing(asked.number, asked.over.as_deref(), asked.body.clone()))
            .collect();
        probes.push(self.outgoing(last, None, Self::question(self.run, last)));
        let sent: RefCell<HashMap<u64, Instant>> = RefCell::default();
        let mut asked = Asked { arrivals: Vec::new(), is_complete: false };
        for round in 1..=ROUNDS {
            let sending = self.from.send(std::mem::take(&mut probes), |number| {
                sent.borrow_mut().insert(number, Instant::now());
            });
            let answers = until(self.to, last, self.patience, &sent, &mut asked.arrivals);
            // A broker that takes no messages confirms none: who waits for the answers gives up first.
            let is_answered = {
                let (mut sending, mut answers) = (pin!(sending), pin!(answers));
                let mut is_sent = false;
                loop {
                    tokio::select! {
                        sent = &mut sending, if !is_sent => {
                            sent?;
                            is_sent = true;
                        }
                        answered = &mut answers => break answered?,
                    }
                }
            };
            if !is_answered {
                return Ok(asked);
            }
            if round < ROUNDS {
                last += 1;
                probes.push(self.outgoing(last, None, Self::question(self.run, last)));
            }
        }
        asked.is_complete = true;
        asked.arrivals.retain(|arrival| arrival.answer.number <= questions.len() as u64);
        Ok(asked)
    }

    fn question(run: &Run, number: u64) -> Vec<u8> {
        let probe = Probe { run: run.clone(), number, routing_key: "".into(), event: None };
        // Only texts and numbers: they can all be written.
        Data::Probe(probe).body().unwrap_or_default()
    }

    fn outgoing(&self, number: u64, over: Option<&str>, body: Vec<u8>) -> Outgoing {
        let mut headers = vec![(PROBE_HEADER.to_owned(), format!("{}.{number}", self.run.as_str()))];
        if self.direction == Direction::ToLegacy {
            headers.push(("name".to_owned(), PROBE_EVENT.to_owned()));
        }
        debug_assert!(headers.iter().all(|(name, _)| name != MARK_HEADER));
        Outgoing {
            number,
            exchange: over.unwrap_or_default().to_owned(),
            routing_key: over.map_or(self.intake_queue, |_| PROBE_KEY).to_owned(),
            headers,
            message_id: Question::message_id(self.run, number),
            timestamp: Question::TIMESTAMP,
            body,
        }
    }
}

/// Collects answers up to the one with this number; false where none came for too long.
async fn until(
    to: &mut Probing,
    last: u64,
    patience: Duration,
    sent: &RefCell<HashMap<u64, Instant>>,
    arrivals: &mut Vec<Arrival>,
) -> Result<bool, SetUpError> {
    while let Some(incoming) = next(to, patience).await? {
        let now = Instant::now();
        let Some(answer) = read(&incoming) else { continue };
        let since = sent.borrow().get(&answer.number).copied();
        let latency = since.map_or(0, |since| u64::try_from((now - since).as_micros()).unwrap_or(u64::MAX));
        let is_last = answer.number == last;
        arrivals.push(Arrival { exchange: incoming.exchange, answer, latency });
        if is_last {
            return Ok(true);
        }
    }
    Ok(false)
}

async fn next(to: &mut Probing, patience: Duration) -> Result<Option<Incoming>, SetUpError> {
    tokio::time::timeout(patience, to.next()).await.ok().transpose()
}

/// The answer in a message; what is none is not for us.
fn read(incoming: &Incoming) -> Option<Answer> {
    #[derive(serde::Deserialize)]
    struct Event<'e> {
        #[serde(borrow)]
        data: Data<'e>,
    }
    match serde_json::from_slice::<Event<'_>>(&incoming.body).ok()?.data {
        Data::Answer(answer) => Some(answer),
        Data::Probe(_) => None,
    }
}
