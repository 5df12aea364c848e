//! One stream of modern events over several instances of a bridge: a consistent-hash exchange of the broker gives each its
//! part, and what has the same routing key, or the same value of a header, stays in one part and in order.

/// So many parts at most. Bindings of more parts than there are now are looked for up to here.
pub const MOST_PARTS: u8 = 16;

/// How the stream is split.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Split {
    /// How many parts; one is the whole.
    pub into: u8,
    /// What keeps events together.
    pub by: SplitBy,
    /// Which part this instance takes. Who only looks need not say, and is told of the first.
    pub part: Option<u8>,
}

/// What keeps events together, and so in order.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum SplitBy {
    /// Their routing key.
    RoutingKey,
    /// The value of a header. Those without it stay together too.
    Header(String),
}

impl Default for Split {
    fn default() -> Self {
        Self { into: 1, by: SplitBy::RoutingKey, part: None }
    }
}

impl Split {
    /// Whether there is more than one part.
    #[must_use]
    pub const fn is_on(&self) -> bool {
        self.into > 1
    }

    /// The queue of a part. The first one has the name of that of the whole, so that what waits there stays in use when
    /// the stream is split or put together again.
    pub(super) fn queue(whole: &str, part: u8) -> String {
        if part == 1 { whole.to_owned() } else { format!("{whole}.{part}") }
    }
}
