//! A message for which the broker itself closes the channel.

use serde_json::json;

use super::harness::{NARROW, PASSWORD, World};

#[tokio::test]
#[ignore = "needs RabbitMQ: scripts/with-broker"]
async fn a_message_that_the_broker_refuses_is_found_among_many_and_stops_no_other() {
    let world = World::new().await;
    // This user may not publish on xivo under keys that begin with auth.tenants.forbidden.
    let mut bridge = world
        .bridge()
        .env("CTI_BRIDGE_AMQP_URL", world.url_of(NARROW, PASSWORD))
        .args(["--legacy-event", "auth_tenant_deleted", "--prefetch-count", "16"])
        .start()
        .await;
    let mut xivo = world.client.tap(&[("xivo", "auth.#")]).await;
    let uuid =
        |number: u32| if number % 20 == 10 { "forbidden".to_owned() } else { format!("tenant-{number}") };
    let count = 60;
    let mut confirms = Vec::new();
    for number in 0..count {
        let event = json!({"name": "auth_tenant_deleted", "data": {"uuid": uuid(number), "number": number}});
        let body = event.to_string().into_bytes();
        confirms.push(
            world.client.send("xivo-cti", "auth_tenant_deleted", Default::default(), &body).await.unwrap(),
        );
    }
    for confirm in confirms {
        confirm.await.unwrap();
    }
    // What was under way with it may come again, but nothing is missing and the order is kept.
    let mut first_times = Vec::new();
    while first_times.len() < 57 {
        let number = xivo.event().await["data"]["number"].as_u64().unwrap();
        if !first_times.contains(&number) {
            first_times.push(number);
        }
    }
    let expected: Vec<u64> = (0..u64::from(count)).filter(|number| number % 20 != 10).collect();
    assert_eq!(first_times, expected);
    let mut quarantine = world.client.tap_queue("cti-bridge.quarantine").await;
    for number in [10, 30, 50] {
        let refused = quarantine.next().await;
        let event = super::harness::json_of(&refused);
        assert_eq!(event["data"]["number"], number);
        let headers = refused.properties.headers().as_ref().unwrap();
        let header = |name: &str| super::harness::text(headers.inner().get(name).unwrap()).unwrap();
        assert_eq!(header("cti-bridge-reason"), "refused_by_broker");
        assert!(header("cti-bridge-detail").contains("access to topic"), "{}", header("cti-bridge-detail"));
    }
    let (_, to_modern) = bridge.stop().await;
    assert_eq!(to_modern["quarantined"], 3);
    assert_eq!(world.client.depth("cti-bridge.legacy").await, 0);
}
