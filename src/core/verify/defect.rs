//! What can be wrong with a bridge on a live broker, each with the sentence that names it.

use std::fmt;

/// Something that is not as it should be.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Defect {
    /// An exchange is not there.
    ExchangeMissing {
        /// Which.
        exchange: String,
    },
    /// An exchange is there, declared otherwise.
    WrongExchange {
        /// Which, and what differs, in a sentence.
        difference: String,
    },
    /// A queue of the bridge is not there.
    QueueMissing {
        /// Which.
        queue: String,
    },
    /// Nobody consumes from an intake queue.
    BridgeDown {
        /// Which.
        queue: String,
        /// How many messages wait in it.
        waiting: u32,
    },
    /// Somebody consumes and nobody answers.
    NoAnswer {
        /// The intake queue.
        queue: String,
        /// How many messages wait in it.
        waiting: u32,
    },
    /// Somebody else takes what is the bridge's.
    ForeignConsumer {
        /// The intake queue.
        queue: String,
        /// Who, as far as it is known.
        who: String,
    },
    /// Some probes are never answered, though later ones are.
    Lost {
        /// The intake queue they were put into.
        queue: String,
        /// How many.
        lost: usize,
        /// Of how many.
        of: usize,
    },
    /// A binding is not there.
    BindingMissing {
        /// The exchange.
        source: String,
        /// The binding key.
        key: String,
        /// The queue or exchange it leads to, with the word for it.
        destination: String,
    },
    /// The bridge answers, and over this exchange no answer comes.
    NoWayOut {
        /// The exchange.
        exchange: String,
    },
    /// Two bridges answer the same question.
    SecondBridge {
        /// Their ids, each once.
        bridges: Vec<String>,
    },
    /// One bridge that does not share its queue with another answers twice.
    Twice {
        /// Its id.
        bridge: String,
    },
    /// Answers came in another order than the questions.
    OutOfOrder {
        /// The question that was answered too late, by its event.
        event: String,
    },
    /// What the bridge makes of an event is not what its rules say.
    Different {
        /// The first difference, in a sentence.
        difference: String,
    },
    /// Another bridge than the configured one answers.
    OtherBridge {
        /// The setting that differs.
        setting: &'static str,
        /// What the bridge says.
        found: String,
        /// What the configuration says.
        configured: String,
    },
}

impl Defect {
    /// The stable code.
    #[must_use]
    pub const fn code(&self) -> &'static str {
        match self {
            Self::ExchangeMissing { .. } => "exchange_missing",
            Self::WrongExchange { .. } => "wrong_exchange",
            Self::QueueMissing { .. } => "queue_missing",
            Self::BridgeDown { .. } => "bridge_down",
            Self::NoAnswer { .. } => "no_answer",
            Self::ForeignConsumer { .. } => "foreign_consumer",
            Self::Lost { .. } => "lost",
            Self::BindingMissing { .. } => "binding_missing",
            Self::NoWayOut { .. } => "no_way_out",
            Self::SecondBridge { .. } => "second_bridge",
            Self::Twice { .. } => "twice",
            Self::OutOfOrder { .. } => "out_of_order",
            Self::Different { .. } => "different",
            Self::OtherBridge { .. } => "other_bridge",
        }
    }

    /// Whether nothing is known but that the bridge was waited for in vain.
    #[must_use]
    pub const fn is_silence(&self) -> bool {
        matches!(self, Self::QueueMissing { .. } | Self::BridgeDown { .. } | Self::NoAnswer { .. })
    }

    /// What to do about it.
    #[must_use]
    pub const fn help(&self) -> &'static str {
        match self {
            Self::ExchangeMissing { .. } | Self::BindingMissing { .. } | Self::NoWayOut { .. } => {
                "start the bridge anew: it declares and binds all that it needs; then find out who took it away"
            }
            Self::WrongExchange { .. } => {
                "the bridge never changes what it did not make: delete the exchange if nothing needs it as it is, and \
                 start the bridge anew"
            }
            Self::QueueMissing { .. } | Self::BridgeDown { .. } => {
                "start it: `cti-bridge run`; its log says why it ended"
            }
            Self::NoAnswer { .. } => {
                "it is a foreign consumer, an old bridge, one with `probes: false`, or one that hangs: `rabbitmqctl \
                 list_consumers` shows who it is, and with its output or `--management-url` this command does"
            }
            Self::ForeignConsumer { .. } | Self::Lost { .. } => {
                "nobody but the bridge may read from its queues: stop the other consumer; `rabbitmqctl list_consumers` \
                 shows it"
            }
            Self::SecondBridge { .. } | Self::Twice { .. } => {
                "stop one of them: every event comes twice; two instances of one bridge need the same `queue_prefix`"
            }
            Self::OutOfOrder { .. } => "report this as a bug, with the log of the bridge",
            Self::Different { .. } => {
                "the running bridge has other mapping files, settings or another version than this command: start it \
                 anew with these, or name its own with `--mappings` and `--config`"
            }
            Self::OtherBridge { .. } => {
                "this command reads another configuration than the running bridge: name its own with `--config`"
            }
        }
    }
}

impl fmt::Display for Defect {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::ExchangeMissing { exchange } => write!(f, "the exchange `{exchange}` is missing"),
            Self::WrongExchange { difference } | Self::Different { difference } => f.write_str(difference),
            Self::QueueMissing { queue } => {
                write!(f, "the bridge is down: there is no queue `{queue}`, so it never ran here")
            }
            Self::BridgeDown { queue, waiting } => {
                write!(
                    f,
                    "the bridge is down: nobody consumes from `{queue}`, and {waiting} messages wait there"
                )
            }
            Self::NoAnswer { queue, waiting } => write!(
                f,
                "no answer: whoever consumes from `{queue}` answers no probe, and {waiting} messages wait there"
            ),
            Self::ForeignConsumer { queue, who } => {
                write!(f, "a foreign consumer takes messages of the bridge from `{queue}`: {who}")
            }
            Self::Lost { queue, lost, of } => {
                write!(
                    f,
                    "{lost} of {of} probes got lost from `{queue}`: another consumer takes messages there"
                )
            }
            Self::BindingMissing { source, key, destination } => {
                write!(f, "the binding from `{source}` with the key `{key}` to the {destination} is missing")
            }
            Self::NoWayOut { exchange } => {
                write!(f, "the bridge answers, and nothing comes over the exchange `{exchange}`")
            }
            Self::SecondBridge { bridges } => {
                write!(f, "a second bridge doubles every event: {} answer the same probe", listed(bridges))
            }
            Self::Twice { bridge } => write!(
                f,
                "every event comes twice from `{bridge}`: two bridges of the same id run with queues of their own"
            ),
            Self::OutOfOrder { event } => write!(f, "`{event}` was answered after what was sent later"),
            Self::OtherBridge { setting, found, configured } => {
                write!(f, "the running bridge has the {setting} `{found}`, and `{configured}` is configured")
            }
        }
    }
}

fn listed(ids: &[String]) -> String {
    let ids: Vec<String> = ids.iter().map(|id| format!("`{id}`")).collect();
    ids.join(" and ")
}
