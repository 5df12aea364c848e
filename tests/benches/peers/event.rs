//! The events of the load: kinds that are documented for 19.05, in the sizes that they have there.

use std::time::{SystemTime, UNIX_EPOCH};

use super::Direction;

struct Kind {
    name: &'static str,
    key: &'static str,
    acl: &'static str,
    /// More fields of `data`.
    fields: &'static str,
}

const CALL: &str = r#", "call_id": "1455123422.8", "bridges": ["bridge-id-1", "bridge-id-2"], "caller_id_name": "Some One", "caller_id_number": "1001", "peer_caller_id_name": "Zo\u00e9 Other", "peer_caller_id_number": "1002", "creation_time": "2016-02-10T11:59:42.112-0500", "answer_time": null, "hangup_time": null, "status": "Ring", "on_hold": false, "muted": false, "parked": false, "record_state": "inactive", "talking_to": {"1455123422.9": "1d9e8f13-6f4b-4f0f-b0a9-3f5f5c0b3e55"}, "is_caller": true, "is_video": false, "dialed_extension": "1002", "line_id": 42, "sip_call_id": "ASd9gfd8g7-dfgdfg@10.37.0.2", "direction": "internal", "variables": {"XIVO_CALLORIGIN": "intern", "XIVO_DSTNUM": "1002", "WAZO_TENANT": "54eb71f8-1f4b-4ae4-8730-638062fbe521"}"#;

const KINDS: [Kind; 4] = [
    Kind { name: "call_created", key: "calls.call.created", acl: "events.calls.{}", fields: CALL },
    Kind { name: "call_updated", key: "calls.call.updated", acl: "events.calls.{}", fields: CALL },
    Kind {
        name: "users_services_dnd_updated",
        key: "config.users.{}.services.dnd.updated",
        acl: "events.config.users.{}.services.dnd.updated",
        fields: r#", "user_id": 42, "enabled": true"#,
    },
    Kind { name: "call_ended", key: "calls.call.ended", acl: "events.calls.{}", fields: CALL },
];

const USERS: [&str; 4] = [
    "2e752722-0864-4665-887d-a78a024cf7c7",
    "54eb71f8-1f4b-4ae4-8730-638062fbe521",
    "9a2c1ad4-1d6f-4f4b-8b8f-0a1f6e6f5d11",
    "c3d0a5c6-60d5-4c43-9f4b-6b2c8f0f7a22",
];

pub const ORIGIN_UUID: &str = "ca7f87e9-c2c8-5fad-ba1b-c3140ebb9be3";

/// The names of all kinds.
pub fn names() -> impl Iterator<Item = &'static str> {
    KINDS.iter().map(|kind| kind.name)
}

/// The routing key and the ACL of the modern event of this kind and user.
pub fn addressed(name: &str, user: &str) -> [String; 2] {
    let kind = KINDS.iter().find(|kind| kind.name == name).expect("a kind of event that is sent");
    [kind.key, kind.acl].map(|template| template.replace("{}", user))
}

/// The routing key and the body of the event with this number, meant to be sent at this time.
pub fn event(direction: Direction, number: u64, sent: u64) -> (String, Vec<u8>) {
    let index = usize::try_from(number).unwrap();
    let kind = &KINDS[index % KINDS.len()];
    let user = USERS[(index / KINDS.len()) % USERS.len()];
    let data = format!(
        r#"{{"number": {number}, "sent": {sent}, "user_uuid": "{user}"{fields}}}"#,
        fields = kind.fields
    );
    let name = kind.name;
    match direction {
        Direction::ToLegacy => {
            let [key, acl] = addressed(name, user);
            let body = format!(
                r#"{{"name": "{name}", "origin_uuid": "{ORIGIN_UUID}", "required_acl": "{acl}", "data": {data}}}"#
            );
            (key, body.into_bytes())
        }
        Direction::ToModern => {
            (name.to_owned(), format!(r#"{{"name": "{name}", "data": {data}}}"#).into_bytes())
        }
    }
}

/// Nanoseconds of the machine's clock, which is the same for all programs.
pub fn now() -> u64 {
    u64::try_from(SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_nanos()).unwrap()
}
