use crate::commands::mappings;
use crate::core::catalog::Catalog;
use crate::core::message::{DeliveryMode, MARK_HEADER};
use crate::core::settings::{BridgeId, Listen, OriginUuid, Probes, Settings, UnknownEvents};
use crate::core::site::Arguments;
use crate::core::split::{Split, SplitBy};
use crate::core::topology::{ExchangeKind, QueueKind};
use crate::core::version::Version;

use super::*;

pub(super) struct Planned {
    pub(super) plan: Plan,
}

impl Planned {
    pub(super) fn applied_to(&self, site: &Site) -> Site {
        let mut site = site.clone();
        self.plan.steps.iter().for_each(|step| step.action.apply(&mut site));
        site
    }
}

/// The built-in rules at a version.
pub(super) fn catalog(year: u8, sprint: u8) -> Catalog {
    Catalog::at(Version::new(year, sprint), &mappings::load(true, &[]).unwrap())
}

fn translator(version: (u8, u8), listen: Listen, exchange: &str) -> Translator {
    let settings = Settings {
        bridge_id: BridgeId::parse("b1").unwrap(),
        origin_uuid: OriginUuid::parse("u").unwrap(),
        modern_exchange: exchange.into(),
        listen,
        unknown_events: UnknownEvents::Pass,
        max_hops: 8,
        delivery_mode: DeliveryMode::Transient,
        legacy_content_type: None,
        probes: Probes::Answer,
    };
    Translator::new(catalog(version.0, version.1), settings)
}

fn intake() -> Intake {
    Intake {
        prefix: "cti-bridge".into(),
        queue_kind: QueueKind::Quorum,
        modern_exchange_kind: ExchangeKind::Topic,
        declare_modern_exchange: Declare::Active,
        bounds: crate::core::topology::Bounds::default(),
        quarantine_bounds: crate::core::topology::Bounds::default(),
        bridge_id: BridgeId::parse("b1"),
        split: Split::default(),
    }
}

fn default_listen() -> Listen {
    Listen::Also([].into())
}

pub(super) fn planned_with(site: &Site, options: &Options) -> Planned {
    Planned { plan: plan(site, &translator((19, 5), default_listen(), "xivo"), &intake(), options) }
}

pub(super) fn planned(site: &Site) -> Planned {
    planned_with(site, &Options::default())
}

/// A site with these durable exchanges.
pub(super) fn site_of(exchanges: &[(&str, &str)]) -> Site {
    let exchange = |(name, kind): &(&str, &str)| Exchange {
        name: (*name).into(),
        kind: (*kind).into(),
        durable: Some(true),
        auto_delete: Some(false),
        internal: Some(false),
        arguments: Arguments::new(),
        published: None,
    };
    Site { exchanges: exchanges.iter().map(exchange).collect(), ..Site::default() }
}

fn binding(source: &str, destination: Destination, key: &str) -> Binding {
    Binding { source: source.into(), destination, key: key.into(), arguments: Arguments::new() }
}

pub(super) fn bind_queue(site: &mut Site, source: &str, queue: &str, key: &str) {
    site.bindings.push(binding(source, Destination::Queue(queue.into()), key));
}

pub(super) fn bind_exchanges(site: &mut Site, bindings: &[(&str, &str, &str)]) {
    for (source, destination, key) in bindings {
        site.bindings.push(binding(source, Destination::Exchange((*destination).into()), key));
    }
}

fn actions(plan: &Plan) -> Vec<String> {
    plan.steps.iter().map(|step| format!("{} {}", step.action.sign(), step.action.subject())).collect()
}

#[test]
fn an_empty_broker_gets_all_that_the_bridge_needs_in_an_order_that_works() {
    let plan = planned(&Site::default()).plan;
    let intake = "quorum, single active consumer, to cti-bridge.quarantine after 10 deliveries, durable";
    assert_eq!(
        actions(&plan),
        [
            "+ xivo-cti (direct, durable)",
            "+ xivo-ami (topic, durable)",
            "+ xivo-status-updates (direct, durable)",
            "+ xivo (topic, durable)",
            "+ cti-bridge.modern.others (fanout, durable)",
            "+ cti-bridge.modern.filter (headers, durable, alternate-exchange=cti-bridge.modern.others)",
            &format!("+ cti-bridge.legacy ({intake})"),
            "+ cti-bridge.quarantine (quorum, no delivery limit, durable)",
            &format!("+ cti-bridge.modern ({intake})"),
            "+ `xivo-ami` → exchange `xivo-cti`, key `#`",
            "+ `xivo-cti` → queue `cti-bridge.legacy`, key `call_form_result`",
            "+ `xivo-cti` → queue `cti-bridge.legacy`, key `cti-bridge.probe`",
            "+ `cti-bridge.modern.others` → queue `cti-bridge.modern`, key ``",
            "+ `cti-bridge.modern.filter` → exchange `cti-bridge.modern.filter`, cti-bridge=b1, x-match=all",
            "+ `xivo` → exchange `cti-bridge.modern.filter`, key `#`",
        ]
    );
    assert_eq!((plan.in_place, plan.impossible.len(), plan.conflicts.len()), (0, 0, 0));
}

#[test]
fn a_plan_that_was_carried_out_leaves_nothing_to_plan() {
    let after = planned(&Site::default()).applied_to(&Site::default());
    let plan = planned(&after).plan;
    assert!(plan.is_empty(), "{:?}", plan.steps);
    assert_eq!(plan.in_place, 15);
}

#[test]
fn undone_in_reverse_it_leaves_the_site_as_it_was() {
    let mut site = site_of(&[("xivo", "topic"), ("xivo-cti", "direct")]);
    bind_queue(&mut site, "xivo-cti", "popup", "call_form_result");
    let planned = planned(&site);
    let mut after = planned.applied_to(&site);
    planned.plan.steps.iter().rev().for_each(|step| step.action.inverse().apply(&mut after));
    assert_eq!(after, site);
}

#[test]
fn the_old_fanout_is_refused_with_the_way_out_and_nothing_is_bound_to_it() {
    let mut site = site_of(&[("xivo-cti", "direct"), ("xivo", "fanout")]);
    site.exchanges[1].durable = Some(false);
    let plan = planned(&site).plan;
    let told: Vec<(&str, &str)> = plan
        .impossible
        .iter()
        .map(|impossible| (impossible.what.as_str(), impossible.why.as_str()))
        .collect();
    assert_eq!(
        told,
        [
            (
                "exchange `xivo`",
                "it exists otherwise: `type` is `fanout`, and `topic` is needed, `durable` is `false`, and `true` \
                 is needed"
            ),
            (
                "binding `xivo` → exchange `cti-bridge.modern.filter`, key `#`",
                "`xivo` cannot be had as it is needed"
            ),
        ]
    );
    assert!(plan.impossible[0].help.contains("15.01") && plan.impossible[0].help.contains("virtual host"));
    assert!(plan.steps.iter().all(|step| !step.action.names().0.contains(&"xivo")));
}

#[test]
fn a_queue_of_another_type_is_a_refusal_in_waiting() {
    let mut site = planned(&Site::default()).applied_to(&Site::default());
    let queue = site.queues.iter_mut().find(|queue| queue.name == "cti-bridge.legacy").unwrap();
    queue.arguments.insert("x-queue-type".into(), "classic".into());
    let plan = planned(&site).plan;
    assert_eq!(plan.impossible[0].differences[0].attribute, "x-queue-type");
    assert!(plan.is_empty());
}

#[test]
fn what_a_source_did_not_show_is_taken_for_what_is_needed() {
    let mut site = site_of(&[("xivo", "topic")]);
    site.exchanges[0].durable = None;
    assert_eq!(planned(&site).plan.impossible, []);
}

#[test]
fn the_platforms_exchange_is_not_made_where_that_is_not_wanted() {
    let intake = Intake { declare_modern_exchange: Declare::Passive, ..intake() };
    let translator = translator((19, 5), default_listen(), "xivo");
    let plan = plan(&Site::default(), &translator, &intake, &Options::default());
    assert_eq!(plan.impossible[0].what, "exchange `xivo`");
    assert_eq!(plan.impossible[0].why, "it is not there, and it is not ours to make");
}

#[test]
fn what_an_earlier_configuration_listened_for_is_unbound() {
    let listening = plan(
        &Site::default(),
        &translator((19, 5), Listen::Also(["call_created".to_owned()].into()), "xivo"),
        &intake(),
        &Options::default(),
    );
    let site = Planned { plan: listening }.applied_to(&Site::default());
    assert_eq!(
        actions(&planned(&site).plan),
        ["- `xivo-cti` → queue `cti-bridge.legacy`, key `call_created`"]
    );
}

#[test]
fn who_listens_for_nothing_needs_no_filter_and_may_come_back_to_it() {
    let deaf = |site: &Site| Planned {
        plan: plan(site, &translator((19, 5), Listen::Nothing, "xivo"), &intake(), &Options::default()),
    };
    let usual = planned(&Site::default()).applied_to(&Site::default());
    let to_deaf = deaf(&usual);
    assert_eq!(
        actions(&to_deaf.plan),
        [
            "+ `xivo` → queue `cti-bridge.modern`, key `#`",
            "- `xivo-cti` → queue `cti-bridge.legacy`, key `call_form_result`",
            "- `xivo-cti` → queue `cti-bridge.legacy`, key `cti-bridge.probe`",
            "- `xivo` → exchange `cti-bridge.modern.filter`, key `#`",
            "- `cti-bridge.modern.others` → queue `cti-bridge.modern`, key ``",
        ]
    );
    let site = to_deaf.applied_to(&usual);
    assert!(deaf(&site).plan.is_empty());
    let whys = |planned: &Planned| {
        let gone = planned.plan.steps.iter().filter(|step| matches!(step.action, Action::Unbind(_)));
        gone.map(|step| step.why.clone()).collect::<Vec<_>>()
    };
    let straight = "events come from the platform's exchange itself now";
    let listened = "an earlier configuration listened for it";
    assert_eq!(whys(&to_deaf), [listened, listened, straight, straight]);
    let back = planned(&site);
    assert_eq!(whys(&back), ["what the bridge itself publishes would come back"]);
    let sorted = |mut site: Site| {
        site.bindings.sort_by_key(|binding| format!("{binding:?}"));
        site.bindings
    };
    assert_eq!(sorted(back.applied_to(&site)), sorted(usual));
    let of_nothing = deaf(&Site::default()).applied_to(&Site::default());
    assert!(of_nothing.exchanges.iter().all(|exchange| !exchange.name.starts_with("cti-bridge")));
}

#[test]
fn the_way_of_an_earlier_version_past_the_filter_is_closed_and_opened_again_by_its_undoing() {
    let mut site = planned(&Site::default()).applied_to(&Site::default());
    let own = |binding: &Binding| binding.source == "xivo" || binding.source.starts_with("cti-bridge");
    site.bindings.retain(|binding| !own(binding));
    site.exchanges.retain(|exchange| !exchange.name.starts_with("cti-bridge"));
    bind_queue(&mut site, "xivo", "cti-bridge.modern", "#");
    let planned = planned(&site);
    let steps = actions(&planned.plan);
    assert_eq!(
        (steps.len(), steps[4].as_str()),
        (6, "+ `xivo` → exchange `cti-bridge.modern.filter`, key `#`")
    );
    assert_eq!(steps[5], "- `xivo` → queue `cti-bridge.modern`, key `#`");
    let mut after = planned.applied_to(&site);
    planned.plan.steps.iter().rev().for_each(|step| step.action.inverse().apply(&mut after));
    assert_eq!(after, site);
}

/// Of the bridge with this id, or of one that nobody knows.
fn planned_for(site: &Site, bridge_id: Option<&str>) -> Planned {
    let intake = Intake { bridge_id: bridge_id.and_then(BridgeId::parse), ..intake() };
    let translator = translator((19, 5), default_listen(), "xivo");
    Planned { plan: plan(site, &translator, &intake, &Options::default()) }
}

#[test]
fn the_mark_of_another_bridge_id_is_unbound_where_it_is_known_who_the_bridge_is() {
    let mut site = planned(&Site::default()).applied_to(&Site::default());
    // What somebody else has bound there is theirs, whatever comes by it.
    bind_exchanges(&mut site, &[("cti-bridge.modern.filter", "watch", "")]);
    site.bindings.last_mut().unwrap().arguments = [(MARK_HEADER.to_owned(), "b1".into())].into();
    let way = "`cti-bridge.modern.filter` → exchange `cti-bridge.modern.filter`";
    assert_eq!(
        actions(&planned_for(&site, Some("b2")).plan),
        [format!("+ {way}, cti-bridge=b2, x-match=all"), format!("- {way}, cti-bridge=b1, x-match=all")]
    );
    assert!(planned_for(&site, None).plan.is_empty());
}

#[test]
fn the_mark_that_the_bridge_binds_is_no_drift_where_nobody_knew_it() {
    let unknown = planned_for(&Site::default(), None);
    let site = unknown.applied_to(&Site::default());
    let started = |id| planned_for(&site, Some(id)).applied_to(&site);
    assert_eq!(unknown.plan.drift(&started("b1")), []);
    let marked = planned_for(&started("b1"), None).plan;
    assert_eq!((marked.drift(&site), marked.drift(&started("b2"))), (Vec::new(), Vec::new()));
    let known = planned_for(&site, Some("b1")).plan;
    assert_eq!((known.steps.len(), known.drift(&started("b1"))), (1, Vec::new()));
    assert!(known.drift(&started("b2"))[0].change.contains("is new"));
    // Anything else that is bound there takes modern events away.
    let mut taken = site.clone();
    bind_exchanges(&mut taken, &[("cti-bridge.modern.filter", "cti-bridge.modern.filter", "")]);
    assert_eq!(unknown.plan.drift(&taken).len(), 1);
}

#[test]
fn a_whole_stream_is_split_and_put_together_again_without_a_way_left_over() {
    let of = |site: &Site, split: Split| {
        let intake = Intake { split, ..intake() };
        Planned {
            plan: plan(site, &translator((19, 5), default_listen(), "xivo"), &intake, &Options::default()),
        }
    };
    let split = |into| Split { into, by: SplitBy::Header("tenant_uuid".into()), part: None };
    let whole = planned(&Site::default()).applied_to(&Site::default());
    let to_thirds = of(&whole, split(3));
    assert_eq!(
        actions(&to_thirds.plan),
        [
            "+ cti-bridge.modern.split (x-consistent-hash, durable, hash-header=tenant_uuid)",
            "+ cti-bridge.modern.2 (quorum, single active consumer, to cti-bridge.quarantine after 10 deliveries, \
             durable)",
            "+ cti-bridge.modern.3 (quorum, single active consumer, to cti-bridge.quarantine after 10 deliveries, \
             durable)",
            "+ `cti-bridge.modern.split` → queue `cti-bridge.modern`, key `1`",
            "+ `cti-bridge.modern.split` → queue `cti-bridge.modern.2`, key `1`",
            "+ `cti-bridge.modern.split` → queue `cti-bridge.modern.3`, key `1`",
            "+ `cti-bridge.modern.others` → exchange `cti-bridge.modern.split`, key ``",
            "- `cti-bridge.modern.others` → queue `cti-bridge.modern`, key ``",
        ]
    );
    assert_eq!((to_thirds.plan.impossible.len(), to_thirds.plan.conflicts.len()), (0, 0));
    let thirds = to_thirds.applied_to(&whole);
    assert!(of(&thirds, split(3)).plan.is_empty());
    assert_eq!(
        actions(&of(&thirds, split(2)).plan),
        ["- `cti-bridge.modern.split` → queue `cti-bridge.modern.3`, key `1`"]
    );
    assert_eq!(
        actions(&planned(&thirds).plan),
        [
            "+ `cti-bridge.modern.others` → queue `cti-bridge.modern`, key ``",
            "- `cti-bridge.modern.others` → exchange `cti-bridge.modern.split`, key ``",
        ]
    );
    let otherwise = Split { by: SplitBy::RoutingKey, ..split(3) };
    assert_eq!(of(&thirds, otherwise).plan.impossible[0].what, "exchange `cti-bridge.modern.split`");
}

#[test]
fn without_the_daemon_there_are_exchanges_and_bindings_alone() {
    let native = Options { mode: Mode::Native, ..Options::default() };
    let planned = planned_with(&Site::default(), &native);
    assert_eq!(
        actions(&planned.plan),
        [
            "+ xivo-cti (direct, durable)",
            "+ xivo-ami (topic, durable)",
            "+ xivo-status-updates (direct, durable)",
            "+ xivo (topic, durable)",
            "+ `xivo` → exchange `xivo-cti`, key `call_form_result`",
            "+ `xivo` → exchange `xivo-status-updates`, key `status.agent`",
        ]
    );
    let after = planned.applied_to(&Site::default());
    assert!(planned_with(&after, &native).plan.is_empty());
}

#[test]
fn one_side_alone_is_planned_for_where_the_other_is_elsewhere() {
    let of = |sides| {
        let options = Options { sides, ..Options::default() };
        planned_with(&Site::default(), &options).plan.steps.len()
    };
    assert_eq!((of(Sides::Both), of(Sides::Legacy), of(Sides::Modern)), (15, 8, 8));
}

#[test]
fn a_plan_deletes_nothing_whatever_its_file_says() {
    let mut plan = planned(&Site::default()).plan;
    assert_eq!(plan.check(), Ok(()));
    plan.steps[1].action = plan.steps[1].action.inverse();
    assert_eq!(
        plan.check().unwrap_err().to_string(),
        "step 2 would delete exchange `xivo-ami`: a plan deletes nothing"
    );
}

#[test]
fn a_plan_is_written_and_read_as_json() {
    let mut site = site_of(&[("xivo", "fanout"), ("xivo-cti", "direct")]);
    bind_queue(&mut site, "xivo-cti", "popup", "call_form_result");
    bind_exchanges(&mut site, &[("xivo-cti", "xivo", "#")]);
    let plan = planned(&site).plan;
    let text = serde_json::to_string(&plan).unwrap();
    assert_eq!(serde_json::from_str::<Plan>(&text).unwrap(), plan);
}
