//! On what RabbitMQ 3.10.8 writes, and what other versions write instead.

use serde_json::json;

use super::*;
use crate::core::site::Destination;

const EXCHANGES: &str = r##"[
{"name":"wazo-headers","type":"headers","durable":true,"auto_delete":false,"internal":false,"arguments":[["alternate-exchange","longstr","amq.fanout"]]}
,{"name":"xivo","type":"topic","durable":true,"auto_delete":false,"internal":false,"arguments":[]}
,{"name":"","type":"direct","durable":true,"auto_delete":false,"internal":false,"arguments":[]}
]
"##;
const QUEUES: &str = r##"[
{"name":"q-plain","durable":false,"auto_delete":false,"exclusive":true,"arguments":[],"messages":3,"consumers":1}
,{"name":"q-args","durable":true,"auto_delete":false,"exclusive":false,"arguments":[["x-list","array",{"signedint":1,"longstr":"a","table":[["b","signedint",2]],"longstr":"a"}],["x-null","void","undefined"],["x-table","table",[["k","longstr","v"],["n","table",[]]]],["x-empty","array",[]]],"messages":0,"consumers":0}
]
"##;
const BINDINGS: &str = r##"[
{"source_name":"","source_kind":"exchange","destination_name":"q-plain","destination_kind":"queue","routing_key":"q-plain","arguments":[]}
,{"source_name":"wazo-headers","source_kind":"exchange","destination_name":"q-args","destination_kind":"queue","routing_key":"","arguments":[["big","long",1099511627776],["list","array",{"longstr":"a","longstr":"b"}],["none","void","undefined"],["user_uuid:abc","bool",true],["x-match","longstr","all"]]}
,{"source_name":"xivo","source_kind":"exchange","destination_name":"wazo-headers","destination_kind":"exchange","routing_key":"#","arguments":[]}
]
"##;
const CONSUMERS: &str = r##"[
{"queue_name":"q-plain","channel_pid":"#PID<12314.794.0>","consumer_tag":"ctag é","ack_required":false,"prefetch_count":0,"active":true,"arguments":[]}
]
"##;
const CHANNELS: &str = r##"[
{"pid":"#PID<12315.794.0>","connection":"#PID<12315.785.0>","number":1,"user":"guest"}
]
"##;
const CONNECTIONS: &str = r##"[
{"name":"127.0.0.1:48934 -> 127.0.0.1:24098","user":"guest","vhost":"/","peer_host":[127,0,0,1],"peer_port":48934,"client_properties":[["product","longstr","Pika Python Client Library"],["platform","longstr","Python 3.11.7"],["capabilities","table",[["basic.nack","bool",true]]],["version","longstr","1.4.4"]],"state":"running","pid":"#PID<12316.785.0>"}
,{"name":"127.0.0.1:48935 -> 127.0.0.1:24098","user":"guest","vhost":"other","peer_host":[0,0,0,0,0,0,0,1],"peer_port":48935,"client_properties":[],"pid":"#PID<12316.786.0>"}
]
"##;

fn lists(texts: &[&str]) -> Result<Lists, FileError> {
    let mut lists = Lists::default();
    for text in texts {
        lists.add(text)?;
    }
    Ok(lists)
}

fn site(texts: &[&str]) -> Site {
    lists(texts).unwrap().site(None, "rabbitmqctl").unwrap()
}

fn error(text: &str) -> FileError {
    lists(&[text]).and_then(|lists| lists.site(None, "rabbitmqctl")).unwrap_err()
}

#[test]
fn each_list_is_recognised_by_its_columns() {
    let site = site(&[CONNECTIONS, EXCHANGES, CHANNELS, QUEUES, CONSUMERS, BINDINGS]);
    let names: Vec<_> = site.exchanges.iter().map(|exchange| exchange.name.as_str()).collect();
    assert_eq!(names, ["wazo-headers", "xivo"]);
    assert_eq!(site.exchanges[0].arguments["alternate-exchange"], "amq.fanout");
    assert_eq!((site.queues[0].exclusive, site.queues[0].messages), (Some(true), Some(3)));
    assert_eq!(site.bindings.len(), 2, "not that to the nameless exchange");
    assert_eq!(site.bindings[1].destination, Destination::Exchange("wazo-headers".into()));
}

#[test]
fn arguments_are_what_the_management_api_shows() {
    let site = site(&[QUEUES, BINDINGS]);
    let shown = |arguments| serde_json::to_value(arguments).unwrap();
    assert_eq!(
        shown(&site.queues[1].arguments),
        json!({"x-list": [1, "a", {"b": 2}, "a"], "x-null": "undefined", "x-table": {"k": "v", "n": {}},
               "x-empty": []})
    );
    assert_eq!(
        shown(&site.bindings[0].arguments),
        json!({"big": 1_099_511_627_776_u64, "list": ["a", "b"], "none": "undefined", "user_uuid:abc": true,
               "x-match": "all"})
    );
}

#[test]
fn arguments_of_other_forms_are_read_too() {
    for (written, read) in [
        (json!({"x-match": "all"}), json!({"x-match": "all"})),
        (json!({"x-match": ["longstr", "all"]}), json!({"x-match": "all"})),
        (
            json!({"list": ["a", "b"], "other": ["a", "b", "c"]}),
            json!({"list": ["a", "b"], "other": ["a", "b", "c"]}),
        ),
        (json!([["l", "array", [["longstr", "a"], ["long", 1]]]]), json!({"l": ["a", 1]})),
        (json!([]), json!({})),
        (json!("none"), json!({})),
        (json!(null), json!({})),
    ] {
        let list = json!([{"name": "x", "type": "topic", "arguments": written}]).to_string();
        let site = site(&[&list]);
        assert_eq!(serde_json::to_value(&site.exchanges[0].arguments).unwrap(), read, "{written}");
    }
}

#[test]
fn a_consumer_is_tied_to_its_connection_by_way_of_the_channel() {
    let site = site(&[CONSUMERS, CHANNELS, CONNECTIONS]);
    let consumer = &site.consumers[0];
    assert_eq!(consumer.connection.as_deref(), Some("127.0.0.1:48934 -> 127.0.0.1:24098"));
    assert_eq!((consumer.tag.as_deref(), consumer.acks), (Some("ctag é"), Some(false)));
    assert!(site.shows(Aspect::Consumers));
    assert_eq!(site.connections.len(), 1, "the other virtual host's is left out");
    let connection = &site.connections[0];
    assert_eq!((connection.peer_host.as_deref(), connection.peer_port), (Some("127.0.0.1"), Some(48934)));
    assert_eq!(connection.library.as_deref(), Some("Pika Python Client Library"));
    assert_eq!(connection.library_version.as_deref(), Some("1.4.4"));
}

#[test]
fn without_the_channels_it_is_a_gap_whose_a_consumer_is() {
    let site = site(&[CONSUMERS, CONNECTIONS]);
    assert_eq!(site.consumers[0].connection, None);
    assert!(!site.shows(Aspect::Consumers));
}

#[test]
fn one_process_number_on_two_nodes_ties_nothing() {
    let connections = CONNECTIONS.replace(".786.0", ".785.0");
    let site = site(&[CONSUMERS, CHANNELS, &connections]);
    assert_eq!(site.consumers[0].connection, None);
}

#[test]
fn an_address_of_eight_numbers_is_one_of_ipv6() {
    let site = lists(&[CONNECTIONS]).unwrap().site(Some("other"), "r").unwrap();
    assert_eq!(site.connections[0].peer_host.as_deref(), Some("::1"));
}

#[test]
fn default_columns_do_and_what_they_leave_out_is_a_gap() {
    let site = site(&[
        r#"[{"name":"xivo","type":"topic"}]"#,
        r#"[{"name":"q","messages":0}]"#,
        r#"[{"user":"guest","peer_host":[127,0,0,1],"peer_port":48934,"state":"running"}]"#,
    ]);
    assert_eq!((site.exchange("xivo").unwrap().durable, site.queue("q").unwrap().durable), (None, None));
    assert_eq!(site.connections[0].name, "127.0.0.1:48934");
    assert!(site.gaps.iter().any(|gap| gap.what == "the column `durable` of the exchanges"));
}

#[test]
fn lists_may_follow_each_other_and_have_a_banner() {
    let together =
        format!("Timeout: 60.0 seconds ...\nListing queues for vhost / ...\n{QUEUES}{BINDINGS}[]\n");
    let site = site(&[&together]);
    assert_eq!((site.queues.len(), site.bindings.len()), (2, 2));
}

#[test]
fn an_empty_list_shows_nothing() {
    let site = site(&["[\n]\n"]);
    assert!(!site.shows(Aspect::Consumers) && !site.shows(Aspect::Exchanges));
}

#[test]
fn anything_else_is_an_error() {
    let not_json = |reason: &str, line, column| FileError::NotJson { reason: reason.into(), line, column };
    for (text, expected) in [
        ("", FileError::Empty),
        ("\n \n", FileError::Empty),
        ("name\ttype\nxivo\ttopic\n", not_json("expected ident", 1, 2)),
        ("Listing ...\n[{\"name\": \"q\",\n", FileError::BreaksOff { line: 3 }),
        ("x\n[{\"name\" 1}]", not_json("expected `:`", 2, 10)),
        ("[{\"name\":\"q\"\nStack trace:\n", FileError::ToolFailed { line: 2 }),
        ("3", FileError::UnknownKind { wanted: Kind::Lists }),
        ("[1]", FileError::UnknownKind { wanted: Kind::Lists }),
        ("{}", FileError::UnknownKind { wanted: Kind::Lists }),
        ("{\"queues\": []}", FileError::OtherKind { is: Kind::Definitions, wanted: Kind::Lists }),
        ("{\"schema\": \"x\"}", FileError::OtherKind { is: Kind::Site, wanted: Kind::Lists }),
        ("[{\"a\": 1, \"b\": 2}]", FileError::UnknownList { columns: "`a`, `b`".into() }),
        (
            "[{\"name\": \"x\", \"type\": \"topic\", \"arguments\": [[1, 2]]}]",
            FileError::UnknownArguments { written: "[[1,2]]".into() },
        ),
        (
            "[{\"source_name\": \"xivo\", \"destination_name\": \"q\", \"routing_key\": \"#\"}]",
            FileError::Missing(Missing { list: "bindings", field: "destination_kind" }),
        ),
        (
            "[{\"name\": \"x\", \"type\": \"topic\"}, {\"name\": null, \"type\": \"topic\"}]",
            FileError::Missing(Missing { list: "exchanges", field: "name" }),
        ),
    ] {
        assert_eq!(error(text), expected, "{text}");
    }
    let deep = format!("[{{\"name\": \"q\", \"messages\": {}", "[".repeat(100_000));
    assert!(matches!(error(&deep), FileError::NotJson { .. }));
}

#[test]
fn every_list_that_is_asked_for_is_recognised() {
    for command in COMMANDS {
        let mut columns: Vec<&str> = command.split(' ').skip(1).collect();
        if columns.is_empty() {
            columns = vec!["user", "configure", "write", "read"];
        }
        let row: Map<String, Json> =
            columns.iter().map(|column| ((*column).to_owned(), json!("x"))).collect();
        let listed = format!("{:?}", list(&[row]).unwrap().unwrap()).to_lowercase();
        assert_eq!(format!("list_{listed}"), command.split(' ').next().unwrap());
    }
}
