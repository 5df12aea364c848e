//! What ends a session. Nothing here is repaired in place: a new session starts from what the broker knows.

use std::time::Duration;

use lapin::protocol::{AMQPError, AMQPErrorKind, AMQPHardError, AMQPSoftError};
use lapin::{Error, ErrorKind};

use super::declare::SetUpError;
use super::printable::printable;

/// Why a session ended.
#[derive(Debug, Clone, thiserror::Error)]
pub(super) enum Fault {
    /// The consumer reported an error.
    #[error("consuming failed: {}", words(_0))]
    Consume(Error),
    /// There is no consumer to be had.
    #[error("consuming failed: {_0}")]
    NotConsuming(SetUpError),
    /// The broker did not even answer.
    #[error("consuming failed: no answer within {} seconds", _0.as_secs())]
    Unanswered(Duration),
    /// The stream of deliveries ended by itself; so it is when somebody deletes the queue.
    #[error("the broker ended the consumer of `{queue}`: was the queue deleted?")]
    ConsumerEnded { queue: String },
    /// Messages wait in the queue and none of them comes.
    #[error("nothing comes from `{queue}`, though there is something in it")]
    Silent { queue: String },
    /// The broker did not even take a message of our own.
    #[error("publishing to the intake queue failed: {_0}")]
    Canary(SetUpError),
    /// A publication was not confirmed.
    #[error("publishing failed: {}", printable(_0))]
    Publish(Error),
    /// A message could not be put in quarantine.
    #[error("publishing to quarantine failed: {}", printable(_0))]
    Quarantine(Error),
    /// The broker confirmed a message to quarantine and no queue took it.
    #[error("the quarantine queue is gone")]
    QuarantineGone,
    /// The quarantine queue did not take a message.
    #[error("the broker refused a message to quarantine (basic.nack)")]
    Nacked,
    /// No confirm came in all this time, on a connection that was not blocked.
    #[error("no publisher confirm for {} seconds", _0.as_secs_f32())]
    Stalled(Duration),
    /// An ack could not be written.
    #[error("acknowledging failed: {}", printable(_0))]
    Ack(Error),
    /// An exchange or a queue that was there is not there any more, in the broker's words.
    #[error("gone from the broker: {_0}")]
    Gone(String),
    /// A connection or a channel reported an error by itself.
    #[error("{}", words(_0))]
    Lost(Error),
    /// A connection or a channel is closed and nobody said why.
    #[error("a connection or channel is closed")]
    Closed,
}

/// The error in words; the parser's own say nothing to a user.
fn words(error: &Error) -> String {
    match error.kind() {
        ErrorKind::ParsingError(_) => {
            "a message cannot be read: text outside its body is not UTF-8".to_owned()
        }
        _ => printable(error),
    }
}

impl Fault {
    /// Whether a message could not even be read: lapin takes no text that is not UTF-8 in a routing key, a
    /// property or the name of a header, and gives the connection up.
    pub(super) fn is_unreadable(&self) -> bool {
        self.lapin().is_some_and(|error| matches!(error.kind(), ErrorKind::ParsingError(_)))
    }

    /// Whether the headers of a message do not fit into the frames of the connection.
    pub(super) fn is_too_large(&self) -> bool {
        self.lapin().is_some_and(is_too_large)
    }

    const fn lapin(&self) -> Option<&Error> {
        match self {
            Self::Consume(error)
            | Self::Publish(error)
            | Self::Quarantine(error)
            | Self::Ack(error)
            | Self::Lost(error) => Some(error),
            _ => None,
        }
    }

    /// The broker's words if it closed a channel because of what was sent on it, so that sending the same
    /// again would end the same way. A missing exchange or permission is not the message's fault, unless the
    /// permission is one on routing keys.
    pub(super) fn refusal(&self) -> Option<String> {
        let (Self::Publish(error) | Self::Quarantine(error) | Self::Lost(error)) = self else {
            return None;
        };
        let ErrorKind::ProtocolError(error) = error.kind() else {
            return None;
        };
        let text = printable(error.get_message());
        match error.kind() {
            AMQPErrorKind::Soft(AMQPSoftError::NOTFOUND) => None,
            AMQPErrorKind::Soft(AMQPSoftError::ACCESSREFUSED) if !text.contains("access to topic") => None,
            AMQPErrorKind::Soft(_) => Some(text),
            AMQPErrorKind::Hard(_) => None,
        }
    }
}

/// What a publish ends with whose headers do not fit into the frames of the connection, without having been tried.
pub(super) fn too_large() -> Error {
    let text = "the headers are too large for the frames of this connection";
    ErrorKind::ProtocolError(AMQPError::new(AMQPHardError::FRAMEERROR.into(), text.into())).into()
}

/// The same of a message that came: RabbitMQ does not split headers, whatever was agreed upon.
fn is_too_large(error: &Error) -> bool {
    let ErrorKind::ProtocolError(error) = error.kind() else { return false };
    matches!(error.kind(), AMQPErrorKind::Hard(AMQPHardError::FRAMEERROR))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_the_message_is_to_blame_for_is_a_refusal() {
        let error = |kind: AMQPErrorKind, text: &str| {
            Error::from(ErrorKind::ProtocolError(AMQPError::new(kind, text.into())))
        };
        let soft = |kind: AMQPSoftError, text: &str| error(kind.into(), text);
        let too_long = "PRECONDITION_FAILED - invalid expiration '\u{7}'";
        assert_eq!(
            Fault::Publish(soft(AMQPSoftError::PRECONDITIONFAILED, too_long)).refusal().as_deref(),
            Some(r"PRECONDITION_FAILED - invalid expiration '\u{7}'")
        );
        let topic =
            "ACCESS_REFUSED - access to topic 'a' in exchange 'xivo' in vhost '/' refused for user 'u'";
        assert!(Fault::Publish(soft(AMQPSoftError::ACCESSREFUSED, topic)).refusal().is_some());
        let exchange = "ACCESS_REFUSED - access to exchange 'xivo' in vhost '/' refused for user 'u'";
        assert!(Fault::Publish(soft(AMQPSoftError::ACCESSREFUSED, exchange)).refusal().is_none());
        assert!(Fault::Publish(soft(AMQPSoftError::NOTFOUND, "")).refusal().is_none());
        assert!(Fault::Consume(soft(AMQPSoftError::PRECONDITIONFAILED, "")).refusal().is_none());
        assert!(Fault::Lost(error(AMQPHardError::CONNECTIONFORCED.into(), "")).refusal().is_none());
        assert!(Fault::Publish(ErrorKind::MissingHeartbeatError.into()).refusal().is_none());
        assert!(Fault::Nacked.refusal().is_none());
    }
}
