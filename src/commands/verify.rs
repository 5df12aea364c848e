//! `verify`: the proof on the live broker that what is sent on one side arrives on the other as the rules say.

mod asking;
mod report;

use std::collections::HashSet;
use std::fs;
use std::hash::{BuildHasher, Hasher, RandomState};
use std::path::Path;
use std::time::{Duration, Instant};

use asking::Asking;
use report::Report;

use super::{Failure, daemon, mappings, runtime, settings, site};
use crate::amqp::{Depth, ExchangeSeen, Probing, SetUpError};
use crate::cli::{Output, Verify};
use crate::config::{Config, Identity, Layer};
use crate::core::catalog::Mappings;
use crate::core::examples;
use crate::core::intake::Intake;
use crate::core::message::Direction;
use crate::core::probe::{Answer, PROBE_KEY, Run, address};
use crate::core::settings::{BridgeId, OriginUuid};
use crate::core::site::{Binding as Seen, Site};
use crate::core::topology::{Binding, Declare, Destination, Exchange, ExchangeKind, Topology};
use crate::core::translate::Translator;
use crate::core::verify::{
    Area, Check, Defect, Line, Question, Verdict, bindings, foreign_consumers, judge, questions,
};
use crate::exit_code::Exit;
use crate::render;

/// Between two looks whether the bridge is there yet.
const LOOK_AGAIN: Duration = Duration::from_millis(100);
/// After so long a user is told what is waited for.
const TELL_AFTER: Duration = Duration::from_secs(1);

/// Asks the running bridge what it does with every example, and tells what differs.
///
/// # Errors
/// When the settings or mapping files cannot be used, or a broker cannot be reached or does not let us.
pub fn verify(command: &Verify) -> Result<Exit, Failure> {
    let options = Layer { part: command.part, ..settings::layer(&command.daemon) };
    let config = settings::read(&command.daemon.broker, options)?;
    if !config.probes {
        return Err(Failure::new(
            Exit::Misconfigured,
            "the configuration switches probes off (`probes: false`)",
        )
        .help("without probes nothing can be proven; `rules check` checks the mapping files alone"));
    }
    let mappings = mappings::load(config.builtin_mappings, &config.mappings)?;
    check_examples(&mappings)?;
    // Without an identity of its own nothing that matters here depends on it: who answers tells who it is.
    let translator = daemon::translator(&config, &config.identity.clone().map_or_else(nobody, Ok)?)?;
    // First, for standard input can be read only once.
    runtime::with_fitting_memory()?;
    let site = observed(command)?;
    let patience = Duration::from_secs(command.patience);
    let work = Work { config: &config, mappings: &mappings, patience, site: site.as_ref() };
    let report = runtime::block_on(|| work.report(&translator))?;
    if let Some(path) = &command.junit {
        write_junit(&report, path)?;
    }
    match command.output {
        Output::Text => super::print(&report.text())?,
        Output::Json => super::print(&report.json())?,
    }
    let defects = report.defects();
    Ok(if defects.is_empty() {
        if command.strict && report.unproven().next().is_some() { Exit::Findings } else { Exit::Done }
    } else if defects.iter().all(|(defect, _)| defect.is_silence()) {
        Exit::GaveUp
    } else {
        Exit::Findings
    })
}

/// What does not hold by itself proves nothing. Each layer is checked alone: a later one may replace what is in it.
fn check_examples(mappings: &Mappings) -> Result<(), Failure> {
    let mut mistakes = Vec::new();
    for layer in &mappings.layers {
        let alone = Mappings { layers: vec![layer.clone()] };
        let failed = examples::check(&alone).failed;
        mistakes
            .extend(failed.iter().map(|(file, mistake)| render::diagnostic(&file.path, &file.text, mistake)));
    }
    if mistakes.is_empty() { Ok(()) } else { Err(Failure::rendered(Exit::Misconfigured, mistakes)) }
}

fn nobody() -> Result<Identity, Failure> {
    let origin_uuid = OriginUuid::parse("00000000-0000-0000-0000-000000000000");
    let nobody = origin_uuid.zip(BridgeId::parse("nobody"));
    nobody
        .map(|(origin_uuid, bridge_id)| Identity { origin_uuid, bridge_id })
        .ok_or_else(|| Failure::new(Exit::Bug, "an id of our own cannot be read"))
}

/// The site, where a source was named that shows it.
fn observed(command: &Verify) -> Result<Option<Site>, Failure> {
    let has_address = command.sources.management_url.is_some()
        || std::env::var_os(site::URL_VARIABLE).is_some_and(|url| !url.is_empty());
    if !has_address && !command.sources.name_files() {
        return Ok(None);
    }
    site::observe_with(&command.sources, &command.daemon.broker).map(Some)
}

fn write_junit(report: &Report, path: &Path) -> Result<(), Failure> {
    let cannot_write =
        |error: String| Failure::new(Exit::Unreachable, format!("cannot write {}: {error}", path.display()));
    let text = report.junit().map_err(cannot_write)?;
    fs::write(path, text).map_err(|error| cannot_write(error.to_string()))
}

/// All that is needed to ask.
struct Work<'w> {
    config: &'w Config,
    mappings: &'w Mappings,
    patience: Duration,
    site: Option<&'w Site>,
}

/// What is known of the exchanges: which of them probes may go over.
struct Exchanges {
    checks: Vec<Check>,
    usable: HashSet<String>,
}

impl Work<'_> {
    async fn report(&self, translator: &Translator) -> Result<Report, Failure> {
        let not_connected = |error| runtime::not_connected(&error);
        let mut legacy = Probing::connect(&self.config.legacy).await.map_err(not_connected)?;
        let mut modern = Probing::connect(&self.config.modern).await.map_err(not_connected)?;
        let report =
            self.ask(translator, &mut legacy, &mut modern).await.map_err(|error| self.refused(&error));
        legacy.close().await;
        modern.close().await;
        report
    }

    fn refused(&self, error: &SetUpError) -> Failure {
        match error {
            SetUpError::AccessRefused { .. } => Failure::new(Exit::AccessRefused, error).help(format!(
                "the account needs configure, write and read on `{}` and on queues called `{PROBE_KEY}.…`",
                settings::permissions(self.config)
            )),
            _ => Failure::new(Exit::Unreachable, error).help("is the broker still running?"),
        }
    }

    async fn ask(
        &self,
        translator: &Translator,
        legacy: &mut Probing,
        modern: &mut Probing,
    ) -> Result<Report, SetUpError> {
        let intake = daemon::intake(self.config);
        let mut brokers = vec![self.config.legacy.to_string()];
        if !self.config.legacy.is_same(&self.config.modern) {
            brokers.push(self.config.modern.to_string());
        }
        let mut report = Report { brokers, bridge: None, checks: Vec::new(), not_listened_for: 0 };
        let queues = [intake.modern_queue(), intake.legacy_queue()];
        let depths = self.wait_for_consumers([(modern, &queues[0]), (legacy, &queues[1])]).await?;
        let is_up = depths.map(|depth| depth.is_some_and(|depth| depth.consumers > 0));
        for (queue, depth) in queues.iter().zip(depths) {
            let name = format!("consumes from `{queue}`");
            report.checks.push(Check::new(Area::Bridge, name, self.consumed(queue, depth)));
        }
        let (legacy_side, modern_side) = (intake.legacy_side(translator), intake.modern_side(translator));
        let is_running = is_up.iter().all(|is_up| *is_up);
        let exchanges = Exchanges::look([(legacy, &legacy_side), (modern, &modern_side)], is_running).await?;
        report.checks.extend(exchanges.checks.iter().cloned());

        let runs = [run("l"), run("m")];
        self.listen(legacy, &runs[0], &legacy_side, &exchanges).await?;
        self.listen(modern, &runs[1], &modern_side, &exchanges).await?;
        let mut asking = Asking {
            direction: Direction::ToLegacy,
            run: &runs[0],
            intake_queue: &queues[0],
            from: modern,
            to: legacy,
            patience: self.patience,
        };
        let mut is_silent = [false; 2];
        if is_up[0] {
            is_silent[0] = !self.direction(&mut asking, &intake, translator, &exchanges, &mut report).await?;
        }
        let mut asking = Asking {
            direction: Direction::ToModern,
            run: &runs[1],
            intake_queue: &queues[1],
            from: legacy,
            to: modern,
            patience: self.patience,
        };
        if is_up[1] {
            is_silent[1] = !self.direction(&mut asking, &intake, translator, &exchanges, &mut report).await?;
        }
        for (at, probing) in [&*modern, &*legacy].into_iter().enumerate() {
            if is_silent[at] {
                let depth = probing.depth(&queues[at]).await?;
                report.checks.push(silence(&queues[at], depth, report.bridge.is_some()));
            }
        }
        // Whose publications are kept out is best known to who publishes them.
        let answered = report.bridge.as_ref().and_then(|bridge| BridgeId::parse(&bridge.bridge));
        let modern_side = match answered {
            Some(id) => Intake { bridge_id: Some(id), ..intake }.modern_side(translator),
            None => modern_side,
        };
        self.check_bindings(&legacy_side, &modern_side, &mut report);
        Ok(report)
    }

    /// Waits until somebody consumes from both queues, for as long as there is patience.
    async fn wait_for_consumers(
        &self,
        queues: [(&Probing, &String); 2],
    ) -> Result<[Option<Depth>; 2], SetUpError> {
        let began = Instant::now();
        let mut told = false;
        loop {
            let [(first, name), (second, other)] = queues;
            let depths = [first.depth(name).await?, second.depth(other).await?];
            let missing = depths
                .iter()
                .zip([name, other])
                .find(|(depth, _)| depth.is_none_or(|depth| depth.consumers == 0));
            let Some((_, queue)) = missing else { return Ok(depths) };
            if began.elapsed() >= self.patience {
                return Ok(depths);
            }
            if !told && began.elapsed() >= TELL_AFTER {
                told = true;
                eprintln!(
                    "waiting up to {} s for the bridge: nobody consumes from `{queue}`",
                    self.patience.as_secs()
                );
            }
            tokio::time::sleep(LOOK_AGAIN).await;
        }
    }

    /// That the bridge consumes from its queue, and nobody else.
    fn consumed(&self, queue: &str, depth: Option<Depth>) -> Verdict {
        let queue = queue.to_owned();
        let Some(depth) = depth else { return Verdict::Failed(Defect::QueueMissing { queue }) };
        if let Some(who) = self.site.and_then(|site| foreign_consumers(site, &queue).into_iter().next()) {
            return Verdict::Failed(Defect::ForeignConsumer { queue, who });
        }
        match depth.consumers {
            0 => Verdict::Failed(Defect::BridgeDown { queue, waiting: depth.messages }),
            _ => Verdict::Passed,
        }
    }

    async fn listen(
        &self,
        probing: &mut Probing,
        run: &Run,
        side: &Topology,
        exchanges: &Exchanges,
    ) -> Result<(), SetUpError> {
        // What is passed on to another exchange is waited for there, so that the way between the two is proven.
        let passed_on = |exchange: &Exchange| {
            side.bindings.iter().any(|binding| {
                binding.source == exchange.name
                    && side
                        .exchanges
                        .iter()
                        .any(|to| binding.destination == Destination::Exchange(to.name.clone()))
            })
        };
        let usable =
            side.exchanges.iter().filter(|exchange| exchanges.usable.contains(exchange.name.as_ref()));
        let bound: Vec<(&str, ExchangeKind)> = usable
            .filter(|exchange| !passed_on(exchange))
            .map(|exchange| (exchange.name.as_ref(), exchange.kind))
            .collect();
        probing.listen(&address(run), run.as_str(), &bound).await
    }

    /// Asks in one direction; false where nobody answers at all.
    async fn direction(
        &self,
        asking: &mut Asking<'_>,
        intake: &Intake,
        translator: &Translator,
        exchanges: &Exchanges,
        report: &mut Report,
    ) -> Result<bool, SetUpError> {
        let direction = asking.direction;
        let Some(bridge) = asking.who().await? else { return Ok(false) };
        let translator = &self.translator_of(&bridge, translator);
        if report.bridge.is_none() {
            report.checks.extend(self.identity(&bridge));
            report.bridge = Some(bridge);
        }
        let legacy_side = intake.legacy_side(translator);
        let over = |exchange: &str| exchanges.usable.contains(exchange);
        let asked = questions(direction, asking.run, self.mappings, translator, &legacy_side, over);
        let answered = asking.all(&asked).await?;
        let modern_side = intake.modern_side(translator);
        let is_way_in = |binding: &&Binding| binding.source == self.config.exchange_name;
        let way_in = modern_side.bindings.iter().find(is_way_in).map(Seen::from);
        let (binding_key, bound) = match (direction, &way_in) {
            (Direction::ToLegacy, Some(binding)) => (binding.key.as_str(), binding.destination.to_string()),
            _ => (PROBE_KEY, format!("queue `{}`", asking.intake_queue)),
        };
        let line = Line {
            direction,
            intake_queue: asking.intake_queue,
            binding_key,
            bound: &bound,
            is_complete: answered.is_complete,
        };
        report.checks.extend(judge(line, &asked, &answered.arrivals));
        report.not_listened_for += asked.iter().filter(|asked| is_dropped(asked)).count();
        if !answered.is_complete {
            let depth = asking.from.depth(asking.intake_queue).await?;
            report.checks.push(silence(asking.intake_queue, depth, false));
        }
        Ok(true)
    }

    /// The translator of this configuration, as the bridge that answers.
    fn translator_of(&self, bridge: &Answer, translator: &Translator) -> Translator {
        let mut settings = translator.settings().clone();
        if let Some(id) = BridgeId::parse(&bridge.bridge) {
            settings.bridge_id = id;
        }
        if let Some(uuid) = OriginUuid::parse(&bridge.origin_uuid) {
            settings.origin_uuid = uuid;
        }
        Translator::new(translator.catalog().clone(), settings)
    }

    /// That it is the bridge of this configuration which answers.
    fn identity(&self, bridge: &Answer) -> Vec<Check> {
        let platform = self.config.modern_version.to_string();
        let mut pairs = vec![("version of the platform", &bridge.platform, platform.as_str())];
        if let Some(Identity { origin_uuid, bridge_id }) = &self.config.identity {
            pairs.push(("bridge id", &bridge.bridge, bridge_id.as_str()));
            pairs.push(("origin uuid", &bridge.origin_uuid, origin_uuid.as_str()));
        }
        let check = |(setting, found, configured): (&'static str, &String, &str)| {
            let verdict = if found == configured {
                Verdict::Passed
            } else {
                let (found, configured) = (found.clone(), configured.to_owned());
                Verdict::Failed(Defect::OtherBridge { setting, found, configured })
            };
            Check::new(Area::Bridge, setting, verdict)
        };
        pairs.into_iter().map(check).collect()
    }

    /// What was seen is of one broker: where the two sides are apart, of the legacy one, whose bindings no probe proves.
    fn check_bindings(&self, legacy_side: &Topology, modern_side: &Topology, report: &mut Report) {
        let passed: Vec<String> = report
            .checks
            .iter()
            .filter(|check| check.area == Area::Paths && check.verdict == Verdict::Passed)
            .map(|check| check.name.clone())
            .collect();
        let came_from = |exchange: &str| {
            let from = format!("`{exchange}` →");
            passed.iter().any(|path| path.starts_with(&from))
        };
        report.checks.extend(bindings(legacy_side, self.site, |binding| match &binding.destination {
            Destination::Queue(_) => {
                [PROBE_KEY, "#"].contains(&binding.key.as_str()) && came_from(&binding.source)
            }
            Destination::Exchange(_) => {
                let to = format!("→ `{}`", binding.source);
                passed.iter().any(|path| path.ends_with(&to))
            }
        }));
        // What others publish comes all the way from the exchange to the queue; what is kept out never comes.
        let is_one = self.config.legacy.is_same(&self.config.modern);
        let split = daemon::intake(self.config).split_exchange();
        report.checks.extend(bindings(modern_side, self.site.filter(|_| is_one), |binding| {
            // Of several parts it is one that it came through.
            let is_of_a_part = binding.source == split;
            binding.arguments.is_empty() && !is_of_a_part && came_from(&self.config.exchange_name)
        }));
    }
}

impl Exchanges {
    /// Looks at what each side needs.
    async fn look(sides: [(&Probing, &Topology); 2], is_running: bool) -> Result<Self, SetUpError> {
        let mut exchanges = Self { checks: Vec::new(), usable: HashSet::new() };
        for (which, (probing, side)) in sides.into_iter().enumerate() {
            for exchange in side.exchanges.iter().chain(&side.own_exchanges) {
                let seen = probing.exchange(exchange).await?;
                // On one that was declared otherwise, or of which nobody knows how, a probe might reach clients. What is
                // on the modern exchange reaches them anyway, and says nothing to them.
                let is_usable = seen == ExchangeSeen::AsNeeded || which == 1 && seen == ExchangeSeen::There;
                if is_usable {
                    exchanges.usable.insert(exchange.name.to_string());
                }
                exchanges.checks.push(Check::new(
                    Area::Exchanges,
                    exchange.name.as_ref(),
                    verdict(exchange, seen, is_running),
                ));
            }
        }
        // What goes over an exchange goes on to those that it passes it on to.
        for (_, side) in sides {
            for binding in &side.bindings {
                if let Destination::Exchange(to) = &binding.destination
                    && !exchanges.usable.contains(to.as_ref())
                {
                    exchanges.usable.remove(binding.source.as_ref());
                }
            }
        }
        Ok(exchanges)
    }
}

fn verdict(exchange: &Exchange, seen: ExchangeSeen, is_running: bool) -> Verdict {
    match seen {
        ExchangeSeen::AsNeeded => Verdict::Passed,
        ExchangeSeen::There if exchange.declare == Declare::Passive => Verdict::Passed,
        ExchangeSeen::There => {
            Verdict::Unproven("the account may not ask for the type of the exchange".into())
        }
        ExchangeSeen::Otherwise(difference) => {
            Verdict::Failed(Defect::WrongExchange { difference: difference.to_string() })
        }
        ExchangeSeen::Missing if !is_running && exchange.declare == Declare::Active => {
            Verdict::Unproven("not there, and the bridge makes it when it starts".into())
        }
        ExchangeSeen::Missing => {
            Verdict::Failed(Defect::ExchangeMissing { exchange: exchange.name.to_string() })
        }
    }
}

/// What it means that nobody answers from this queue. Where the bridge answers from its other queue, it
/// is up and willing to answer, so whoever consumes here is not the bridge.
fn silence(queue: &str, depth: Option<Depth>, is_answered_elsewhere: bool) -> Check {
    let name = format!("answers from `{queue}`");
    let queue = queue.to_owned();
    let defect = match depth {
        None => Defect::QueueMissing { queue },
        Some(Depth { consumers: 0, messages }) => Defect::BridgeDown { queue, waiting: messages },
        Some(_) if is_answered_elsewhere => {
            let who = "the bridge answers from its other queue, and whoever consumes from this one does not";
            Defect::ForeignConsumer { queue, who: who.to_owned() }
        }
        Some(Depth { messages, .. }) => Defect::NoAnswer { queue, waiting: messages },
    };
    Check::new(Area::Bridge, name, Verdict::Failed(defect))
}

fn is_dropped(asked: &Question) -> bool {
    asked.over.is_none() && asked.expected.publications.is_empty() && asked.expected.refusal.is_none()
}

/// A name that no other run has.
fn run(suffix: &str) -> Run {
    let random = RandomState::new().build_hasher().finish();
    let name = format!("{random:016x}{suffix}");
    Run::parse(&name).unwrap_or_else(|| unreachable!("{name} is one word"))
}
