//! What inputs are made of: files of the project, and inputs of earlier runs.

use std::fs;
use std::path::{Path, PathBuf};

use super::attack::Attack;
use super::random::Random;

/// The inputs that a target starts from, and the words of its format.
pub fn of(target: &str) -> (Vec<Vec<u8>>, Vec<Vec<u8>>) {
    let mut inputs = kept(target);
    match target {
        "bodies" | "properties" => inputs.extend(events()),
        "mappings" => inputs.extend(rules()),
        "templates" => inputs.extend(templates()),
        "configuration" => inputs.extend(CONFIGURATIONS.map(|text| text.as_bytes().to_vec())),
        "files" => inputs.extend(files()),
        "compare" => inputs.extend(recordings()),
        other => panic!("no corpus for {other}"),
    }
    // Large files are for the parsers' own tests; here they cost time and say the same.
    inputs.retain(|input| !input.is_empty() && input.len() <= 8 * 1024);
    inputs.sort();
    inputs.dedup();
    let mut words: Vec<Vec<u8>> = inputs
        .iter()
        .flat_map(|input| input.split(|byte| !byte.is_ascii_alphanumeric() && !b"_-".contains(byte)))
        .filter(|word| (2..=32).contains(&word.len()))
        .map(<[u8]>::to_vec)
        .collect();
    words.extend(DANGEROUS.map(|word| word.as_bytes().to_vec()));
    words.sort();
    words.dedup();
    (inputs, words)
}

/// Words that mean something to a broker or to who reads its messages.
const DANGEROUS: [&str; 16] = [
    "\"required_acl\":\"#\",",
    "\"name\":\"call_created\",",
    "\"data\":{},",
    "\"origin_uuid\":\"a.b\",",
    "user_uuid:*",
    "CC",
    "BCC",
    "x-match",
    "x-death",
    "cti-bridge",
    "cti-bridge-probe",
    "xivo-cti",
    "events.me",
    "{user_uuid}",
    "{id|raw}",
    "{to[18446744073709551615]}",
];

const CONFIGURATIONS: [&str; 4] = [
    "uuid: ca7f87e9-c2c8-5fad-ba1b-c3140ebb9be3\nbus:\n  host: localhost\n  port: 5672\n  username: guest\n  password: guest\n  exchange_name: xivo\n  exchange_type: topic\n",
    "legacy:\n  bus: {url: \"amqp://a:b@h1,h2:5673/v%2Fh\"}\n  events: [call_created, user_created]\n  content_type: application/json\nmodern:\n  version: \"19.05\"\n  declare: false\n  unknown_events: quarantine\n  bus: {hosts: [a, b]}\n",
    "bridge_id: b1\norigin_uuid: b1\nmappings: [/etc/x, y]\nbuiltin_mappings: false\nprefetch_count: 256\nqueue_type: classic\nqueue_prefix: p\npersistent: true\ncount_unroutable: false\nmax_hops: 3\nprobes: false\nstatus_interval: 0\ndebug: true\n",
    "legacy: {events: all}\nbus: {tls: true, vhost: /}\n",
];

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

fn kept(target: &str) -> Vec<Vec<u8>> {
    let directory = root().join("tests/fuzz/corpus").join(target);
    let mut inputs = Vec::new();
    if directory.exists() {
        walk(&directory, &mut |path| inputs.push(fs::read(path).unwrap()));
    }
    inputs
}

fn walk(directory: &Path, each: &mut impl FnMut(&Path)) {
    let mut paths: Vec<PathBuf> =
        fs::read_dir(directory).unwrap().map(|entry| entry.unwrap().path()).collect();
    paths.sort();
    for path in paths {
        if path.is_dir() { walk(&path, each) } else { each(&path) }
    }
}

fn with_extension(directory: &str, extensions: &[&str]) -> Vec<Vec<u8>> {
    let mut found = Vec::new();
    walk(&root().join(directory), &mut |path| {
        if extensions.iter().any(|extension| path.extension().is_some_and(|is| is == *extension)) {
            found.push(fs::read(path).unwrap());
        }
    });
    found
}

/// One rule each, of the built-in files and of those that are wrong.
fn rules() -> Vec<Vec<u8>> {
    let mut rules = with_extension("tests/bad_mappings", &["yaml"]);
    for file in with_extension("mappings", &["yaml"]) {
        let text = String::from_utf8(file).unwrap();
        rules.extend(text.split("\n- event:").skip(1).map(|rule| format!("- event:{rule}\n").into_bytes()));
    }
    rules.extend(with_extension("tests/bad_changelogs", &["yaml"]));
    rules
}

fn lines_of(files: Vec<Vec<u8>>) -> impl Iterator<Item = Vec<u8>> {
    files
        .into_iter()
        .flat_map(|file| file.split(|byte| *byte == b'\n').map(<[u8]>::to_vec).collect::<Vec<_>>())
}

fn events() -> Vec<Vec<u8>> {
    let mut events: Vec<Vec<u8>> = Vec::new();
    for line in lines_of(with_extension("tests/golden", &["jsonl"])) {
        let Ok(documented) = serde_json::from_slice::<serde_json::Value>(&line) else { continue };
        events.extend(["legacy", "modern"].map(|form| documented[form].to_string().into_bytes()));
    }
    let mut random = Random::new(0);
    events.extend((0..1000).map(|_| Attack::next(&mut random).body));
    // The examples of rules are JSON in YAML.
    for line in lines_of(with_extension("mappings", &["yaml"])) {
        let text = String::from_utf8(line).unwrap();
        events.extend(text.find("{\"name\"").map(|at| text.as_bytes()[at..].to_vec()));
    }
    events
}

fn templates() -> Vec<Vec<u8>> {
    lines_of(with_extension("mappings", &["yaml"]))
        .filter_map(|line| {
            let text = String::from_utf8(line).unwrap();
            let (key, value) = text.split_once(": ")?;
            ["event", "name", "routing_key", "required_acl"]
                .iter()
                .any(|known| key.trim_start_matches(['-', ' ']) == *known)
                .then(|| value.trim_matches('"').as_bytes().to_vec())
        })
        .collect()
}

/// Sites, definitions, plans, journals, recordings and lists of accepted findings.
fn files() -> Vec<Vec<u8>> {
    let mut files = with_extension("tests/golden", &["json", "yaml", "jsonl"]);
    files.extend(with_extension("tests/sites", &["json"]));
    files.extend(recordings());
    files.extend(FILES.map(|text| text.as_bytes().to_vec()));
    files
}

const FILES: [&str; 7] = [
    r#"{"rabbit_version":"3.10.0","vhosts":[{"name":"/"}],"permissions":[{"user":"guest","vhost":"/","configure":".*","write":".*","read":".*"}],"queues":[{"name":"q","vhost":"/","durable":true,"auto_delete":false,"arguments":{"x-queue-type":"quorum"}}],"exchanges":[{"name":"xivo-cti","vhost":"/","type":"direct","durable":true,"auto_delete":false,"internal":false,"arguments":{}}],"bindings":[{"source":"xivo-cti","vhost":"/","destination":"q","destination_type":"queue","routing_key":"call_created","arguments":{}}]}"#,
    "{\"schema\":\"cti-bridge/site/1\",\"vhost\":\"/\",\"exchanges\":[],\"queues\":[],\"bindings\":[],\"consumers\":[],\"connections\":[],\"permissions\":[],\"gaps\":[]}",
    r#"[{"name":"xivo-cti","type":"direct","durable":true,"auto_delete":false,"arguments":[]},{"name":"","type":"direct"}]"#,
    r#"[[{"source_name","xivo"},{"source_kind",exchange},{"destination_name","q"},{"destination_kind",queue},{"routing_key","a.#"},{"arguments",[]}]]"#,
    r#"{"mode":"bridge","steps":[{"action":{"declare_exchange":{"name":"xivo","kind":"topic","durable":true}},"why":"x"}],"in_place":0,"impossible":[],"conflicts":[],"clients":[],"notes":[],"basis":{}}"#,
    "{\"schema\":\"cti-bridge/journal/1\",\"tool_version\":\"0.1.0\",\"broker\":\"amqp://localhost\"}\n{\"step\":0,\"state\":\"begun\",\"action\":{}}\n",
    "- finding: a\n  client: b\n  until: 2027-01-31\n  reason: c\n",
];

fn recordings() -> Vec<Vec<u8>> {
    let header = r##"{"format":"cti-bridge/recording","version":1,"broker":"amqp://localhost","exchange":"xivo","keys":["#"],"started":"2026-01-01T00:00:00Z"}"##;
    let message = |key: &str, more: &str| {
        format!(
            r#"{{"received":"2026-01-01T00:00:01.000001Z","exchange":"xivo","routing_key":"{key}",{more}}}"#
        )
    };
    let typed = r#""properties":{"content_type":"application/json","delivery_mode":2,"priority":9,"timestamp":1571300000,"headers":{"a":1,"b":"x","c":true,"d":null,"e":{"type":"int8","value":-128},"f":{"type":"double","bits":"7ff8000000000001"},"g":{"type":"decimal","scale":2,"value":314},"h":[1,[2,{"type":"table","value":{"k":"v"}}]],"i":{"type":"bytes","value":"AAH/"},"j":{"type":"timestamp","value":1}}},"#;
    let body = r#""body":{"name":"call_created","data":{"id":1,"lines":[{"id":7},{"id":8}]}}"#;
    let other = r#""body":{"name":"call_created","data":{"id":2,"lines":[{"id":7}]}}"#;
    let first = [message("calls.1", &format!("{typed}{body}")), message("calls.2", r#""text":"no JSON""#)];
    let second = [message("calls.2", r#""base64":"AAEC/w==""#), message("calls.1", other)];
    let gap =
        r#"{"gap":{"from":"2026-01-01T00:00:01Z","to":"2026-01-01T00:00:02Z","reason":"connection lost"}}"#;
    let end = r#"{"end":{"at":"2026-01-01T00:00:09Z","messages":2}}"#;
    let one = format!("{header}\n{}\n{gap}\n{end}\n", first.join("\n"));
    let two = format!("{header}\n{}\n{end}\n", second.join("\n"));
    vec![format!("{one}\u{1e}{two}").into_bytes(), one.into_bytes(), two.into_bytes()]
}
