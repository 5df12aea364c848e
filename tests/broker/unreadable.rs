//! Messages that no client library of ours can even read: text that is not UTF-8 outside the body.

use std::io::{Read, Write};
use std::net::TcpStream;

use lapin::BasicProperties;
use lapin::types::AMQPValue;
use serde_json::{Value, json};

use super::harness::{World, eventually, table};

/// Just enough of AMQP 0-9-1 to publish what a library refuses to write.
struct Raw(TcpStream);

impl Raw {
    fn connect(vhost: &str) -> Self {
        let port: u16 = std::env::var("BROKER_PORT").unwrap().parse().unwrap();
        let mut raw = Self(TcpStream::connect(("127.0.0.1", port)).unwrap());
        raw.0.write_all(b"AMQP\0\0\x09\x01").unwrap();
        raw.answer();
        raw.method(0, (10, 11), &[&long(b""), &short(b"PLAIN"), &long(b"\0guest\0guest"), &short(b"en_US")]);
        raw.answer();
        raw.method(0, (10, 31), &[&2047_u16.to_be_bytes(), &131_072_u32.to_be_bytes(), &[0, 0]]);
        raw.method(0, (10, 40), &[&short(vhost.as_bytes()), &short(b""), &[0]]);
        raw.answer();
        raw.method(1, (20, 10), &[&short(b"")]);
        raw.answer();
        raw
    }

    fn publish(&mut self, key: &[u8], properties: &[u8], body: &[u8]) {
        self.method(1, (60, 40), &[&[0, 0], &short(b"xivo"), &short(key), &[0]]);
        let header = [&[0, 60, 0, 0], &(body.len() as u64).to_be_bytes()[..], properties].concat();
        self.frame(2, 1, &header);
        self.frame(3, 1, body);
    }

    /// Closes the channel, whose answer says that the broker has taken everything before.
    fn close(mut self) {
        self.method(1, (20, 40), &[&200_u16.to_be_bytes(), &short(b""), &[0; 4]]);
        let answer = self.answer();
        assert_eq!(answer[..4], [0, 20, 0, 41], "the broker closed the channel by itself");
    }

    fn method(&mut self, channel: u16, (class, method): (u16, u16), arguments: &[&[u8]]) {
        let head = [class.to_be_bytes(), method.to_be_bytes()].concat();
        self.frame(1, channel, &[&head, &arguments.concat()[..]].concat());
    }

    fn frame(&mut self, kind: u8, channel: u16, payload: &[u8]) {
        let size = (payload.len() as u32).to_be_bytes();
        let frame = [&[kind], &channel.to_be_bytes()[..], &size, payload, &[0xce]].concat();
        self.0.write_all(&frame).unwrap();
    }

    fn answer(&mut self) -> Vec<u8> {
        let mut head = [0; 7];
        self.0.read_exact(&mut head).unwrap();
        let size = u32::from_be_bytes(head[3..].try_into().unwrap()) as usize;
        let mut payload = vec![0; size + 1];
        self.0.read_exact(&mut payload).unwrap();
        payload
    }
}

fn short(text: &[u8]) -> Vec<u8> {
    [&[text.len() as u8], text].concat()
}

fn long(text: &[u8]) -> Vec<u8> {
    [&(text.len() as u32).to_be_bytes(), text].concat()
}

#[tokio::test]
#[ignore = "needs RabbitMQ: scripts/with-broker"]
async fn headers_nested_as_deep_as_a_frame_allows_do_not_end_the_bridge() {
    let world = World::new().await;
    let mut bridge = world.bridge().start().await;
    let process = bridge.id();
    let mut legacy = world.client.tap(&[("xivo-cti", "call_held")]).await;
    // Five bytes a level for arrays, seven for tables, whose values have names; a frame has 131,072.
    let nested = |kind: u8, levels: usize| {
        let mut value = Vec::new();
        for _ in 0..levels {
            let named = kind == b'F' && !value.is_empty();
            let content = if named { [&short(b"a")[..], &value].concat() } else { value };
            value = [&[kind][..], &long(&content)].concat();
        }
        let field = [&short(b"deep")[..], &value].concat();
        [&0x2000_u16.to_be_bytes()[..], &long(&field)].concat()
    };
    for properties in [nested(b'A', 26_000), nested(b'F', 18_000)] {
        let mut raw = Raw::connect(&world.vhost);
        raw.publish(b"calls", &properties, br#"{"name": "call_held", "data": {"call_id": "deep"}}"#);
        raw.close();
        assert_eq!(legacy.event().await["data"]["call_id"], "deep");
    }
    // To quarantine as well.
    let mut raw = Raw::connect(&world.vhost);
    raw.publish(b"calls", &nested(b'A', 20_000), b"not json");
    raw.close();
    eventually("the message in quarantine", async || {
        (world.client.depth("cti-bridge.quarantine").await == 1).then_some(())
    })
    .await;
    assert!(bridge.is_running());
    assert_eq!(bridge.id(), process);
}

#[tokio::test]
#[ignore = "needs RabbitMQ: scripts/with-broker"]
async fn what_no_client_can_read_is_put_away_by_the_broker_and_stops_no_other() {
    const NOT_UTF8: &[u8] = b"caf\xe9";
    let world = World::new().await;
    let mut bridge = world.bridge().start().await;
    let process = bridge.id();
    let mut legacy = world.client.tap(&[("xivo-cti", "call_held")]).await;
    let name_of_header = [&0x2000_u16.to_be_bytes()[..], &long(&[&short(NOT_UTF8)[..], b"t\x01"].concat())];
    let message_id = [&0x0080_u16.to_be_bytes()[..], &short(NOT_UTF8)];
    let hostile: [(&[u8], Vec<u8>); 3] = [
        (b"caf\xe9.created", vec![0, 0]),
        (b"calls", name_of_header.concat()),
        (b"calls", message_id.concat()),
    ];
    for (count, (key, properties)) in (1..).zip(hostile) {
        let mut raw = Raw::connect(&world.vhost);
        raw.publish(key, &properties, br#"{"name": "bad", "data": {}}"#);
        raw.close();
        let good = json!({"name": "call_held", "data": {"call_id": format!("{count}")}});
        world.client.publish("xivo", "calls.hold.created", good.to_string()).await;
        assert_eq!(legacy.event().await, good);
        eventually("the unreadable message in quarantine", async || {
            (world.client.depth("cti-bridge.quarantine").await == count).then_some(())
        })
        .await;
    }
    assert!(bridge.is_running());
    assert_eq!(bridge.id(), process);
}

#[tokio::test]
#[ignore = "needs RabbitMQ: scripts/with-broker"]
async fn what_stops_a_classic_queue_for_ever_leaves_the_other_direction_alone() {
    let world = World::new().await;
    let mut bridge = world.bridge().args(["--queue-type", "classic"]).start().await;
    let mut modern = world.client.tap(&[("xivo", "call_form_result")]).await;
    let mut raw = Raw::connect(&world.vhost);
    raw.publish(b"caf\xe9.created", &[0, 0], br#"{"name": "bad", "data": {}}"#);
    raw.close();
    for number in 0..5 {
        let event = json!({"name": "call_form_result", "data": {"number": number}});
        world.client.publish_legacy(&event).await;
        assert_eq!(modern.event().await["data"], event["data"]);
        // Once more the one direction begins in vain.
        let sessions = bridge.said("session ended").len();
        eventually("it tries again", async || (bridge.said("session ended").len() > sessions).then_some(()))
            .await;
    }
    let sessions = |counts: &Value| counts["sessions"].as_u64().unwrap();
    let (to_legacy, to_modern) = bridge.stop().await;
    assert!(sessions(&to_legacy) > 4 && sessions(&to_modern) <= 2, "{to_legacy} {to_modern}");
}

#[tokio::test]
#[ignore = "needs RabbitMQ: scripts/with-broker"]
async fn headers_that_nearly_fill_a_frame_go_to_quarantine_whole_and_end_one_session_at_most() {
    let held = json!({"name": "call_held", "data": {"call_id": "1"}});
    // The second comes in a small frame and does not go out in one; where the first does not even come in one.
    let cases: [(&[usize], u64); 3] =
        [(&[4_000, 2_000], 1), (&[4_000, 7_000, 100_000, 40_000], 2), (&[100_000, 40_000, 4_000], 2)];
    for (lengths, sessions) in cases {
        let world = World::new().await;
        let mut bridge = world.bridge().start().await;
        let mut legacy = world.client.tap(&[("xivo-cti", "call_held")]).await;
        let mut quarantine = world.client.tap_queue("cti-bridge.quarantine").await;
        for &length in lengths {
            let headers = table([("h", AMQPValue::LongString("x".repeat(length).into()))]);
            let properties = BasicProperties::default().with_headers(headers.clone());
            world.client.publish_with("xivo", "calls", properties.clone(), b"not json").await;
            // An event with as much goes on without it.
            world.client.publish_with("xivo", "calls", properties, held.to_string().as_bytes()).await;
            assert_eq!(legacy.event().await, held);
            let refused = quarantine.next().await;
            let kept = refused.properties.headers().as_ref().unwrap().inner().get("cti-bridge-headers");
            let kept = kept.and_then(AMQPValue::as_field_table).and_then(|kept| kept.inner().get("h"));
            assert!(kept == headers.inner().get("h"), "{length}");
        }
        let (to_legacy, to_modern) = bridge.stop().await;
        let counted = (&to_legacy["sessions"], &to_legacy["quarantined"]);
        assert_eq!(counted, (&json!(sessions), &json!(lengths.len())));
        assert_eq!(to_modern["sessions"], 1);
    }
}
