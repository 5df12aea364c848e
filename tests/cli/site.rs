//! Where a site is looked at: files of every kind, and a management API that answers as it should or not at all.

use std::io::{BufRead, BufReader, Write};
use std::net::{TcpListener, TcpStream};
use std::path::PathBuf;

use cti_bridge::cli::{BrokerFrom, SiteFrom, Sources};
use cti_bridge::commands::Failure;
use cti_bridge::commands::site::observe;
use cti_bridge::core::site::{Aspect, Site};
use cti_bridge::exit_code::Exit;

use crate::harness::Directory;

/// A management API that answers each path as it is told, on a free port, for as long as the test runs.
fn api(answer: impl Fn(&str) -> Vec<u8> + Send + 'static) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    std::thread::spawn(move || {
        for stream in listener.incoming() {
            answer_one(stream.unwrap(), &answer);
        }
    });
    format!("http://user:hunter2@{address}")
}

fn answer_one(mut stream: TcpStream, answer: &dyn Fn(&str) -> Vec<u8>) {
    let mut reader = BufReader::new(stream.try_clone().unwrap());
    let mut request = String::new();
    reader.read_line(&mut request).unwrap();
    let mut header = String::from("x");
    while !header.trim().is_empty() {
        header.clear();
        reader.read_line(&mut header).unwrap();
    }
    let path = request.split_whitespace().nth(1).unwrap_or_default();
    // A client that has what it needs may be gone.
    let _ = stream.write_all(&answer(path));
}

fn response(status: &str, body: &str) -> Vec<u8> {
    let length = body.len();
    format!("HTTP/1.1 {status}\r\nConnection: close\r\nContent-Length: {length}\r\n\r\n{body}").into()
}

/// What a broker with one exchange answers to an administrator.
fn working(path: &str) -> Vec<u8> {
    let body = match path.split('?').next().unwrap() {
        "/api/overview" => r#"{"rabbitmq_version": "3.10.8"}"#,
        "/api/whoami" => r#"{"name": "user", "tags": ["administrator"]}"#,
        "/api/exchanges/%2F" => {
            r#"[{"name": "xivo", "type": "topic", "durable": true, "auto_delete": false, "arguments": {}}]"#
        }
        path if path.starts_with("/api/") => "[]",
        _ => return response("404 Not Found", "no"),
    };
    response("200 OK", body)
}

/// A look at files and addresses, with none of this machine's settings.
fn look(directory: &Directory, change: impl FnOnce(&mut Sources)) -> Result<Site, Failure> {
    let config = directory.0.join("config.yml");
    std::fs::write(&config, "").unwrap();
    let broker = BrokerFrom { config: Some(config), ..BrokerFrom::default() };
    let mut from = SiteFrom { broker, ..SiteFrom::default() };
    change(&mut from.sources);
    observe(&from)
}

fn look_at(url: &str) -> Result<Site, Failure> {
    let directory = Directory::new(&format!("site-{}", url.rsplit(':').next().unwrap()));
    look(&directory, |from| from.management_url = Some(url.to_owned()))
}

/// Exit code and text of a look that fails.
fn failure(looked: Result<Site, Failure>) -> (Exit, String) {
    let failure = looked.unwrap_err();
    let text = failure.to_string();
    assert!(!text.contains("hunter2"), "{text}");
    (failure.exit, text)
}

#[test]
fn a_management_api_is_asked_for_everything() {
    let site = look_at(&api(working)).unwrap();
    assert_eq!((site.vhost.as_deref(), site.broker_version.as_deref()), (Some("/"), Some("3.10.8")));
    assert_eq!(site.exchange("xivo").unwrap().durable, Some(true));
    assert_eq!(site.gaps, []);
}

#[test]
fn a_management_api_below_a_prefix_is_found() {
    let url = api(|path| working(path.strip_prefix("/rabbit").unwrap_or("none")));
    assert_eq!(look_at(&format!("{url}/rabbit/")).unwrap().exchanges.len(), 1);
    assert_eq!(failure(look_at(&url)).0, Exit::BadInput);
}

#[test]
fn each_way_in_which_a_management_api_fails_has_its_exit_code() {
    let only = |wanted: &'static str, answer: Vec<u8>| {
        move |path: &str| if path.starts_with(wanted) { answer.clone() } else { working(path) }
    };
    let denied = response("401 Unauthorized", r#"{"error": "not_authorised", "reason": "Login failed"}"#);
    let truncated = b"HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: 100\r\n\r\n[{".to_vec();
    let chunked = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\n[{".to_vec();
    let redirect =
        b"HTTP/1.1 302 Found\r\nLocation: http://127.0.0.1:1/\r\nContent-Length: 0\r\n\r\n".to_vec();
    for (asked, answer, exit, words) in [
        (
            "/api/overview",
            denied.clone(),
            Exit::AccessRefused,
            "refuses `user`, who asked for /api/overview: Login failed",
        ),
        ("/api/bindings", denied, Exit::AccessRefused, "/api/bindings/%2F"),
        ("/api/bindings", response("403 Forbidden", ""), Exit::AccessRefused, "status 403"),
        ("/api/exchanges", response("404 Not Found", "{}"), Exit::NoInput, "has no virtual host `/`"),
        ("/api/overview", response("404 Not Found", "{}"), Exit::BadInput, "is no management API"),
        ("/api/queues", response("500 Oops", ""), Exit::Unreachable, "failed with status 500"),
        ("/api/overview", redirect, Exit::BadInput, "status 302"),
        (
            "/api/queues",
            truncated.clone(),
            Exit::BadInput,
            "asked for /api/queues/%2F, and the answer breaks off",
        ),
        ("/api/consumers", truncated, Exit::BadInput, "asked for /api/consumers/%2F"),
        ("/api/queues", chunked, Exit::BadInput, "breaks off"),
        ("/api/queues", response("200 OK", "<html></html>"), Exit::BadInput, "`/api/queues/VHOST`"),
        ("/api/queues", response("200 OK", "{}"), Exit::BadInput, "no list of objects"),
        ("/api/queues", response("200 OK", "[{\"na"), Exit::BadInput, "breaks off after 5 bytes"),
        ("/api/queues", response("200 OK", ""), Exit::BadInput, "nothing was answered"),
        ("/api/overview", b"AMQP\0\0\x09\x01".to_vec(), Exit::BadInput, "is no management API"),
        ("/api/overview", Vec::new(), Exit::BadInput, "is no management API"),
    ] {
        let (found, text) = failure(look_at(&api(only(asked, answer))));
        assert_eq!(found, exit, "{text}");
        assert!(text.contains(words), "`{words}` in {text}");
    }
}

#[test]
fn what_an_account_may_not_ask_is_a_gap() {
    let site = look_at(&api(|path| match path.split('?').next().unwrap() {
        "/api/nodes" | "/api/vhosts/%2F/permissions" => response("401 Unauthorized", "{}"),
        "/api/whoami" => response("200 OK", r#"{"tags": ["management"]}"#),
        _ => working(path),
    }));
    let aspects: Vec<_> = site.unwrap().gaps.iter().map(|gap| gap.aspect).collect();
    assert_eq!(aspects, [Aspect::Consumers, Aspect::Connections, Aspect::Alarms, Aspect::Permissions]);
}

#[test]
fn a_broker_that_is_not_there_is_unreachable() {
    let port = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    let (exit, text) = failure(look_at(&format!("http://127.0.0.1:{port}")));
    assert_eq!(exit, Exit::Unreachable, "{text}");
    assert!(text.contains("rabbitmq_management"), "{text}");
    assert_eq!(failure(look_at("http://no-such-host.invalid")).0, Exit::Unreachable);
    assert_eq!(failure(look_at("ftp://user:hunter2@host")).0, Exit::Usage);
}

const DEFINITIONS: &str = r#"{"rabbit_version": "3.10.8", "vhosts": [{"name": "/"}], "permissions": [],
    "exchanges": [{"name": "xivo", "type": "topic", "durable": true, "auto_delete": false, "arguments": {}, "vhost": "/"}],
    "queues": [], "bindings": []}"#;
const QUEUES: &str = r#"[{"name": "q", "durable": true, "auto_delete": false, "exclusive": true, "arguments": [], "messages": 0}]"#;

fn files(name: &str) -> (Directory, impl Fn(&str) -> PathBuf) {
    let directory = Directory::new(name).file("definitions.json", DEFINITIONS).file("queues.json", QUEUES);
    let root = directory.0.clone();
    (directory, move |name: &str| root.join(name))
}

#[test]
fn files_add_up_and_what_is_saved_is_the_same_again() {
    let (directory, path) = files("site-files");
    let saved = path("site.json");
    let site = look(&directory, |from| {
        from.definitions = vec![path("definitions.json")];
        from.rabbitmqctl = vec![path("queues.json")];
        from.save_site = Some(saved.clone());
    })
    .unwrap();
    assert_eq!((site.exchanges.len(), site.queue("q").unwrap().exclusive), (1, Some(true)));
    assert!(site.shows(Aspect::Queues) && !site.shows(Aspect::Consumers));
    let again = look(&directory, |from| from.site = vec![saved]).unwrap();
    assert_eq!(again, site);
}

#[test]
fn a_live_broker_and_a_file_of_it_are_one_site() {
    let (directory, path) = files("site-mixed");
    let url = api(working);
    let site = look(&directory, |from| {
        from.definitions = vec![path("definitions.json")];
        from.management_url = Some(url);
    })
    .unwrap();
    assert_eq!((site.exchanges.len(), site.gaps.len(), site.conflicts.len()), (1, 0, 0));
}

#[test]
fn one_kind_of_file_in_the_place_of_another_is_named() {
    let (directory, path) = files("site-kinds");
    look(&directory, |from| {
        from.definitions = vec![path("definitions.json")];
        from.save_site = Some(path("site.json"));
    })
    .unwrap();
    type Place = fn(&mut Sources, PathBuf);
    let as_lists: Place = |from, path| from.rabbitmqctl = vec![path];
    let as_definitions: Place = |from, path| from.definitions = vec![path];
    let as_site: Place = |from, path| from.site = vec![path];
    for (file, place, words) in [
        ("definitions.json", as_lists, ["it is exported definitions", "`--definitions` reads it"]),
        ("site.json", as_lists, ["it is a saved site", "`--site` reads it"]),
        ("queues.json", as_definitions, ["it is a list of `rabbitmqctl`", "`--rabbitmqctl` reads it"]),
        ("site.json", as_definitions, ["it is a saved site", "`--site` reads it"]),
        ("queues.json", as_site, ["it is a list of `rabbitmqctl`", "`--rabbitmqctl` reads it"]),
        ("definitions.json", as_site, ["it is exported definitions", "`--definitions` reads it"]),
    ] {
        let (exit, text) = failure(look(&directory, |from| place(from, path(file))));
        assert_eq!(exit, Exit::BadInput, "{text}");
        assert!(words.iter().all(|words| text.contains(words)), "{text}");
    }
    for place in [as_lists, as_definitions, as_site] {
        let text = failure(look(&directory, |from| place(from, path("none.json"))));
        assert_eq!(text.0, Exit::NoInput, "{}", text.1);
        for (content, words) in [
            (&b""[..], "it is empty"),
            (b"[{\"name\":\"q\",\n", "it breaks off in line 2"),
            (b"{\"rabbit_version\":", "it breaks off in line 1"),
            (b"name\ttype\nxivo\ttopic\n", "it is no JSON"),
            (b"[{\"name\":\"\xff\"}]", "it is not UTF-8"),
            (b"true", "it is not"),
        ] {
            std::fs::write(path("bad.json"), content).unwrap();
            let (exit, text) = failure(look(&directory, |from| place(from, path("bad.json"))));
            assert_eq!(exit, Exit::BadInput, "{text}");
            assert!(text.contains(words), "`{words}` in {text}");
        }
    }
}

#[test]
fn sources_of_two_virtual_hosts_are_not_mixed() {
    let other = DEFINITIONS.replace("\"/\"", "\"other\"");
    let (directory, path) = files("site-vhosts");
    let directory = directory.file("other.json", other);
    let both = |from: &mut Sources| from.definitions = vec![path("definitions.json"), path("other.json")];
    let (exit, text) = failure(look(&directory, both));
    assert_eq!(exit, Exit::BadInput, "{text}");
    assert!(text.contains("shows the virtual host `/`") && text.contains("shows `other`"), "{text}");
    let (exit, text) = failure(look(&directory, |from| {
        both(from);
        from.vhost = Some("other".into());
    }));
    assert_eq!(exit, Exit::NoInput, "{text}");
}
