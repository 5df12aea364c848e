//! One connection to a broker, for whatever works beside the daemon: it is opened, used and closed.

use std::time::Duration;

use lapin::types::ShortString;
use lapin::{Connection, ConnectionProperties};
use tokio::time::timeout;

use super::address::BrokerAddress;
use super::declare::SetUpError;
use super::tls::opening_failed;
use super::turns::Turns;

/// How long to wait for the answer to a good-bye.
const CLOSE_TIMEOUT: Duration = Duration::from_secs(2);

/// The time for TCP, TLS and login. A port where something else listens never answers.
pub(super) const OPEN_TIMEOUT: Duration = Duration::from_secs(10);

/// What a login without a password needs on the other side.
const EXTERNAL_NEEDS: &str = "no password is given, so the client certificate is the login: RabbitMQ needs the plugin \
    `rabbitmq_auth_mechanism_ssl`, `EXTERNAL` among its `auth_mechanisms`, `ssl_options.verify = verify_peer`, and a \
    user of the certificate's name (see `ssl_cert_login_from`)";

/// RabbitMQ's own, where nobody has configured others.
const USUAL_FRAME_BYTES: u32 = 128 * 1024;

/// The largest that are taken where the broker has others: headers of half of that nobody has seen.
const LARGEST_FRAME_BYTES: u32 = 1024 * 1024;

/// Enough for all but very few messages, and the least that RabbitMQ lets in (release notes of 4.1.0).
pub(super) const SMALL_FRAME_BYTES: u16 = 8 * 1024;

/// How large the frames of a connection may be.
///
/// lapin keeps room for 32 of them for each way, all of which it comes to use as time goes by: 8 MiB with RabbitMQ's
/// 128 KiB. A body is split over frames. The headers of a message must fit into one, and lapin gives the connection up
/// over a larger one, which RabbitMQ sends all the same.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Frames {
    /// As large as the broker allows.
    Whole,
    /// A sixteenth of what is usual.
    Small,
}

/// Why there is no connection.
#[derive(Debug, Clone, thiserror::Error)]
pub enum ConnectError {
    /// The broker is not there, or does not let us in.
    #[error("cannot connect to {broker}: {source}")]
    Failed {
        /// The broker, without a password.
        broker: String,
        /// Why.
        source: SetUpError,
    },
    /// Nothing answered in time.
    #[error("cannot connect to {broker}: no answer within {} seconds", OPEN_TIMEOUT.as_secs())]
    TimedOut {
        /// The broker, without a password.
        broker: String,
    },
}

impl ConnectError {
    /// Whether the broker is there and refuses the account.
    #[must_use]
    pub const fn is_refusal(&self) -> bool {
        matches!(self, Self::Failed { source: SetUpError::AccessRefused { .. }, .. })
    }

    /// Whether the text says already what to do: as with TLS.
    #[must_use]
    pub const fn has_advice(&self) -> bool {
        matches!(self, Self::Failed { source: SetUpError::Tls(_), .. })
    }
}

/// Opens a connection that tells the broker its name, to the first node of a cluster that lets us in. lapin's own
/// recovery stays off: it hides the loss of a connection.
///
/// # Errors
/// When the broker cannot be reached, does not answer within ten seconds, or refuses the account.
pub async fn connect(address: &BrokerAddress, name: &str) -> Result<Connection, ConnectError> {
    let mut turn = 0;
    loop {
        let node = address.node(turn);
        let broker = node.to_string();
        let failed = match timeout(OPEN_TIMEOUT, open(&node, name, Frames::Whole, &Turns::default())).await {
            Ok(Ok(connection)) => return Ok(connection),
            Ok(Err(source)) => ConnectError::Failed { broker, source },
            Err(_) => ConnectError::TimedOut { broker },
        };
        turn += 1;
        if turn > address.others.len() || failed.is_refusal() {
            return Err(failed);
        }
    }
}

/// Says good-bye, and waits for the broker's answer only so long: one that is stuck does not answer.
pub(super) async fn close(connection: &Connection) {
    let _ = timeout(CLOSE_TIMEOUT, connection.close(200, "bye".into())).await;
}

/// The same to one node and without a limit in time, for who has one.
pub(super) async fn open(
    address: &BrokerAddress,
    name: &str,
    frames: Frames,
    turns: &Turns,
) -> Result<Connection, SetUpError> {
    let properties = ConnectionProperties::default()
        .with_connection_name(name.into())
        .with_client_property(ShortString::from("product"), env!("CARGO_PKG_NAME").into())
        .with_client_property(ShortString::from("version"), env!("CARGO_PKG_VERSION").into());
    let runtime = turns.runtime();
    let certificates = &address.certificates;
    let connect = |frame_max| {
        let mut uri = address.to_uri(OPEN_TIMEOUT);
        uri.query.frame_max = Some(frame_max);
        let (properties, runtime) = (properties.clone(), runtime.clone());
        Connection::connect_uri_with_config(uri, properties, certificates.to_lapin(), runtime)
    };
    let opened = match frames {
        Frames::Small => connect(SMALL_FRAME_BYTES.into()).await,
        // lapin writes on all of its room where the size of a frame is not known before. So the usual one is asked for,
        // and one byte more, which nobody gets but from a broker that has larger ones.
        Frames::Whole => match connect(USUAL_FRAME_BYTES + 1).await {
            Ok(connection) if connection.configuration().frame_max() > USUAL_FRAME_BYTES => {
                close(&connection).await;
                connect(LARGEST_FRAME_BYTES).await
            }
            opened => opened,
        },
    };
    opened.map_err(|error| match opening_failed(error, address.tls, certificates.client.is_some()) {
        SetUpError::AccessRefused { text } if address.is_external() => {
            SetUpError::AccessRefused { text: format!("{text}; {EXTERNAL_NEEDS}") }
        }
        failed => failed,
    })
}
