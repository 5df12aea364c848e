//! What the bridge needs on the broker of each side: the exchanges of the bus, its own queues, and
//! which events are bound to them.

use std::borrow::Cow;

use super::catalog::Entry;
use super::message::MARK_HEADER;
use super::probe::PROBE_KEY;
use super::rule::DEFAULT_LEGACY_EXCHANGE;
use super::settings::{BridgeId, Listen, Probes};
use super::site::{self, Arguments};
use super::split::{MOST_PARTS, Split, SplitBy};
use super::topology::{
    Binding, Bounds, Declare, Destination, Exchange, ExchangeKind, Queue, QueueKind, Topology,
};
use super::translate::Translator;

/// A message that was delivered so often and never acked ends every session. It is delivered alone by then, so
/// that this counts against no other, and seldom enough for a broker that restarts again and again.
pub(crate) const DELIVERY_LIMIT: u32 = 10;

/// Whoever looks into the quarantine puts back what it looked at, and that counts as a delivery. RabbitMQ 4, and a
/// policy, drop a message that was looked at often; -1 for no limit is known to RabbitMQ 4 only.
const WITHOUT_LIMIT: u32 = i32::MAX as u32;

/// The binding key of each part at the exchange that splits: all parts are of the same size.
const WEIGHT: &str = "1";

/// The exchange of AMI events, 14.02 to 14.24 (xivo-amid).
const AMI_EXCHANGE: &str = "xivo-ami";

/// The exchanges of the legacy bus, all durable (XiVO 14.24: xivo-ctid, xivo-amid).
const LEGACY_EXCHANGES: [(&str, ExchangeKind); 3] = [
    (DEFAULT_LEGACY_EXCHANGE, ExchangeKind::Direct),
    (AMI_EXCHANGE, ExchangeKind::Topic),
    ("xivo-status-updates", ExchangeKind::Direct),
];

/// The type of an exchange of the legacy bus; nothing for any other exchange.
#[must_use]
pub fn legacy_exchange(name: &str) -> Option<ExchangeKind> {
    LEGACY_EXCHANGES.iter().find(|(legacy, _)| *legacy == name).map(|(_, kind)| *kind)
}

/// The type of an exchange that the bus has had in any era; nothing for any other exchange.
#[must_use]
pub fn known_exchange(name: &str) -> Option<ExchangeKind> {
    match name {
        "xivo" => Some(ExchangeKind::Topic),
        "wazo-headers" => Some(ExchangeKind::Headers),
        name => legacy_exchange(name),
    }
}

/// The binding by which what carries this mark ends in the filter: it leads back there, where no message comes twice.
#[must_use]
pub fn mark(filter: &str, id: &BridgeId) -> Binding {
    Binding {
        source: filter.to_owned().into(),
        destination: Destination::Exchange(filter.to_owned().into()),
        key: String::new(),
        arguments: [("x-match", "all"), (MARK_HEADER, id.as_str())]
            .map(|(name, value)| (name.to_owned(), value.into()))
            .into(),
    }
}

/// Whether this is such a binding, of whichever bridge.
#[must_use]
pub fn is_mark(binding: &site::Binding) -> bool {
    binding.destination == site::Destination::Exchange(binding.source.clone())
        && binding.arguments.contains_key(MARK_HEADER)
}

/// The names and kinds of what the bridge makes for itself.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Intake {
    /// What its queues are called before the dot.
    pub prefix: String,
    /// The type of its intake queues.
    pub queue_kind: QueueKind,
    /// The type of the exchange of modern events.
    pub modern_exchange_kind: ExchangeKind,
    /// Whether the platform's own exchange is declared or only looked for.
    pub declare_modern_exchange: Declare,
    /// How much each intake queue holds.
    pub bounds: Bounds,
    /// How much the quarantine queue holds.
    pub quarantine_bounds: Bounds,
    /// Whose publications are kept from coming back. Who only looks need not know; the bridge itself sees to it.
    pub bridge_id: Option<BridgeId>,
    /// Whether several instances share the modern events.
    pub split: Split,
}

impl Intake {
    /// The queue of messages from legacy exchanges.
    #[must_use]
    pub fn legacy_queue(&self) -> String {
        format!("{}.legacy", self.prefix)
    }

    /// What comes from the modern exchange.
    fn modern(&self) -> String {
        format!("{}.modern", self.prefix)
    }

    /// The queue of messages from the modern exchange; of a split stream, that of this instance.
    #[must_use]
    pub fn modern_queue(&self) -> String {
        Split::queue(&self.modern(), self.split.part.unwrap_or(1))
    }

    /// The queues of all instances.
    #[must_use]
    pub fn modern_queues(&self) -> Vec<String> {
        (1..=self.split.into).map(|part| Split::queue(&self.modern(), part)).collect()
    }

    /// The queue of messages that could not be translated.
    #[must_use]
    pub fn quarantine_queue(&self) -> String {
        format!("{}.quarantine", self.prefix)
    }

    /// All its queues.
    #[must_use]
    pub fn own_queues(&self) -> Vec<String> {
        let modern = self.modern_queues().into_iter();
        modern.chain([self.legacy_queue(), self.quarantine_queue()]).collect()
    }

    fn queues(&self, intake: Vec<String>) -> Vec<Queue> {
        let counts_deliveries = self.queue_kind == QueueKind::Quorum;
        let intake = intake.into_iter().map(|name| Queue {
            name,
            kind: self.queue_kind,
            single_active_consumer: true,
            delivery_limit: counts_deliveries.then_some(DELIVERY_LIMIT),
            dead_letter_queue: counts_deliveries.then(|| self.quarantine_queue()),
            bounds: self.bounds,
        });
        // Read by hand and rarely, by any number of readers.
        let quarantine = Queue {
            name: self.quarantine_queue(),
            kind: self.queue_kind,
            single_active_consumer: false,
            delivery_limit: counts_deliveries.then_some(WITHOUT_LIMIT),
            dead_letter_queue: None,
            bounds: self.quarantine_bounds,
        };
        intake.chain([quarantine]).collect()
    }

    /// The exchange that sorts what comes from the modern exchange: what this bridge published, and all else.
    #[must_use]
    pub fn filter_exchange(&self) -> String {
        format!("{}.filter", self.modern())
    }

    /// The exchange of what others published.
    #[must_use]
    pub fn others_exchange(&self) -> String {
        format!("{}.others", self.modern())
    }

    /// The exchange that splits that over the instances, where there are several.
    #[must_use]
    pub fn split_exchange(&self) -> String {
        format!("{}.split", self.modern())
    }

    /// What is needed on the broker of the modern side.
    ///
    /// All that is published is wanted but what the bridge itself published, and no binding says "not". So what carries
    /// exactly its mark matches a binding that leads back to the filter, where no message comes twice, and the broker takes
    /// what no binding wants to the alternate exchange. Wherever a part of this is missing, more comes back, and the bridge
    /// drops it.
    ///
    /// A bridge that listens for nothing publishes nothing there, and events are spared the way over two more exchanges.
    #[must_use]
    pub fn modern_side(&self, translator: &Translator) -> Topology {
        let is_filtered = translator.settings().listen != Listen::Nothing;
        let name: Cow<'static, str> = Cow::Owned(translator.settings().modern_exchange.clone());
        let every_event = match self.modern_exchange_kind {
            ExchangeKind::Topic => "#",
            // Without arguments a binding to a headers exchange gets every message, whatever its key.
            ExchangeKind::Headers
            | ExchangeKind::Direct
            | ExchangeKind::Fanout
            | ExchangeKind::ConsistentHash => "",
        };
        let own_exchange = |name: String, kind, alternate| Exchange {
            name: Cow::Owned(name),
            kind,
            declare: Declare::Active,
            alternate,
            hash_header: None,
        };
        let binding = |source: Cow<'static, str>, destination, key: &str| Binding {
            source,
            destination,
            key: key.to_owned(),
            arguments: Arguments::new(),
        };
        let to_part = |part| {
            let queue = Destination::Queue(Split::queue(&self.modern(), part));
            binding(self.split_exchange().into(), queue, WEIGHT)
        };
        let to_whole = Destination::Queue(self.modern());
        let to_split = Destination::Exchange(self.split_exchange().into());
        let to_filter = Destination::Exchange(self.filter_exchange().into());
        let (wanted, unwanted) = if self.split.is_on() { (to_split, to_whole) } else { (to_whole, to_split) };
        let straight = |destination| binding(name.clone(), destination, every_event);
        let of_others = |destination| binding(self.others_exchange().into(), destination, "");
        // From the queue outwards, so that nothing falls out of a way that is half made.
        let mut bindings = Vec::new();
        let mut obsolete_bindings = vec![straight(unwanted.clone()), of_others(unwanted)];
        if self.split.is_on() {
            bindings.extend((1..=self.split.into).map(to_part));
            obsolete_bindings.extend((self.split.into + 1..=MOST_PARTS).map(to_part));
        }
        if is_filtered {
            bindings.push(of_others(wanted.clone()));
            bindings.extend(self.bridge_id.iter().map(|id| mark(&self.filter_exchange(), id)));
            bindings.push(straight(to_filter));
            obsolete_bindings.push(straight(wanted));
        } else {
            bindings.push(straight(wanted.clone()));
            obsolete_bindings.extend([straight(to_filter), of_others(wanted)]);
        }
        let splitter = self.split.is_on().then(|| Exchange {
            hash_header: match &self.split.by {
                SplitBy::RoutingKey => None,
                SplitBy::Header(name) => Some(name.clone()),
            },
            ..own_exchange(self.split_exchange(), ExchangeKind::ConsistentHash, None)
        });
        let filter = is_filtered.then(|| {
            [
                own_exchange(self.others_exchange(), ExchangeKind::Fanout, None),
                own_exchange(self.filter_exchange(), ExchangeKind::Headers, Some(self.others_exchange())),
            ]
        });
        Topology {
            bindings,
            obsolete_bindings,
            exchanges: vec![Exchange {
                name,
                kind: self.modern_exchange_kind,
                declare: self.declare_modern_exchange,
                alternate: None,
                hash_header: None,
            }],
            own_exchanges: splitter.into_iter().chain(filter.into_iter().flatten()).collect(),
            queues: self.queues(self.modern_queues()),
        }
    }

    /// What is needed on the broker of the legacy side.
    ///
    /// A direct exchange has no wildcards, so its queue is bound name by name, to what is listened for only.
    #[must_use]
    pub fn legacy_side(&self, translator: &Translator) -> Topology {
        let historical = LEGACY_EXCHANGES.iter().map(|(name, kind)| Exchange {
            name: Cow::Borrowed(*name),
            kind: *kind,
            declare: Declare::Active,
            alternate: None,
            hash_header: None,
        });
        let mut topology = Topology {
            exchanges: historical.collect(),
            queues: self.queues(vec![self.legacy_queue()]),
            ..Topology::default()
        };
        // Old scripts that look for AMI events on `xivo-cti` are served by the broker.
        topology.bindings.push(Binding {
            source: Cow::Borrowed(AMI_EXCHANGE),
            destination: Destination::Exchange(Cow::Borrowed(DEFAULT_LEGACY_EXCHANGE)),
            key: "#".to_owned(),
            arguments: Arguments::new(),
        });
        let catalog = translator.catalog();
        for (name, entry) in catalog.listed() {
            self.add(&mut topology, entry, translator.listens_for(name, entry), |key| key.to_owned());
        }
        for entry in catalog.open() {
            let all = translator.settings().listen == Listen::All;
            self.add(&mut topology, entry, all, |_| "#".to_owned());
        }
        if let Listen::Also(names) = &translator.settings().listen {
            let mut names: Vec<&String> = names.iter().collect();
            names.sort();
            for name in names {
                let found = catalog.by_legacy_name(name).filter(|found| found.entry.is_open());
                if let Some(found) = found {
                    self.add(&mut topology, found.entry, true, |_| name.clone());
                }
            }
        }
        self.add_probes(&mut topology, translator.settings().probes);
        let wanted = topology.bindings.clone();
        topology.obsolete_bindings.retain(|binding| !wanted.contains(binding));
        topology
    }

    /// Probes come in wherever something is listened for, under a key that no event has.
    fn add_probes(&self, topology: &mut Topology, probes: Probes) {
        let queue = Destination::Queue(self.legacy_queue());
        let listened = topology.bindings.iter().filter(|binding| binding.destination == queue);
        let sources: Vec<_> = listened.map(|binding| binding.source.clone()).collect();
        for exchange in &topology.exchanges {
            let source = exchange.name.clone();
            let wanted = probes == Probes::Answer && sources.contains(&source);
            let (destination, arguments) = (queue.clone(), Arguments::new());
            let binding = Binding { source, destination, key: PROBE_KEY.to_owned(), arguments };
            if wanted { &mut topology.bindings } else { &mut topology.obsolete_bindings }.push(binding);
        }
    }

    fn add(&self, topology: &mut Topology, entry: &Entry, listened: bool, key: impl Fn(&str) -> String) {
        for address in &entry.addresses {
            if !topology.exchanges.iter().any(|exchange| exchange.name == address.exchange) {
                // An exchange that only this site has: it knows how it was declared.
                topology.exchanges.push(Exchange {
                    name: Cow::Owned(address.exchange.clone()),
                    kind: ExchangeKind::Direct,
                    declare: Declare::Passive,
                    alternate: None,
                    hash_header: None,
                });
            }
            let binding = Binding {
                source: Cow::Owned(address.exchange.clone()),
                destination: Destination::Queue(self.legacy_queue()),
                key: key(&address.routing_key.to_string()),
                arguments: Arguments::new(),
            };
            let list = if listened { &mut topology.bindings } else { &mut topology.obsolete_bindings };
            if !list.contains(&binding) {
                list.push(binding);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;
    use std::sync::Arc;

    use super::*;
    use crate::core::catalog::{Catalog, MappingFile, Mappings};
    use crate::core::mapping_file;
    use crate::core::message::DeliveryMode;
    use crate::core::settings::{BridgeId, OriginUuid, Probes, Settings, UnknownEvents};
    use crate::core::version::Version;

    const RULES: &str = r#"
- event: call_{action}
  parameters: {action: [created, ended]}
  source: test
  modern: {routing_key: "calls.call.{action}"}
- event: call_form_result
  source: test
  legacy: {listen: true}
  modern: {routing_key: call_form_result}
- event: user_status_update
  source: test
  legacy: {exchange: xivo-status-updates, routing_key: status, also: [{exchange: xivo-cti}]}
  modern: {routing_key: status.user}
- event: agent_status_update
  source: test
  legacy: {exchange: xivo-status-updates, routing_key: status}
  modern: {routing_key: status.agent}
- event: "{ami_event}"
  parameters: {ami_event: capitalised}
  source: test
  legacy: {exchange: xivo-ami}
  modern: {routing_key: "ami.{ami_event}"}
"#;

    const SITE: &str = "
- event: door_opened
  source: test
  legacy: {exchange: building}
  modern: {routing_key: building.door}
";

    fn translator(rules: &str, listen: Listen) -> Translator {
        let rules = mapping_file::read(rules).unwrap().into_iter().map(Arc::new).collect();
        let file = MappingFile { path: String::new(), text: String::new(), rules };
        let settings = Settings {
            bridge_id: BridgeId::parse("b1").unwrap(),
            origin_uuid: OriginUuid::parse("u").unwrap(),
            modern_exchange: "xivo".into(),
            listen,
            unknown_events: UnknownEvents::Pass,
            max_hops: 8,
            delivery_mode: DeliveryMode::Transient,
            legacy_content_type: None,
            probes: Probes::Answer,
        };
        Translator::new(Catalog::at(Version::new(19, 5), &Mappings { layers: vec![vec![file]] }), settings)
    }

    fn intake() -> Intake {
        Intake {
            prefix: "cti-bridge".into(),
            queue_kind: QueueKind::Quorum,
            modern_exchange_kind: ExchangeKind::Topic,
            declare_modern_exchange: Declare::Active,
            bounds: Bounds::default(),
            quarantine_bounds: Bounds::default(),
            bridge_id: BridgeId::parse("b1"),
            split: Split::default(),
        }
    }

    fn legacy_side(listen: Listen) -> Topology {
        intake().legacy_side(&translator(RULES, listen))
    }

    fn also(names: &[&str]) -> Listen {
        Listen::Also(names.iter().map(|name| (*name).to_owned()).collect())
    }

    /// The bindings of the bridge's own queue, as `exchange key`, sorted.
    fn own(bindings: &[Binding]) -> Vec<String> {
        let events = bindings.iter().filter(|binding| binding.key != PROBE_KEY);
        let own = events.filter(|binding| match &binding.destination {
            Destination::Queue(name) => {
                assert_eq!(name, "cti-bridge.legacy");
                true
            }
            Destination::Exchange(_) => false,
        });
        let mut own: Vec<String> = own.map(|binding| format!("{} {}", binding.source, binding.key)).collect();
        own.sort();
        own
    }

    #[test]
    fn the_historical_exchanges_are_there_whatever_is_listened_for() {
        for listen in [also(&[]), Listen::All] {
            let exchanges = legacy_side(listen).exchanges;
            let exchanges: Vec<_> = exchanges.iter().map(|e| (e.name.as_ref(), e.kind, e.declare)).collect();
            assert_eq!(
                exchanges,
                [
                    ("xivo-cti", ExchangeKind::Direct, Declare::Active),
                    ("xivo-ami", ExchangeKind::Topic, Declare::Active),
                    ("xivo-status-updates", ExchangeKind::Direct, Declare::Active),
                ]
            );
        }
    }

    #[test]
    fn the_broker_itself_copies_ami_events_to_the_main_exchange() {
        let bindings = legacy_side(also(&[])).bindings;
        assert_eq!(
            bindings[0],
            Binding {
                source: "xivo-ami".into(),
                destination: Destination::Exchange("xivo-cti".into()),
                key: "#".into(),
                arguments: Arguments::new(),
            }
        );
    }

    #[test]
    fn probes_come_in_where_something_is_listened_for() {
        let probed = |listen: Listen, probes: Probes| {
            let translator = translator(RULES, listen);
            let settings = Settings { probes, ..translator.settings().clone() };
            let topology = intake().legacy_side(&Translator::new(translator.catalog().clone(), settings));
            let of = |bindings: &[Binding]| {
                let probes = bindings.iter().filter(|binding| binding.key == "cti-bridge.probe");
                probes.map(|binding| binding.source.to_string()).collect::<Vec<_>>()
            };
            (of(&topology.bindings), of(&topology.obsolete_bindings))
        };
        let names = |names: &[&str]| names.iter().map(|name| (*name).to_owned()).collect::<Vec<_>>();
        let all = names(&["xivo-cti", "xivo-ami", "xivo-status-updates"]);
        assert_eq!(
            probed(also(&[]), Probes::Answer),
            (names(&["xivo-cti"]), names(&["xivo-ami", "xivo-status-updates"]))
        );
        assert_eq!(probed(Listen::All, Probes::Answer), (all.clone(), Vec::new()));
        assert_eq!(probed(Listen::All, Probes::Ignore), (Vec::new(), all));
    }

    #[test]
    fn who_listens_for_nothing_has_nothing_bound_and_what_was_is_obsolete() {
        let bound_to_it = |bindings: &[Binding]| {
            bindings.iter().any(|it| it.destination == Destination::Queue("cti-bridge.legacy".into()))
        };
        let deaf = legacy_side(Listen::Nothing);
        assert!(!bound_to_it(&deaf.bindings));
        let all = legacy_side(Listen::All).bindings;
        assert!(
            all.iter()
                .filter(|it| bound_to_it(&[(*it).clone()]))
                .all(|it| deaf.obsolete_bindings.contains(it))
        );
        assert_eq!(deaf.exchanges, legacy_side(also(&[])).exchanges);
    }

    #[test]
    fn by_default_only_what_legacy_programs_published_is_bound() {
        assert_eq!(own(&legacy_side(also(&[])).bindings), ["xivo-cti call_form_result"]);
    }

    #[test]
    fn a_named_event_is_bound_at_all_its_addresses() {
        assert_eq!(
            own(&legacy_side(also(&["user_status_update", "call_ended"])).bindings),
            [
                "xivo-cti call_ended",
                "xivo-cti call_form_result",
                "xivo-cti user_status_update",
                "xivo-status-updates status",
            ]
        );
    }

    #[test]
    fn all_binds_every_name_and_ami_events_by_a_wildcard() {
        let topology = legacy_side(Listen::All);
        assert_eq!(
            own(&topology.bindings),
            [
                "xivo-ami #",
                "xivo-cti call_created",
                "xivo-cti call_ended",
                "xivo-cti call_form_result",
                "xivo-cti user_status_update",
                "xivo-status-updates status",
            ]
        );
        assert_eq!(topology.obsolete_bindings, []);
    }

    #[test]
    fn a_named_ami_event_is_bound_on_its_own_exchange() {
        let topology = legacy_side(also(&["Newchannel", "Hangup", "no_such_event"]));
        assert_eq!(
            own(&topology.bindings),
            ["xivo-ami Hangup", "xivo-ami Newchannel", "xivo-cti call_form_result"]
        );
    }

    #[test]
    fn what_an_earlier_configuration_may_have_bound_is_obsolete() {
        assert_eq!(
            own(&legacy_side(also(&["call_created"])).obsolete_bindings),
            [
                "xivo-ami #",
                "xivo-cti call_ended",
                "xivo-cti user_status_update",
                "xivo-status-updates status"
            ]
        );
    }

    #[test]
    fn a_key_that_another_event_needs_is_not_obsolete() {
        let topology = legacy_side(also(&["agent_status_update"]));
        assert!(own(&topology.bindings).contains(&"xivo-status-updates status".to_owned()));
        assert!(!own(&topology.obsolete_bindings).contains(&"xivo-status-updates status".to_owned()));
    }

    #[test]
    fn an_exchange_of_the_site_is_looked_for_and_not_declared() {
        let topology = intake().legacy_side(&translator(SITE, Listen::All));
        let exchange = topology.exchanges.iter().find(|exchange| exchange.name == "building").unwrap();
        assert_eq!(exchange.declare, Declare::Passive);
        assert_eq!(own(&topology.bindings), ["building door_opened"]);
    }

    #[test]
    fn each_side_has_its_intake_queue_and_the_quarantine() {
        let translator = translator(RULES, also(&[]));
        let queues = |topology: Topology| -> Vec<(String, QueueKind, bool)> {
            let queues = topology.queues.into_iter();
            queues.map(|queue| (queue.name, queue.kind, queue.single_active_consumer)).collect()
        };
        let intake = Intake { prefix: "site-a".into(), queue_kind: QueueKind::Classic, ..intake() };
        let quarantine = ("site-a.quarantine".to_owned(), QueueKind::Classic, false);
        assert_eq!(
            queues(intake.legacy_side(&translator)),
            [("site-a.legacy".to_owned(), QueueKind::Classic, true), quarantine.clone()]
        );
        assert_eq!(
            queues(intake.modern_side(&translator)),
            [("site-a.modern".to_owned(), QueueKind::Classic, true), quarantine]
        );
    }

    #[test]
    fn the_modern_side_takes_everything_from_either_kind_of_exchange() {
        for (kind, key) in [(ExchangeKind::Topic, "#"), (ExchangeKind::Headers, "")] {
            let intake =
                Intake { modern_exchange_kind: kind, declare_modern_exchange: Declare::Passive, ..intake() };
            let [deaf, both] =
                [Listen::Nothing, also(&[])].map(|listen| intake.modern_side(&translator(RULES, listen)));
            let bound = |destination| Binding {
                source: "xivo".into(),
                destination,
                key: key.into(),
                arguments: Arguments::new(),
            };
            let to_queue = bound(Destination::Queue("cti-bridge.modern".into()));
            let to_filter = bound(Destination::Exchange("cti-bridge.modern.filter".into()));
            assert_eq!(deaf.bindings, std::slice::from_ref(&to_queue));
            assert!(deaf.obsolete_bindings.contains(&to_filter) && deaf.own_exchanges.is_empty());
            assert_eq!(both.bindings.last(), Some(&to_filter));
            assert!(both.obsolete_bindings.contains(&to_queue));
            let exchange = Exchange {
                name: "xivo".into(),
                kind,
                declare: Declare::Passive,
                alternate: None,
                hash_header: None,
            };
            assert_eq!((deaf.exchanges, both.exchanges), (vec![exchange.clone()], vec![exchange]));
        }
    }

    /// The bindings and obsolete bindings of the modern side, as `exchange → destination key`.
    fn ways(split: Split, listen: Listen) -> [Vec<String>; 2] {
        let topology = Intake { split, ..intake() }.modern_side(&translator(RULES, listen));
        [topology.bindings, topology.obsolete_bindings].map(|bindings| {
            let shown = bindings.iter().filter(|binding| binding.arguments.is_empty()).map(|binding| {
                let (Destination::Queue(to) | Destination::Exchange(Cow::Owned(to))) = &binding.destination
                else {
                    panic!("{binding:?}")
                };
                format!("{} → {to} {}", binding.source, binding.key).replace("cti-bridge.modern", "…")
            });
            shown.collect()
        })
    }

    fn split(into: u8, part: Option<u8>) -> Split {
        Split { into, by: SplitBy::RoutingKey, part }
    }

    #[test]
    fn a_split_stream_has_a_queue_for_each_part_whichever_an_instance_takes() {
        let parts = ["….split → … 1", "….split → ….2 1", "….split → ….3 1"];
        let [straight, _] = ways(split(3, Some(2)), Listen::Nothing);
        assert_eq!(straight, [&parts[..], &["xivo → ….split #"]].concat());
        let [filtered, _] = ways(split(3, Some(2)), also(&[]));
        assert_eq!(filtered, [&parts[..], &["….others → ….split ", "xivo → ….filter #"]].concat());
        let intake = |part| Intake { split: split(3, part), ..intake() };
        let queue = |part| intake(part).modern_queue();
        assert_eq!(
            [None, Some(1), Some(3)].map(queue),
            ["cti-bridge.modern", "cti-bridge.modern", "cti-bridge.modern.3"]
        );
        let side = |part| intake(part).modern_side(&translator(RULES, also(&[])));
        assert_eq!(side(Some(1)), side(Some(3)));
        let queues: Vec<_> = side(None).queues.into_iter().map(|queue| queue.name).collect();
        let parts = ["cti-bridge.modern", "cti-bridge.modern.2", "cti-bridge.modern.3"];
        assert_eq!(queues[..3], parts);
        assert_eq!(queues[3..], ["cti-bridge.quarantine"]);
    }

    /// Those of these bindings that an event of the platform goes over.
    fn gone_over(ways: BTreeSet<&String>) -> BTreeSet<&String> {
        let (mut at, mut over) = (vec!["xivo"], BTreeSet::new());
        while let Some(from) = at.pop() {
            let on = ways.iter().filter(|way| way.split(' ').next() == Some(from) && !over.contains(**way));
            let on: Vec<_> = on.copied().collect();
            at.extend(on.iter().filter_map(|way| way.split(' ').nth(2)));
            // What the filter keeps nothing out of goes to its alternate exchange.
            at.extend(on.iter().filter(|way| way.contains("→ ….filter")).map(|_| "….others"));
            over.extend(on);
        }
        over
    }

    #[test]
    fn whatever_was_configured_before_events_come_in_by_the_way_of_now_and_by_no_other() {
        let configured = [1, 2, 3].into_iter().flat_map(|into| {
            [Listen::Nothing, also(&[])].map(|listen| ways(split(into, (into > 1).then_some(1)), listen))
        });
        let configured: Vec<_> = configured.collect();
        for [before, _] in &configured {
            for [bindings, obsolete] in &configured {
                assert!(bindings.iter().all(|way| !obsolete.contains(way)), "{bindings:?} {obsolete:?}");
                let left = before.iter().chain(bindings).filter(|way| !obsolete.contains(way)).collect();
                assert_eq!(gone_over(left), bindings.iter().collect(), "after {before:?}");
            }
        }
    }

    #[test]
    fn the_splitting_exchange_goes_by_the_header_that_is_named() {
        let splitter = |by| {
            let split = Split { into: 2, by, part: None };
            let topology = Intake { split, ..intake() }.modern_side(&translator(RULES, also(&[])));
            let exchange =
                topology.own_exchanges.into_iter().find(|exchange| exchange.name.ends_with(".split"));
            let exchange = exchange.unwrap();
            format!("{} {}", exchange.kind.as_str(), serde_json::to_string(&exchange.arguments()).unwrap())
        };
        assert_eq!(splitter(SplitBy::RoutingKey), "x-consistent-hash {}");
        assert_eq!(
            splitter(SplitBy::Header("tenant_uuid".into())),
            r#"x-consistent-hash {"hash-header":"tenant_uuid"}"#
        );
    }

    #[test]
    fn what_the_bridge_published_ends_in_the_filter_and_all_else_comes_in() {
        let shown = |bridge_id: Option<BridgeId>| {
            let topology = Intake { bridge_id, ..intake() }.modern_side(&translator(RULES, also(&[])));
            let exchanges = topology.own_exchanges.iter().map(|exchange| {
                let arguments = serde_json::to_string(&exchange.arguments()).unwrap();
                format!("{} {} {arguments}", exchange.name, exchange.kind.as_str())
            });
            let bindings = topology.bindings.iter().map(site::Binding::from).map(|binding| {
                let arguments = serde_json::to_string(&binding.arguments).unwrap();
                format!("{} → {} `{}` {arguments}", binding.source, binding.destination, binding.key)
            });
            (exchanges.collect::<Vec<_>>(), bindings.collect::<Vec<_>>())
        };
        let (exchanges, bindings) = shown(BridgeId::parse("b1"));
        assert_eq!(
            exchanges,
            [
                "cti-bridge.modern.others fanout {}",
                r#"cti-bridge.modern.filter headers {"alternate-exchange":"cti-bridge.modern.others"}"#,
            ]
        );
        let own = concat!(
            "cti-bridge.modern.filter → exchange `cti-bridge.modern.filter` `` ",
            r#"{"cti-bridge":"b1","x-match":"all"}"#
        );
        assert_eq!(
            bindings,
            [
                "cti-bridge.modern.others → queue `cti-bridge.modern` `` {}",
                own,
                "xivo → exchange `cti-bridge.modern.filter` `#` {}",
            ]
        );
        // Who does not know whose they are lets them in: the bridge itself knows.
        let anybodys: Vec<_> = bindings.into_iter().filter(|binding| binding != own).collect();
        assert_eq!(shown(None), (exchanges, anybodys));
    }
}
