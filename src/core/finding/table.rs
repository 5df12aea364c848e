//! The table of findings: one line for each kind, in the order of the kinds, which is the order of the ids.

use super::{Explanation, Kind, Severity};

pub(super) static EXPLANATIONS: [Explanation; 25] = [
    Explanation {
        kind: Kind::ExchangeMissing,
        id: "CTI0001",
        severity: Severity::Error,
        title: "the exchange will be missing",
        text: "The queue is bound to an exchange that the target version does not have, and the bridge does not bring it \
               back, because no event that the bridge knows was ever published there. A client that binds without \
               declaring gets 404 NOT_FOUND and its channel is closed; one that declares it waits for ever.",
        example: "a queue bound to the fanout exchange `xivo` of 14.24, or to `wazo-websocketd`, which went in 22.13",
        advice: "find out what the client wants to know, and bind it to the exchange where that is published now",
    },
    Explanation {
        kind: Kind::Deleted,
        id: "CTI0002",
        severity: Severity::Error,
        title: "the event is deleted",
        text: "The target version has no such event and nothing that it could be made of. The client keeps its queue and \
               its connection and never gets anything again: nothing in its log will tell.",
        example: "`chat_message_event` on a platform of 19.05 or newer (Message Bus changelog, 19.05)",
        advice: "the client has to be written anew against what took the event's place, or be switched off",
    },
    Explanation {
        kind: Kind::Replaced,
        id: "CTI0003",
        severity: Severity::Warning,
        title: "the event is replaced, and made of its successor by the bridge",
        text: "The target version deleted the event and sends another one in its place. The bridge makes the old event of \
               the new one as far as that can be done honestly; what is lost on the way is told with the finding.",
        example: "`user_status_update` after 19.05, made of `chatd_presence_updated`: no `user_id`, four states",
        advice: "run the bridge, and look whether the client can do without what is lost",
    },
    Explanation {
        kind: Kind::Changed,
        id: "CTI0004",
        severity: Severity::Warning,
        title: "the event changes",
        text: "The event is still there, but its name, its routing key or its fields are not those that the client was \
               written for.",
        example: "`user_status_update` names the user by `user_uuid` instead of `user_id` since 16.09 (16.08, say the documents)",
        advice: "look whether the client reads what changes",
    },
    Explanation {
        kind: Kind::NeverSent,
        id: "CTI0005",
        severity: Severity::Error,
        title: "the event is documented, and nobody publishes it",
        text: "The documents of the target version have the event, but nothing of the platform publishes it. A client that \
               waits for it waits for ever, unless a program of the site itself publishes it.",
        example: "`call_form_result` since 19.04, when the CTI server went that published it",
        advice: "ask who is to send the event; if it is a program of the site, the bridge passes it on",
    },
    Explanation {
        kind: Kind::DocumentedKey,
        id: "CTI0006",
        severity: Severity::Error,
        title: "the key is in the documents, and another one is on the wire",
        text: "The binding has the routing key that the documents give, but the platform publishes the event under another. \
               The client has never got anything, or will get nothing any more.",
        example: "`calls.relocate.initiated` is documented; `calls.relocate.created` is what wazo-calld publishes",
        advice: "bind the key that is on the wire, beside the documented one",
    },
    Explanation {
        kind: Kind::ServedByBridge,
        id: "CTI0007",
        severity: Severity::Note,
        title: "served by the bridge",
        text: "The upgrade to 15.01 deletes the legacy exchanges. The bridge declares them again and publishes there, so that \
               the client gets the same events under the same keys, unchanged. It works as long as the bridge runs.",
        example: "a queue bound to `xivo-cti` with the key `call_created`",
        advice: "run `cti-bridge run` beside the broker, and start it before the client",
    },
    Explanation {
        kind: Kind::NativeBinding,
        id: "CTI0008",
        severity: Severity::Note,
        title: "a native binding is enough",
        text: "The event has the same name, the same key and the same fields on the modern exchange. A binding from that \
               exchange to the legacy one brings it to the client, with more keys in the body and with properties and \
               headers, which most clients do not look at. The legacy exchange has to be declared again all the same.",
        example: "an exchange-to-exchange binding `xivo` → `xivo-status-updates` with the key `status.agent`",
        advice: "`cti-bridge plan --native` plans the binding; with the bridge running it is not needed",
    },
    Explanation {
        kind: Kind::UnknownEvent,
        id: "CTI0009",
        severity: Severity::Warning,
        title: "the binding matches no known event",
        text: "No event of the catalog, in any version, is published with a key that this binding matches. Either the key is \
               misspelt, or the event is one that was never documented: the catalog has the documented events and \
               those on the legacy exchanges. `cti-bridge rules list` shows them.",
        example: "`xivo-cti` with the key `call_form_results`",
        advice: "compare the key with the documents; where it is right, give the bridge a rule for the event",
    },
    Explanation {
        kind: Kind::PatternTooShort,
        id: "CTI0010",
        severity: Severity::Error,
        title: "the pattern has too few words",
        text: "In a topic pattern `*` stands for exactly one word. The keys that the client is after have more words than the \
               pattern, so that it matches none of them. The documented example client has this mistake: it binds \
               `calls.*`, and the keys are `calls.call.created` and the like (Message Bus documentation, 19.05).",
        example: "`calls.*` on `xivo`",
        advice: "bind `calls.#`, or the exact key",
    },
    Explanation {
        kind: Kind::OldAmiKey,
        id: "CTI0011",
        severity: Severity::Error,
        title: "an AMI event under its old key",
        text: "On `xivo-ami`, up to 14.24, the key of an AMI event was its name. On `xivo`, since 15.01, it is the name behind \
               `ami.`. The documents still give the old key for the example.",
        example: "`QueueMemberStatus` on `xivo`",
        advice: "bind `ami.QueueMemberStatus`, or bind the old key on `xivo-ami`, which the bridge serves",
    },
    Explanation {
        kind: Kind::NameAsKey,
        id: "CTI0012",
        severity: Severity::Error,
        title: "the event's name where its routing key should be",
        text: "On `xivo-cti` the binding key is the name of the event. On `xivo` each event has a dotted routing key, and the \
               name is only in the body. A binding with the name matches nothing there. This is what happens to a script \
               in which nothing but the name of the exchange was changed (XiVO Message Bus documentation, 15.01).",
        example: "`call_created` on `xivo`, where the key is `calls.call.created`",
        advice: "bind the routing key, or bind the name on `xivo-cti`, which the bridge serves",
    },
    Explanation {
        kind: Kind::LosesSome,
        id: "CTI0013",
        severity: Severity::Warning,
        title: "the pattern loses some of its events",
        text: "The binding is a pattern that matches several events. It still gets some, and others end or change with the \
               upgrade. Whether the client cares for those is not visible from outside.",
        example: "`status.*` after 19.05: agents are still told, users and lines are not",
        advice: "look whether the client reads the events that end",
    },
    Explanation {
        kind: Kind::SilentExchange,
        id: "CTI0014",
        severity: Severity::Error,
        title: "the exchange is there, and nearly nothing is published on it",
        text: "Since 23.01 the platform publishes on the headers exchange `wazo-headers`. `xivo` is still there, so that \
               nothing fails, but only the events of wazo-auth come by (Wazo upgrade notes, 23.01; wazo-auth@wazo-26.05).",
        example: "a queue bound to `xivo` with `calls.#` on a platform of 23.01 or newer",
        advice: "bind the queue to `wazo-headers` by the header `name`, or bind `wazo-headers` to `xivo`: the routing keys are \
                 still set",
    },
    Explanation {
        kind: Kind::WildcardOnDirect,
        id: "CTI0015",
        severity: Severity::Error,
        title: "a pattern on an exchange that knows none",
        text: "A direct exchange compares the whole key. `*` and `#` are characters like others there, so that the binding \
               matches no event.",
        example: "`call_*` or `#` on `xivo-cti`",
        advice: "bind each name by itself",
    },
    Explanation {
        kind: Kind::NotYet,
        id: "CTI0016",
        severity: Severity::Warning,
        title: "the event comes with a later version",
        text: "The event exists, but not yet in the target version.",
        example: "`conferences.#` on a platform of 18.04; the first of these events came in 19.02",
        advice: "nothing to do until the platform has it; or choose a newer `--to`",
    },
    Explanation {
        kind: Kind::CallForm,
        id: "CTI0017",
        severity: Severity::Error,
        title: "a call that newer versions of the library do not know",
        text: "The program calls its client library in a way that a newer version of it refuses: it runs as long as the old \
               library is installed, and an upgrade of the system ends it. The documented client of 2013 is written for \
               pika before 1.0: `basic_consume(callback, queue=…)` raises TypeError from 1.0 on.",
        example: "channel.basic_consume(callback, queue=queue_name)",
        advice: "keep the old library, or write the call in the new form: \
                 `basic_consume(queue=…, on_message_callback=…)`",
    },
    Explanation {
        kind: Kind::RefusedDeclaration,
        id: "CTI0018",
        severity: Severity::Error,
        title: "a declaration that the broker refuses",
        text: "The program declares an exchange of the bus otherwise than it is. All of them are durable and none is \
               auto-delete; pika declares an exchange as not durable unless told otherwise. RabbitMQ answers 406 \
               PRECONDITION_FAILED and closes the channel. Where the client comes first, it is the bridge or the \
               platform that is refused.",
        example: "channel.exchange_declare(exchange='xivo-cti', exchange_type='direct')",
        advice: "add `durable=True`, or declare with `passive=True`, or not at all",
    },
    Explanation {
        kind: Kind::TransientQueue,
        id: "CTI0019",
        severity: Severity::Warning,
        title: "a named queue that is neither durable nor exclusive",
        text: "Such a queue is gone when the broker restarts, with its bindings and all that was in it, and the client may not \
               notice. RabbitMQ deprecates them: 4.3 refuses to declare one unless that is permitted again.",
        example: "channel.queue_declare(queue='myscript')",
        advice: "declare it durable, or exclusive and without a name",
    },
    Explanation {
        kind: Kind::LeftoverQueue,
        id: "CTI0020",
        severity: Severity::Warning,
        title: "a queue that a client left behind",
        text: "A durable queue named by the broker, which no other client can know, without a consumer. The documented kombu \
               client declares its queue durable and neither exclusive nor auto-delete: every run of it leaves one \
               behind, which keeps its bindings and fills up until the disk is full (Message Bus documentation, 19.05).",
        example: "amq.gen-JzTY20BRgKO-HjmUJj0wLg, durable, no consumer, 48,211 messages",
        advice: "delete the queue; give the client a queue that is exclusive or auto-delete",
    },
    Explanation {
        kind: Kind::GuestFromElsewhere,
        id: "CTI0021",
        severity: Severity::Warning,
        title: "the account `guest` from another machine",
        text: "RabbitMQ lets `guest` in from its own machine only, since 3.3. Here it comes from elsewhere: somebody switched \
               that off (`loopback_users`), and everybody who reaches the port can read and write the bus.",
        example: "guest from 192.0.2.17",
        advice: "make an account for the client, and let `guest` in from loopback only",
    },
    Explanation {
        kind: Kind::BindsWithoutDeclaring,
        id: "CTI0022",
        severity: Severity::Note,
        title: "the client binds without declaring",
        text: "The documented client of 2013 binds its queue to an exchange that it does not declare. Where the exchange is \
               not there yet, the broker answers 404 NOT_FOUND and the client ends.",
        example: "channel.queue_bind(exchange='xivo-cti', queue=queue_name, routing_key='call_form_result')",
        advice: "start the bridge first: it declares the exchange (`After=cti-bridge.service`)",
    },
    Explanation {
        kind: Kind::ContentType,
        id: "CTI0023",
        severity: Severity::Warning,
        title: "the client gets objects where it got texts",
        text: "Since 16.02 messages on `xivo` have the content type application/json. A kombu client gets a decoded object \
               instead of a text, so that `json.loads` of it raises TypeError (XiVO upgrade notes, 16.02). Messages that the \
               bridge publishes on legacy exchanges have no content type, as of old.",
        example: "def on_message(self, body, message): event = json.loads(body)",
        advice: "let the client take an object as it is: `event = body if isinstance(body, dict) else json.loads(body)`",
    },
    Explanation {
        kind: Kind::NobodyReads,
        id: "CTI0024",
        severity: Severity::Note,
        title: "a queue that nobody reads",
        text: "The queue has a name that a client can come back to, and no consumer. While the client is away the queue fills \
               up; whether the client is away or gone is not visible from outside.",
        example: "xivo-call-logd-queue, no consumer, 1,024 messages",
        advice: "find out whose it is, and delete it where the client is gone",
    },
    Explanation {
        kind: Kind::PublishesInVain,
        id: "CTI0025",
        severity: Severity::Warning,
        title: "the program publishes what nobody translates",
        text: "The program publishes on a legacy exchange, and the bridge does not listen for this event by default, or the \
               target version no longer has it. A direct exchange has no wildcards: the bridge hears what it is bound to.",
        example: "channel.basic_publish(exchange='xivo-cti', routing_key='call_created', body=…)",
        advice: "name the event with `--legacy-event`, where the target version has it",
    },
];
