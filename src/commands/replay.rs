//! `replay`: a recording, published again.

use std::cell::RefCell;
use std::collections::{BTreeMap, HashSet, VecDeque};
use std::io::{self, IsTerminal, Write};
use std::time::Duration;

use jiff::Timestamp;
use serde_json::json;
use tokio::time::{Instant, interval};

use super::listening::translator;
use super::progress::Progress;
use super::recordings::{Notes, Recording};
use super::{Failure, approval, print, runtime, settings, stop};
use crate::amqp::{Arrival, Due, PlayError, Player, SetUpError};
use crate::cli::{Output, Replay};
use crate::config::{Config, Layer};
use crate::core::recording::Message;
use crate::core::replay::{Pace, Preparation, Schedule, is_live, translated};
use crate::core::translate::Translator;
use crate::exit_code::Exit;
use crate::render::{self, counted, printable};

/// How often progress is written down, and a terminal told.
const TICK: Duration = Duration::from_millis(500);

/// So many messages without a translation are told one by one.
const MAX_TOLD: usize = 20;

/// Publishes a recording.
///
/// # Errors
/// When the recording, the rules or the broker cannot be used, or an exchange is at work and nobody approved.
pub fn replay(command: &Replay) -> Result<Exit, Failure> {
    runtime::with_fitting_memory()?;
    let options = Layer {
        modern_version: command.modern_version,
        origin_uuid: command.origin_uuid.clone(),
        ..Layer::default()
    };
    let config = settings::read(&command.broker, options)?;
    let job = Job {
        command,
        translator: command.translate.map(|_| translator(&config, &command.rules)).transpose()?,
        preparation: Preparation {
            exchange: command.to.clone(),
            routing_key: command.key.clone(),
            keep_mark: command.keep_mark,
        },
    };
    let progress = Progress::of(command, Recording::open(&command.file)?.header());
    let done = if command.resume { progress.read()? } else { 0 };
    if !command.resume && !command.dry_run && progress.read().is_ok_and(|done| done > 0) {
        eprintln!(
            "note: an earlier replay of this recording was interrupted; `--resume` would go on with it"
        );
    }
    let survey = job.survey(done)?;
    if command.dry_run {
        print(&survey.told(command, None))?;
        return Ok(survey.exit());
    }
    if let Some(exchange) = survey.exchanges.iter().find(|exchange| is_live(exchange, &config.exchange_name))
    {
        let place = if exchange.is_empty() {
            "the nameless exchange, straight into queues".to_owned()
        } else {
            format!("`{}`, where programs at work listen", printable(exchange))
        };
        let question = format!("publish {} on {place}?", counted(survey.messages, "message"));
        approval::ask(&question, command.approve)?;
    }
    runtime::block_on(|| run(&job, &config, &survey, progress, done))
}

/// What is to be done.
struct Job<'j> {
    command: &'j Replay,
    translator: Option<Translator>,
    preparation: Preparation,
}

/// What a recording comes to, before anything is published.
struct Survey {
    /// Messages to publish.
    messages: usize,
    /// Events that nothing comes of.
    refused: usize,
    /// How long the recording took, from the first of its messages to the last, in microseconds.
    length: i64,
    exchanges: HashSet<String>,
    /// How many of each event, by exchange.
    events: BTreeMap<(String, String), usize>,
    notes: Notes,
}

impl Job<'_> {
    /// What is to be published for a message of the recording, and why it is not, where it is not.
    fn publications(&self, message: Message) -> (Vec<Message>, Option<String>) {
        let event = message.event();
        let globs = &self.command.only;
        if !globs.is_empty()
            && !event.as_deref().is_some_and(|event| globs.iter().any(|glob| glob.matches(event)))
        {
            return (Vec::new(), None);
        }
        let (messages, refusal) = match (&self.translator, self.command.translate) {
            (Some(translator), Some(form)) => translated(translator, form.direction(), &message),
            _ => (vec![message], None),
        };
        let prepared = messages.into_iter().map(|message| self.preparation.prepared(message));
        let event = printable(event.as_deref().unwrap_or("(no event)"));
        (prepared.collect(), refusal.map(|(reason, detail)| format!("{event}: {}: {detail}", reason.code())))
    }

    /// Reads all of the recording, so that nothing is published of one that cannot be read to its end.
    fn survey(&self, done: u64) -> Result<Survey, Failure> {
        let mut recording = Recording::open(&self.command.file)?;
        let mut survey = Survey {
            messages: 0,
            refused: 0,
            length: 0,
            exchanges: HashSet::new(),
            events: BTreeMap::new(),
            notes: Notes::default(),
        };
        let mut first = None;
        while let Some(message) = recording.next_message()? {
            let time = time_of(&message, self.command, recording.line())?;
            if recording.line() <= done {
                continue;
            }
            let (publications, refusal) = self.publications(message);
            if let Some(why) = refusal {
                survey.refused += 1;
                if survey.refused <= MAX_TOLD {
                    eprintln!("{}:{}: {}", self.command.file.display(), recording.line(), printable(&why));
                }
            }
            for publication in publications {
                let first = *first.get_or_insert(time);
                survey.length = survey.length.max(time - first);
                survey.messages += 1;
                let event = publication.event().unwrap_or_else(|| "(no event)".to_owned());
                *survey.events.entry((publication.exchange.clone(), event)).or_default() += 1;
                survey.exchanges.insert(publication.exchange);
            }
        }
        survey.notes = recording.into_notes();
        eprint!("{}", survey.notes.told(&self.command.file));
        Ok(survey)
    }
}

/// When a message was received, in microseconds since 1970.
fn time_of(message: &Message, command: &Replay, line: u64) -> Result<i64, Failure> {
    let time: Timestamp = message.received.parse().map_err(|_| {
        let received = printable(&message.received);
        let why = format!("{}:{line}: `{received}` is not a time", command.file.display());
        Failure::new(Exit::BadInput, why).help("`received` is a time such as 2026-01-01T12:34:56.789012Z")
    })?;
    Ok(time.as_microsecond())
}

impl Survey {
    fn exit(&self) -> Exit {
        if self.refused == 0 { Exit::Done } else { Exit::Findings }
    }

    fn told(&self, command: &Replay, played: Option<&Played>) -> String {
        #[allow(clippy::cast_precision_loss)]
        let seconds = self.length as f64 / 1e6;
        if command.output == Output::Json {
            let event = |((exchange, event), count): (&(String, String), &usize)| json!({"exchange": exchange, "event": event, "messages": count});
            return render::document(
                "replay",
                json!({
                    "dry_run": command.dry_run,
                    "to_publish": self.messages,
                    "published": played.map(|played| played.confirmed),
                    "unroutable": played.map(|played| played.unroutable),
                    "refused": self.refused,
                    "seconds_recorded": seconds,
                    "events": self.events.iter().map(event).collect::<Vec<_>>(),
                    "gaps": self.notes.gaps,
                }),
            );
        }
        let refused = match self.refused {
            0 => String::new(),
            refused => format!("; {} not translated", counted(refused, "message")),
        };
        match played {
            Some(Played { confirmed, unroutable, .. }) => {
                let confirmed = counted(*confirmed, "message");
                format!("published {confirmed}, {unroutable} of them unroutable{refused}\n")
            }
            None => {
                let rows: Vec<[String; 3]> = self
                    .events
                    .iter()
                    .map(|((exchange, event), count)| {
                        [printable(exchange), printable(event), count.to_string()]
                    })
                    .collect();
                let total = counted(self.messages, "message");
                format!(
                    "{}would publish {total}, recorded within {seconds:.1} s{refused}\n",
                    render::table(&rows)
                )
            }
        }
    }
}

/// How far a replay is.
#[derive(Default)]
struct Played {
    confirmed: usize,
    unroutable: usize,
    /// For each message under way, the line that is done when it is confirmed.
    under_way: VecDeque<Option<u64>>,
    /// All of the recording up to this line is published and confirmed.
    done: u64,
    failed: Option<Failure>,
}

impl Played {
    fn confirm(&mut self, arrival: Arrival) {
        self.confirmed += 1;
        self.unroutable += usize::from(arrival == Arrival::Nowhere);
        if let Some(Some(line)) = self.under_way.pop_front() {
            self.done = line;
        }
    }
}

async fn run(
    job: &Job<'_>,
    config: &Config,
    survey: &Survey,
    mut progress: Progress,
    done: u64,
) -> Result<Exit, Failure> {
    let command = job.command;
    let stopped = stop::signals()?;
    let player =
        Player::open(&config.modern, &survey.exchanges).await.map_err(|error| cannot_play(&error))?;
    let mut recording = Recording::open(&command.file)?;
    let mut schedule = Schedule::new(match (command.rate, command.no_wait) {
        (Some(rate), _) => Pace::Rate(rate),
        (None, true) => Pace::NoWait,
        (None, false) => Pace::Recorded { speed: command.speed.unwrap_or(1.0) },
    });
    if done > 0 {
        eprintln!("going on behind line {done}; the last messages before the interruption may come twice");
    }
    let played = RefCell::new(Played { done, ..Played::default() });
    let mut ready: VecDeque<Due> = VecDeque::new();
    let mut read = || -> Result<Option<Due>, Failure> {
        while ready.is_empty() {
            let Some(message) = recording.next_message()? else { return Ok(None) };
            let line = recording.line();
            if line <= done {
                continue;
            }
            let time = time_of(&message, command, line)?;
            let (publications, _) = job.publications(message);
            let last = publications.len().saturating_sub(1);
            for (at, message) in publications.into_iter().enumerate() {
                let after = Duration::from_micros(schedule.due(time));
                ready.push_back(Due { message, after });
                played.borrow_mut().under_way.push_back((at == last).then_some(line));
            }
        }
        Ok(ready.pop_front())
    };
    let next = || {
        read().unwrap_or_else(|failure| {
            played.borrow_mut().failed = Some(failure);
            None
        })
    };
    let began = Instant::now();
    let was_stopped = RefCell::new(false);
    let stopped = async {
        stopped.await;
        *was_stopped.borrow_mut() = true;
    };
    let result = {
        let on = |arrival| played.borrow_mut().confirm(arrival);
        let mut playing = std::pin::pin!(player.play(next, on, stopped));
        let mut tick = interval(TICK);
        loop {
            tokio::select! {
                biased;
                result = &mut playing => break result,
                _ = tick.tick() => {
                    let played = played.borrow();
                    progress.write(played.done);
                    tell(played.confirmed, survey.messages);
                }
            }
        }
    };
    player.close().await;
    let mut played = played.into_inner();
    if io::stderr().is_terminal() {
        eprint!("\r\u{1b}[K");
    }
    let failure = match result {
        Err(error) => Some(cannot_play(&error)),
        Ok(()) => played.failed.take(),
    };
    if failure.is_none() && !*was_stopped.borrow() {
        progress.remove();
        print(&survey.told(command, Some(&played)))?;
        eprintln!("in {:.1} s", began.elapsed().as_secs_f64());
        return Ok(survey.exit());
    }
    progress.write(played.done);
    let done = format!("{} of {} published", played.confirmed, counted(survey.messages, "message"));
    let help = "`--resume` goes on from there; the last ones may come twice then";
    match failure {
        // Nothing happened yet that would have to be gone on with.
        Some(failure) if played.confirmed == 0 => Err(failure),
        Some(failure) => Err(failure.partly(&done).help(help)),
        None => Err(Failure::new(Exit::PartlyDone, format!("told to stop; {done}")).help(help)),
    }
}

fn tell(confirmed: usize, of: usize) {
    if io::stderr().is_terminal() {
        let _ = write!(io::stderr(), "\r{confirmed} of {of}\u{1b}[K").and_then(|()| io::stderr().flush());
    }
}

fn cannot_play(error: &PlayError) -> Failure {
    match error {
        PlayError::Connect(error) => runtime::not_connected(error),
        PlayError::Exchange { source, .. } => match **source {
            SetUpError::Missing { .. } => Failure::new(Exit::Misconfigured, error)
                .help("name one that is there with `--to`; a replay declares nothing"),
            SetUpError::AccessRefused { .. } => {
                Failure::new(Exit::AccessRefused, error).help("the account needs write on the exchange")
            }
            _ => Failure::new(Exit::Unreachable, error),
        },
        PlayError::Unpublishable(_) => Failure::new(Exit::BadInput, error),
        PlayError::Refused | PlayError::Failed(_) => Failure::new(Exit::Unreachable, error),
    }
}
