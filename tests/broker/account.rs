//! The account of the README: what it is given is enough, and nothing of it can be left out.

use serde_json::json;

use super::harness::{NARROW, PASSWORD, World, eventually, rabbitmqctl_meanwhile};

/// What the account needs each of the three for, as alternatives of one pattern.
const NEEDED: [&str; 6] =
    ["cti-bridge\\..*", "xivo", "xivo-cti", "xivo-ami", "xivo-status-updates", "amq\\.default"];

fn without(left_out: &str) -> String {
    let rest: Vec<_> = NEEDED.into_iter().filter(|part| *part != left_out).collect();
    format!("^({})$", rest.join("|"))
}

#[tokio::test]
#[ignore = "needs RabbitMQ: scripts/with-broker"]
async fn an_account_with_the_permissions_of_the_readme_does_all_that_a_bridge_does() {
    let readme = include_str!("../../README.md");
    assert!(readme.contains(&format!("`{}`", without(""))), "the README has another pattern");
    let world = World::new().await;
    let url = world.url_of(NARROW, PASSWORD);
    let mut bridge = world.bridge().env("CTI_BRIDGE_AMQP_URL", &url).start().await;
    let mut modern = world.client.tap(&[("xivo", "#")]).await;
    let mut legacy = world.client.tap(&[("xivo-cti", "call_created")]).await;

    let form = json!({"name": "call_form_result", "data": {"user_id": 1, "variables": {"a": "b"}}});
    world.client.publish_legacy(&form).await;
    assert_eq!(modern.event().await["name"], "call_form_result");
    let created = json!({
        "name": "call_created", "origin_uuid": super::harness::ORIGIN, "required_acl": "events.calls.u",
        "data": {"call_id": "1", "user_uuid": "u"},
    });
    world.client.publish("xivo", "calls.call.created", created.to_string()).await;
    assert_eq!(legacy.event().await["name"], "call_created");
    world.client.publish("xivo-cti", "call_form_result", "no event at all").await;
    world.client.publish_legacy(&form).await;
    // Twice: the modern event, and what the legacy one became after the bad one was put away.
    while modern.event().await["name"] != "call_form_result" {}
    // They are on their way at the same time.
    eventually("the bad one is in quarantine", async || {
        (world.client.depth("cti-bridge.quarantine").await == 1).then_some(())
    })
    .await;

    for arguments in [
        &["quarantine", "list", "--output", "json"][..],
        &["quarantine", "show", "--output", "json"],
        &["quarantine", "drop", "--all", "--approve", "--output", "json"],
    ] {
        let mut command = world.any_command();
        command.args(arguments).env("CTI_BRIDGE_AMQP_URL", &url);
        let output = tokio::task::spawn_blocking(move || command.output().unwrap()).await.unwrap();
        assert_eq!(output.status.code(), Some(0), "{arguments:?}: {output:?}");
        let text = String::from_utf8(output.stdout).unwrap();
        assert!(arguments[1] == "drop" || text.contains("not_json"), "{arguments:?}: {text}");
    }
    bridge.stop().await;
}

#[tokio::test]
#[ignore = "needs RabbitMQ: scripts/with-broker"]
async fn with_one_permission_less_the_bridge_says_on_what_and_what_is_needed() {
    let world = World::new().await;
    let [configure, write, read] = [0, 1, 2];
    for (kind, left_out, words) in [
        (configure, "xivo", "exchange 'xivo'"),
        (configure, "cti-bridge\\..*", "'cti-bridge."),
        (write, "cti-bridge\\..*", "'cti-bridge."),
        (write, "xivo-cti", "exchange 'xivo-cti'"),
        (read, "xivo-ami", "exchange 'xivo-ami'"),
        (read, "cti-bridge\\..*", "'cti-bridge."),
    ] {
        let mut patterns = [without(""), without(""), without("")];
        patterns[kind] = without(left_out);
        let [configure, write, read] = patterns.each_ref().map(String::as_str);
        rabbitmqctl_meanwhile(&["set_permissions", "-p", &world.vhost, NARROW, configure, write, read]).await;
        let mut bridge = world.bridge().env("CTI_BRIDGE_AMQP_URL", world.url_of(NARROW, PASSWORD)).spawn();
        assert_eq!(bridge.exit_code().await, Some(77), "{patterns:?}: {}", bridge.output());
        let said = bridge.output();
        assert!(said.contains(words), "{patterns:?}: {said}");
        assert!(said.contains(&format!("configure, write and read on `{}`", without(""))), "{said}");
    }
}
