//! TLS with an authority of its own: what works, and what is said where it does not.

use std::net::TcpListener;
use std::path::PathBuf;
use std::sync::Arc;
use std::{env, thread};

use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::{ServerConfig, ServerConnection};
use serde_json::{Value, json};

use super::harness::{Ran, World, rabbitmqctl_meanwhile};

/// A file that `with-broker --tls` made.
fn made(name: &str) -> String {
    let directory = env::var("BROKER_DIR").expect("needs RabbitMQ: scripts/with-broker --tls");
    PathBuf::from(directory).join("tls").join(name).display().to_string()
}

fn port() -> String {
    env::var("BROKER_TLS_PORT").expect("needs a TLS listener: scripts/with-broker --tls")
}

/// `quarantine list` with this address and these files.
async fn list(world: &World, url: &str, files: &[(&str, &str)]) -> Ran {
    let mut command = world.any_command();
    command.args(["quarantine", "list"]).env("CTI_BRIDGE_AMQP_URL", url);
    for (option, file) in files {
        command.args([*option, file]);
    }
    Ran::of(command).await
}

#[tokio::test]
#[ignore = "needs RabbitMQ: scripts/with-broker"]
async fn a_certificate_is_the_login_of_an_account_with_no_more_rights_than_needed() {
    let world = World::new().await;
    let text = format!(
        "bus:\n  host: 127.0.0.1\n  port: {}\n  vhost: {}\n  tls:\n    ca_file: {}\n    client_certificate_file: {}\n    \
         client_key_file: {}\n",
        port(),
        world.vhost,
        made("ca.pem"),
        made("client.pem"),
        made("client.key"),
    );
    let mut bridge = world.bridge().env("CTI_BRIDGE_AMQP_URL", "").config(&text).start().await;
    let mut tap = world.client.tap(&[("xivo", "#")]).await;
    let event = json!({"name": "call_form_result", "data": {"user_id": 1, "variables": {"a": "b"}}});
    world.client.publish_legacy(&event).await;
    assert_eq!(tap.event().await["name"], "call_form_result");

    let columns = ["list_connections", "--formatter", "json", "user", "vhost", "ssl", "auth_mechanism"];
    let listed: Vec<Value> = serde_json::from_str(&rabbitmqctl_meanwhile(&columns).await).unwrap();
    let ours: Vec<_> = listed.iter().filter(|of| of["vhost"] == world.vhost && of["ssl"] == true).collect();
    assert!(!ours.is_empty(), "{listed:?}");
    for connection in ours {
        assert_eq!(
            (&connection["user"], &connection["auth_mechanism"]),
            (&json!("narrow"), &json!("EXTERNAL"))
        );
    }
    bridge.stop().await;

    // The same for a command, by options, and with a password instead.
    let certificate = made("client.pem");
    let key = made("client.key");
    let authority = made("ca.pem");
    let of = |user: &str| format!("amqps://{user}127.0.0.1:{}/{}", port(), world.vhost);
    let files = [
        ("--ca-file", authority.as_str()),
        ("--client-certificate-file", certificate.as_str()),
        ("--client-key-file", key.as_str()),
    ];
    let ran = list(&world, &of(""), &files).await;
    assert_eq!(ran.code, Some(0), "{}", ran.stderr);
    let ran = list(&world, &of("guest:guest@"), &files[..1]).await;
    assert_eq!(ran.code, Some(0), "{}", ran.stderr);
}

/// What is tried, the address, options with files, the exit code, and words of the message.
type Case<'a> = (&'a str, String, &'a [(&'a str, String)], i32, &'a [&'a str]);

#[tokio::test]
#[ignore = "needs RabbitMQ: scripts/with-broker"]
async fn what_does_not_fit_is_told_with_what_to_do() {
    let world = World::new().await;
    let at = |scheme: &str, host: &str, port: &str| format!("{scheme}://guest:hunter2@{host}:{port}/%2f");
    let (tls, plain) = (port(), world.port().to_string());
    let expired = handshakes_with("expired").to_string();
    let good = at("amqps", "127.0.0.1", &tls);
    let no_pem = world.file("no.pem", "hunter2").display().to_string();
    let missing = made("missing.pem");
    let cases: [Case<'_>; 11] = [
        ("no authority", good.clone(), &[], 69, &["no authority that is trusted", "`--ca-file`"]),
        (
            "the wrong one",
            good.clone(),
            &[("--ca-file", made("other-ca.pem"))],
            69,
            &["no authority that is trusted", "`--ca-file`"],
        ),
        (
            "another name",
            at("amqps", "localhost", &tls),
            &[("--ca-file", made("ca.pem"))],
            69,
            &["not for `localhost`, it is for `127.0.0.1`, `bus.example.org`"],
        ),
        (
            "expired",
            at("amqps", "127.0.0.1", &expired),
            &[("--ca-file", made("ca.pem"))],
            69,
            &["the broker's certificate has expired", "days ago: have a new one made"],
        ),
        (
            "TLS where none is spoken",
            at("amqps", "127.0.0.1", &plain),
            &[("--ca-file", made("ca.pem"))],
            69,
            &["no TLS is spoken on this port", "5671"],
        ),
        ("no TLS where it is", at("amqp", "127.0.0.1", &tls), &[], 69, &["write `amqps://`"]),
        (
            "no such file",
            good.clone(),
            &[("--ca-file", missing.clone())],
            66,
            &["cannot read", &missing, "No such file"],
        ),
        ("no PEM", good.clone(), &[("--ca-file", no_pem.clone())], 78, &[&no_pem, "BEGIN CERTIFICATE"]),
        (
            "the key of another certificate",
            good.clone(),
            &[("--client-certificate-file", made("client.pem")), ("--client-key-file", made("server.key"))],
            78,
            &["server.key", "does not fit the client certificate"],
        ),
        (
            "a client certificate of nobody",
            good.replace("guest:hunter2@", ""),
            &[
                ("--ca-file", made("ca.pem")),
                ("--client-certificate-file", made("other-ca.pem")),
                ("--client-key-file", made("other-ca.key")),
            ],
            69,
            &["client certificate", "ssl_options.cacertfile"],
        ),
        (
            "a certificate of no user",
            good.replace("guest:hunter2@", ""),
            &[
                ("--ca-file", made("ca.pem")),
                ("--client-certificate-file", made("server.pem")),
                ("--client-key-file", made("server.key")),
            ],
            77,
            &["access refused", "rabbitmq_auth_mechanism_ssl", "ssl_cert_login_from"],
        ),
    ];
    for (what, url, files, code, words) in cases {
        let files: Vec<_> = files.iter().map(|(option, file)| (*option, file.as_str())).collect();
        let ran = list(&world, &url, &files).await;
        assert_eq!(ran.code, Some(code), "{what}: {}", ran.stderr);
        for word in words {
            assert!(ran.stderr.contains(word), "{what}: `{word}` is not in: {}", ran.stderr);
        }
        assert!(!ran.stderr.contains("hunter2"), "{what}: {}", ran.stderr);
    }
}

#[tokio::test]
#[ignore = "needs RabbitMQ: scripts/with-broker"]
async fn a_running_bridge_says_why_it_does_not_get_in_and_goes_on_trying() {
    let world = World::new().await;
    let url = format!("amqps://guest:guest@127.0.0.1:{}/{}", port(), world.vhost);
    let mut bridge = world
        .bridge()
        .env("CTI_BRIDGE_AMQP_URL", url)
        .env("CTI_BRIDGE_CA_FILE", made("other-ca.pem"))
        .spawn();
    super::harness::eventually("the bridge says what is wrong", async || {
        bridge.output().contains("signed by no authority that is trusted here").then_some(())
    })
    .await;
    assert!(bridge.is_running());
    bridge.signal("TERM");
    bridge.exit_code().await;
}

#[tokio::test]
#[ignore = "needs RabbitMQ: scripts/with-broker"]
async fn the_management_api_is_trusted_as_the_broker_is() {
    let world = World::new().await;
    let port_of_api = env::var("BROKER_MANAGEMENT_TLS_PORT").expect("needs the plugin rabbitmq_management");
    let (tls, plain) = (format!("amqps://guest:guest@127.0.0.1:{}/{}", port(), world.vhost), world.url());
    let audit = async |host: &str, port: &str, url: &str, files: &[(&str, &str)]| {
        let mut command = world.any_command();
        command
            .args(["audit", "--from", "18.03", "--to", "19.17"])
            .args(["--management-url", &format!("https://{host}:{port}")])
            .env("CTI_BRIDGE_AMQP_URL", url);
        for (option, file) in files {
            command.args([*option, file]);
        }
        Ran::of(command).await
    };
    // The broker's authority is trusted there too, and one may be named where no TLS is spoken with the broker.
    let (right, wrong) = (made("ca.pem"), made("other-ca.pem"));
    let (ca, own) = (("--ca-file", &*right), ("--management-ca-file", &*right));
    let (other, other_own) = (("--ca-file", &*wrong), ("--management-ca-file", &*wrong));
    for (url, files) in [(&tls, &[ca][..]), (&plain, &[own]), (&tls, &[other, own])] {
        let ran = audit("127.0.0.1", &port_of_api, url, files).await;
        assert_eq!(ran.code, Some(0), "{files:?}: {}", ran.stderr);
        assert!(ran.stdout.contains("0 clients"), "{files:?}: {}", ran.stdout);
    }
    let expired = handshakes_with("expired").to_string();
    for (host, port, url, files, advice) in [
        ("127.0.0.1", &port_of_api, &plain, &[][..], "`--management-ca-file`"),
        ("127.0.0.1", &port_of_api, &tls, &[other], "`--management-ca-file`"),
        ("127.0.0.1", &port_of_api, &tls, &[ca, other_own], "`--management-ca-file`"),
        ("localhost", &port_of_api, &plain, &[own], "call it by a name"),
        ("127.0.0.1", &expired, &plain, &[own], "set the clock"),
    ] {
        let ran = audit(host, port, url, files).await;
        assert_eq!(ran.code, Some(69), "{files:?}: {}", ran.stderr);
        assert!(
            ran.stderr.contains("cannot be trusted") && ran.stderr.contains(advice),
            "{advice}: {}",
            ran.stderr
        );
    }
}

/// A port where TLS is agreed on with this certificate, and nothing more is said.
fn handshakes_with(name: &str) -> u16 {
    let chain = CertificateDer::pem_file_iter(made(&format!("{name}.pem"))).unwrap();
    let key = PrivateKeyDer::from_pem_file(made(&format!("{name}.key"))).unwrap();
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let config = ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(chain.map(Result::unwrap).collect(), key)
        .unwrap();
    let config = Arc::new(config);
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    thread::spawn(move || {
        for stream in listener.incoming() {
            let mut connection = ServerConnection::new(Arc::clone(&config)).unwrap();
            // The client hangs up, as it should.
            let _ = connection.complete_io(&mut stream.unwrap());
        }
    });
    port
}
