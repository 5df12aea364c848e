//! `audit` and `explain`: what is told of bindings, clients and programs.

use serde_json::{Value as Json, json};

use super::harness::{Directory, Ran, cti};

/// A site with these bindings, each to a queue of its own that one consumer reads.
fn site(bindings: &[(&str, &str)]) -> Json {
    let queue = |at: usize| format!("q{at}");
    let exchanges =
        [("xivo-cti", "direct"), ("xivo-ami", "topic"), ("xivo-status-updates", "direct"), ("xivo", "topic")];
    json!({
        "schema": "cti-bridge/site/1",
        "exchanges": exchanges.map(|(name, kind)| json!({"name": name, "type": kind})),
        "queues": (0..bindings.len())
            .map(|at| json!({"name": queue(at), "durable": true, "exclusive": false, "consumers": 1}))
            .collect::<Vec<_>>(),
        "bindings": bindings.iter().enumerate()
            .map(|(at, (exchange, key))| json!({"source": exchange, "destination": {"queue": queue(at)}, "key": key}))
            .collect::<Vec<_>>(),
    })
}

fn audit(directory: &str, site: &Json, from: &str, to: &str, more: &[&str]) -> Ran {
    let directory = Directory::new(&format!("audit-{directory}")).file("site.json", site.to_string());
    let arguments = ["audit", "--from", from, "--to", to, "--site", "site.json"];
    cti(arguments.into_iter().chain(more.iter().copied())).within(&directory).run()
}

fn report(directory: &str, site: &Json, from: &str, to: &str) -> Json {
    let ran = audit(directory, site, from, to, &["--output", "json"]);
    assert!(ran.code < 2, "{}", ran.stderr);
    serde_json::from_str(&ran.stdout).unwrap()
}

/// Of each binding its fate, and the ids of what is found about it.
fn fates(from: &str, to: &str, bindings: &[(&str, &str)]) -> Vec<(String, String)> {
    let name = format!("fates-{from}-{to}-{}", bindings.len());
    let report = report(&name, &site(bindings), from, to);
    let clients = report["clients"].as_array().unwrap();
    let told = |(at, _)| {
        let queue = format!("q{at}");
        let client = clients.iter().find(|client| client["queues"][0]["name"] == *queue).unwrap();
        let ids: Vec<&str> = client["findings"]
            .as_array()
            .unwrap()
            .iter()
            .map(|finding| finding["id"].as_str().unwrap())
            .collect();
        (client["bindings"][0]["fate"].as_str().unwrap().to_owned(), ids.join(" "))
    };
    bindings.iter().enumerate().map(told).collect()
}

fn check(from: &str, to: &str, expected: &[(&str, &str, &str, &str)]) {
    let bindings: Vec<(&str, &str)> =
        expected.iter().map(|(exchange, key, _, _)| (*exchange, *key)).collect();
    for ((exchange, key, fate, ids), told) in expected.iter().zip(fates(from, to, &bindings)) {
        assert_eq!((told.0.as_str(), told.1.as_str()), (*fate, *ids), "{exchange} {key}, {from} to {to}");
    }
}

#[test]
fn a_legacy_client_is_served_or_told_why_not() {
    check(
        "14.24",
        "18.04",
        &[
            ("xivo-cti", "call_form_result", "native_binding", "CTI0008"),
            ("xivo-status-updates", "status.agent", "native_binding", "CTI0008"),
            ("xivo-cti", "call_created", "served_by_bridge", "CTI0007"),
            ("xivo-ami", "QueueMemberStatus", "served_by_bridge", "CTI0007"),
            ("xivo-ami", "#", "served_by_bridge", "CTI0007"),
            ("xivo-cti", "QueueMemberStatus", "served_by_bridge", "CTI0007"),
            ("xivo-cti", "user_status_update", "changed", "CTI0004"),
            ("xivo-cti", "fax_outbound_created", "unknown_event", "CTI0016"),
            ("xivo-cti", "call_form_results", "unknown_event", "CTI0009"),
            ("xivo-cti", "call_*", "unknown_event", "CTI0015"),
            ("xivo-ami", "queuememberstatus", "unknown_event", "CTI0009"),
        ],
    );
    check(
        "14.24",
        "19.05",
        &[
            ("xivo-status-updates", "status.user", "replaced", "CTI0003"),
            ("xivo-cti", "chat_message_event", "deleted", "CTI0002"),
            ("xivo-cti", "auth_tenant_created", "served_by_bridge", "CTI0007"),
        ],
    );
    check("13.22", "14.24", &[("xivo-cti", "call_form_result", "alive", "")]);
}

#[test]
fn a_modern_client_is_told_what_its_pattern_matches() {
    check(
        "18.04",
        "19.05",
        &[
            ("xivo", "calls.*", "unknown_event", "CTI0010"),
            ("xivo", "calls.#", "alive", ""),
            ("xivo", "calls.call.*", "alive", ""),
            ("xivo", "calls.call.created", "alive", ""),
            ("xivo", "QueueMemberStatus", "unknown_event", "CTI0011"),
            ("xivo", "ami.QueueMemberStatus", "alive", ""),
            ("xivo", "call_created", "unknown_event", "CTI0012"),
            ("xivo", "status.user", "replaced", "CTI0003"),
            ("xivo", "status.*", "alive", "CTI0013"),
            ("xivo", "chat.message.*.*", "deleted", "CTI0002"),
            ("xivo", "calls.relocate.initiated", "never_sent", "CTI0006"),
            ("xivo", "calls.relocate.created", "alive", ""),
            ("xivo", "config.users.*.services.dnd.updated", "alive", ""),
            ("xivo", "events.calls.#", "unknown_event", "CTI0009"),
            ("xivo", "nothing.of.ours", "unknown_event", "CTI0009"),
        ],
    );
    check("16.02", "18.04", &[("xivo", "status.user", "changed", "CTI0004")]);
}

#[test]
fn since_23_01_an_exchange_is_there_and_silent() {
    check(
        "22.17",
        "23.01",
        &[
            ("xivo", "calls.call.created", "native_binding", "CTI0014"),
            ("xivo", "auth.tenants.*.created", "alive", ""),
            ("xivo-cti", "call_created", "served_by_bridge", "CTI0007"),
        ],
    );
}

#[test]
fn an_exchange_that_goes_is_told() {
    let mut site = site(&[("xivo", "")]);
    site["exchanges"] = json!([{"name": "xivo", "type": "fanout", "durable": false}]);
    let report = report("fanout", &site, "14.24", "15.01");
    assert_eq!(report["clients"][0]["bindings"][0]["fate"], "exchange_missing");
    assert_eq!(report["clients"][0]["findings"][0]["id"], "CTI0001");
}

#[test]
fn a_binding_by_headers_is_held_against_names() {
    let bindings = [
        "call_created",
        "auth_tenant_created",
        "service_registered_event",
        "chatd_presence_updated",
        "no_such_event",
    ];
    let site = json!({
        "schema": "cti-bridge/site/1",
        "exchanges": [{"name": "wazo-headers", "type": "headers"}],
        "bindings": bindings.iter().map(|name| json!({
            "source": "wazo-headers", "destination": {"queue": name}, "key": "",
            "arguments": {"x-match": "all", "name": name},
        })).collect::<Vec<_>>(),
    });
    let report = report("headers", &site, "19.05", "22.17");
    let fate = |name: &str| {
        let clients = report["clients"].as_array().unwrap();
        clients.iter().find(|client| client["name"] == name).unwrap()["bindings"][0]["fate"].clone()
    };
    assert_eq!(fate("call_created"), "alive");
    assert_eq!(fate("auth_tenant_created"), "never_sent");
    assert_eq!(fate("service_registered_event"), "changed");
    assert_eq!(fate("chatd_presence_updated"), "alive", "in the changelog, and in no rule");
    assert_eq!(fate("no_such_event"), "unknown_event");
}

/// Six clients as management API and lists show them.
fn busy_site() -> Json {
    json!({
        "schema": "cti-bridge/site/1",
        "exchanges": [{"name": "xivo", "type": "topic"}, {"name": "own", "type": "topic"}],
        "queues": [
            {"name": "popup", "durable": false, "exclusive": false, "auto_delete": true, "consumers": 1},
            {"name": "amq.gen-left", "durable": true, "exclusive": false, "messages": 12, "consumers": 0},
            {"name": "amq.gen-mine", "durable": false, "exclusive": true, "consumers": 1},
            {"name": "archive", "durable": true, "exclusive": false, "messages": 1, "consumers": 0},
            {"name": "cti-bridge.modern", "durable": true}, {"name": "wazo-calld.a1b2c3", "durable": false, "exclusive": false},
        ],
        "bindings": [
            {"source": "xivo", "destination": {"queue": "popup"}, "key": "calls.#"},
            {"source": "xivo", "destination": {"queue": "amq.gen-left"}, "key": "calls.#"},
            {"source": "xivo", "destination": {"queue": "amq.gen-mine"}, "key": "calls.#"},
            {"source": "xivo", "destination": {"queue": "archive"}, "key": "calls.#"},
            {"source": "xivo", "destination": {"exchange": "cti-bridge.modern.filter"}, "key": "#"},
            {"source": "cti-bridge.modern.others", "destination": {"queue": "cti-bridge.modern"}, "key": ""},
            {"source": "xivo", "destination": {"queue": "wazo-calld.a1b2c3"}, "key": "trunk.#"},
            {"source": "xivo", "destination": {"exchange": "wazo-headers"}, "key": "#"},
            {"source": "xivo", "destination": {"exchange": "mirror"}, "key": "calls.*"},
            {"source": "own", "destination": {"queue": "popup"}, "key": "x"},
        ],
        "consumers": [
            {"queue": "popup", "connection": "192.0.2.17:1 -> 192.0.2.1:5672"}, {"queue": "amq.gen-mine"},
        ],
        "connections": [{
            "name": "192.0.2.17:1 -> 192.0.2.1:5672", "user": "guest", "peer_host": "192.0.2.17",
            "library": "py-amqp", "library_version": "1.4.9", "platform": "Python 2.7.18",
        }],
        "gaps": [{"aspect": "queues", "what": "exclusive queues", "source": "definitions"}],
    })
}

#[test]
fn clients_are_told_apart_and_their_habits_told() {
    let report = report("habits", &busy_site(), "15.03", "16.02");
    let told = |name: &str| {
        let clients = report["clients"].as_array().unwrap();
        let client = clients
            .iter()
            .find(|client| client["name"] == name)
            .unwrap_or_else(|| panic!("{name}: {report:#}"));
        let ids: Vec<&str> = client["findings"]
            .as_array()
            .unwrap()
            .iter()
            .map(|finding| finding["id"].as_str().unwrap())
            .collect();
        format!("{} {}", client["seen_as"].as_str().unwrap(), ids.join(" "))
    };
    assert_eq!(told("192.0.2.17:1 -> 192.0.2.1:5672"), "connection CTI0019 CTI0021 CTI0023");
    assert_eq!(told("amq.gen-left"), "queue CTI0020");
    assert_eq!(told("amq.gen-mine"), "consumer ");
    assert_eq!(told("archive"), "queue CTI0024");
    assert_eq!(told("mirror"), "exchange CTI0010");
    assert_eq!(report["clients"].as_array().unwrap().len(), 5);
    assert_eq!(report["left_out"], json!({"own_queues": 1, "platform_queues": 1, "foreign_bindings": 1}));
    assert_eq!(report["not_shown"], json!([{"what": "exclusive queues", "source": "definitions"}]));
}

#[test]
fn the_exit_code_says_whether_what_was_asked_for_was_found() {
    let site = site(&[("xivo", "status.*"), ("xivo-cti", "call_created")]);
    for (fail_on, code) in [
        ("error", 0),
        ("warning", 1),
        ("note", 1),
        ("never", 0),
        ("deleted", 0),
        ("replaced", 1),
        ("never_sent,replaced", 1),
        ("served-by-bridge", 1),
        ("error,changed", 0),
    ] {
        let ran = audit(&format!("fail-{fail_on}"), &site, "18.04", "19.05", &["--fail-on", fail_on]);
        assert_eq!((ran.code, ran.stderr.as_str()), (code, ""), "{fail_on}");
    }
    let ran = audit("fail-wrong", &site, "18.04", "19.05", &["--fail-on", "delete"]);
    assert_eq!(ran.code, 64);
    assert!(ran.stderr.contains("did you mean `deleted`?"), "{}", ran.stderr);
}

#[test]
fn accepted_findings_do_not_count_until_they_expire() {
    let site = site(&[("xivo", "status.user"), ("xivo-cti", "call_created")]);
    let accepted = "\
- {id: CTI0003, key: status.user, reason: its owner knows, until: never}
- {id: cti0007, queue: q*, exchange: xivo-cti, reason: the bridge runs, until: 2020-01-31}
- {id: CTI0002, reason: long gone, until: never}
";
    let directory =
        Directory::new("audit-accepted").file("site.json", site.to_string()).file("accepted.yaml", accepted);
    let arguments =
        ["audit", "--from", "18.04", "--to", "19.05", "--site", "site.json", "--accepted", "accepted.yaml"];
    let run = |more: &[&str]| cti(arguments.into_iter().chain(more.iter().copied())).within(&directory).run();
    let ran = run(&[]);
    assert_eq!(ran.code, 0);
    assert!(ran.stdout.contains("accepted: its owner knows"), "{}", ran.stdout);
    assert!(
        ran.stdout.ends_with(
            "accepted.yaml:2: CTI0007 was accepted until 2020-01-31; 1 finding counts again\n\
             accepted.yaml:3: CTI0002 is accepted here, and nothing like it was found\n\
             18.04 → 19.05: 2 clients with 2 bindings: 1 note, 1 accepted\n"
        ),
        "{}",
        ran.stdout
    );
    assert_eq!(run(&["--fail-on", "note"]).code, 1);
    assert_eq!(run(&["--fail-on", "warning"]).code, 0);
}

#[test]
fn a_wrong_file_of_accepted_findings_is_told_with_its_place() {
    let directory = Directory::new("audit-accepted-wrong")
        .file("site.json", site(&[]).to_string())
        .file("accepted.yaml", "- id: CTI007\n  until: tomorrow\n");
    let ran = cti([
        "audit",
        "--from",
        "18.04",
        "--to",
        "19.05",
        "--site",
        "site.json",
        "--accepted",
        "accepted.yaml",
    ])
    .within(&directory)
    .run();
    assert_eq!((ran.code, ran.stdout.as_str()), (78, ""));
    for part in [
        "no finding has the id `CTI007`",
        "did you mean",
        "no `reason`",
        "`tomorrow` is no day",
        "accepted.yaml:2:10",
    ] {
        assert!(ran.stderr.contains(part), "{part}: {}", ran.stderr);
    }
}

#[test]
fn the_json_report_is_as_its_schema_says() {
    let ran = cti(["audit", "--schema"]).run();
    assert_eq!((ran.code, ran.stderr.as_str()), (0, ""));
    let schema: Json = serde_json::from_str(&ran.stdout).unwrap();
    let report = report("schema", &busy_site(), "15.03", "16.02");
    let mut wrong = Vec::new();
    conforms(&report, &schema, &schema, "", &mut wrong);
    assert_eq!(wrong, [""; 0]);
    // The check itself: a key too many, one too few, a wrong type and a wrong word are found.
    let mut broken = report;
    broken["surplus"] = json!(1);
    broken["clients"][0]["seen_as"] = json!("ghost");
    broken["clients"][1]["queues"][0]["messages"] = json!("many");
    broken.as_object_mut().unwrap().remove("from");
    conforms(&broken, &schema, &schema, "", &mut wrong);
    wrong.sort();
    assert_eq!(wrong, ["/clients/0/seen_as", "/clients/1/queues/0/messages", "/from", "/surplus"]);
}

/// Collects the places where a document is not as its schema says: of what the schema uses, all is checked.
fn conforms(value: &Json, schema: &Json, root: &Json, place: &str, wrong: &mut Vec<String>) {
    if let Some(reference) = schema["$ref"].as_str() {
        return conforms(value, root.pointer(reference.trim_start_matches('#')).unwrap(), root, place, wrong);
    }
    let is_of = |kind: &str| match kind {
        "null" => value.is_null(),
        "boolean" => value.is_boolean(),
        "integer" => value.is_u64() || value.is_i64(),
        "string" => value.is_string(),
        "array" => value.is_array(),
        "object" => value.is_object(),
        _ => panic!("{kind}"),
    };
    let fits = match &schema["type"] {
        Json::String(kind) => is_of(kind),
        Json::Array(kinds) => kinds.iter().any(|kind| is_of(kind.as_str().unwrap())),
        _ => schema["enum"].as_array().map_or(schema["const"] == *value, |words| words.contains(value)),
    };
    if !fits {
        wrong.push(place.to_owned());
    }
    for (at, item) in value.as_array().into_iter().flatten().enumerate() {
        conforms(item, &schema["items"], root, &format!("{place}/{at}"), wrong);
    }
    let Some(object) = value.as_object() else { return };
    for name in schema["required"].as_array().into_iter().flatten().filter_map(Json::as_str) {
        if !object.contains_key(name) {
            wrong.push(format!("{place}/{name}"));
        }
    }
    for (name, value) in object {
        let place = format!("{place}/{name}");
        match (schema["properties"].get(name), schema.get("additionalProperties")) {
            (Some(schema), _) => conforms(value, schema, root, &place, wrong),
            (None, Some(Json::Bool(true))) => {}
            (None, Some(schema)) => conforms(value, schema, root, &place, wrong),
            (None, None) => wrong.push(place),
        }
    }
}

#[test]
fn build_servers_get_their_formats_and_nothing_else_on_standard_output() {
    let site = site(&[("xivo", "status.user"), ("xivo", "calls.call.created")]);
    let run =
        |format: &str| audit(&format!("format-{format}"), &site, "18.04", "19.05", &["--output", format]);
    let junit = run("junit");
    assert_eq!(junit.code, 1);
    assert!(
        junit.stdout.starts_with("<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n<testsuites"),
        "{}",
        junit.stdout
    );
    assert!(junit.stdout.contains("tests=\"2\" skipped=\"0\" failures=\"1\""), "{}", junit.stdout);
    assert!(junit.stdout.contains("type=\"CTI0003\">warning CTI0003"), "{}", junit.stdout);
    assert_eq!(junit.stderr, "18.04 → 19.05: 2 clients with 2 bindings: 1 warning\n");
    let github = run("github");
    assert_eq!(github.stdout.lines().count(), 1);
    assert!(
        github.stdout.starts_with("::warning title=CTI0003::a consumer of queue q0: "),
        "{}",
        github.stdout
    );
    let sarif: Json = serde_json::from_str(&run("sarif").stdout).unwrap();
    let result = &sarif["runs"][0]["results"][0];
    assert_eq!((&result["ruleId"], &result["level"]), (&json!("CTI0003"), &json!("warning")));
    let rules = sarif["runs"][0]["tool"]["driver"]["rules"].as_array().unwrap();
    assert!(rules.iter().any(|rule| rule["id"] == "CTI0003"));
}

#[test]
fn what_makes_no_sense_is_refused() {
    let site = site(&[]);
    let ran = audit("backwards", &site, "19.05", "14.24", &[]);
    assert_eq!((ran.code, ran.stdout.as_str()), (64, ""));
    assert!(ran.stderr.contains("19.05 is newer than 14.24"), "{}", ran.stderr);
    assert_eq!(cti(["audit"]).run().code, 64);
    assert_eq!(audit("alike", &site, "19.05", "19.05", &[]).code, 0);
}

#[test]
fn findings_are_explained() {
    let ran = cti(["explain", "cti0012"]).run();
    assert_eq!((ran.code, ran.stderr.as_str()), (0, ""));
    assert!(
        ran.stdout.starts_with("CTI0012  error: the event's name where its routing key should be\n"),
        "{}",
        ran.stdout
    );
    let ran = cti(["explain", "CTI0112"]).run();
    assert_eq!((ran.code, ran.stdout.as_str()), (66, ""));
    assert!(ran.stderr.contains("did you mean `CTI00"), "{}", ran.stderr);
    let list = cti(["explain", "--list"]).run().stdout;
    let all: Json =
        serde_json::from_str(&cti(["explain", "--list", "--output", "json"]).run().stdout).unwrap();
    let all = all["findings"].as_array().unwrap();
    assert_eq!(list.lines().count(), all.len() + 1);
    for finding in all {
        assert!(list.contains(finding["id"].as_str().unwrap()));
    }
    assert_eq!(cti(["explain"]).run().code, 64);
}

/// The documented clients of both eras, in a directory of their own.
fn documented(name: &str) -> Directory {
    let modern = include_str!("../clients/modern_kombu.py");
    let as_documented = modern.replace("os.environ.get('ROUTING_KEY', '#')", "'calls.*'");
    assert_ne!(as_documented, modern);
    Directory::new(name)
        .file("legacy_2013.py", include_str!("../clients/legacy_2013.py"))
        .file("modern_kombu.py", as_documented)
}

/// Where, which and what, for all findings.
fn found(name: &str, from: &str, to: &str) -> Vec<String> {
    let arguments = ["audit", "--from", from, "--to", to, "--scan", ".", "--output", "json"];
    // Nothing listens there: a broker's address in the environment does not make a scan ask it.
    let ran = cti(arguments).env("CTI_BRIDGE_AMQP_URL", "amqp://127.0.0.1:1").within(&documented(name)).run();
    let report: Json = serde_json::from_str(&ran.stdout).unwrap_or_else(|_| panic!("{}", ran.stderr));
    let mut found = Vec::new();
    for client in report["clients"].as_array().unwrap() {
        let file = client["name"].as_str().unwrap().trim_start_matches("./");
        found.extend(client["findings"].as_array().unwrap().iter().map(|finding| {
            let word = |field: &str| finding[field].as_str().unwrap().to_owned();
            format!("{file}:{} {}: {} → {}", finding["line"], word("id"), word("what"), word("do"))
        }));
    }
    found.sort();
    found
}

#[test]
fn the_documented_clients_are_told_what_is_the_matter_with_them() {
    let old_library = "legacy_2013.py:8 CTI0017: `queue_declare` is called without a queue; `basic_consume` is called \
                       with the callback first (line 17) → keep the old library for this program, or write the call \
                       in the new form";
    let start_first = "legacy_2013.py:11 CTI0022: binds to `xivo-cti` without declaring it → start the bridge first \
                       (`After=cti-bridge.service`)";
    let too_short =
        "modern_kombu.py:21 CTI0010: `calls.*` matches no event on `xivo` → bind `calls.#`, or the exact key";
    let never_sent = "legacy_2013.py:11 CTI0005: `call_form_result` is documented in 19.05, and nobody publishes it \
                      since 19.04 → nothing arrives unless a program of this site publishes it; then run the bridge";
    assert_eq!(found("documented-end", "18.04", "19.05"), [never_sent, start_first, old_library, too_short]);
    let native = found("documented-start", "16.02", "18.04");
    assert_eq!(native.len(), 4, "{native:#?}");
    assert!(
        native[0].starts_with(
            "legacy_2013.py:11 CTI0008: `call_form_result` has the same name, key and fields on `xivo`"
        ),
        "{native:#?}"
    );
    assert_eq!(native[1..], [start_first, old_library, too_short]);
}

#[test]
fn nobody_is_sent_to_an_event_that_is_deleted_too() {
    let site = site(&[("xivo-cti", "chat_message_event")]);
    let ran = audit("chat", &site, "18.04", "19.05", &[]);
    assert!(ran.stdout.contains("`chat_message_event` is deleted"), "{}", ran.stdout);
    assert!(!ran.stdout.contains("chat_message_sent"), "{}", ran.stdout);
    assert!(ran.stdout.contains("`chatd_user_room_message_created` comes closest"), "{}", ran.stdout);
}
