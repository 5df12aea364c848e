//! Whether exchanges and queues are there, asked without making or changing anything.
//!
//! A passive declaration is answered for a name: type and arguments it neither tells nor looks at.

use std::collections::BTreeMap;

use lapin::options::{ExchangeDeclareOptions, QueueDeclareOptions};
use lapin::types::{FieldTable, ShortString};
use lapin::{Channel, Connection, ErrorKind, ExchangeKind};
use tokio::time::timeout;

use super::address::BrokerAddress;
use super::connect::{ConnectError, OPEN_TIMEOUT, connect};
use super::declare::{SetUpError, short};
use super::printable::printable;
use crate::core::doctor::{Presence, Presences};

/// Looks which of these exchanges and queues are there.
///
/// # Errors
/// When the broker cannot be reached, refuses the account, or does not answer.
pub async fn presences(
    address: &BrokerAddress,
    exchanges: &[String],
    queues: &[String],
) -> Result<Presences, ConnectError> {
    let connection = connect(address, "cti-bridge doctor").await?;
    let broker = address.to_string();
    let looking = async {
        let mut found =
            Presences { broker: broker.clone(), exchanges: BTreeMap::new(), queues: BTreeMap::new() };
        for name in exchanges {
            found.exchanges.insert(name.clone(), exchange(&connection, name).await?);
        }
        for name in queues {
            found.queues.insert(name.clone(), queue(&connection, name).await?);
        }
        // What is known is known, however the connection ends.
        let _ = connection.close(200, ShortString::default()).await;
        Ok(found)
    };
    match timeout(OPEN_TIMEOUT, looking).await {
        Ok(Ok(found)) => Ok(found),
        Ok(Err(source)) => Err(ConnectError::Failed { broker, source }),
        Err(_) => Err(ConnectError::TimedOut { broker }),
    }
}

async fn exchange(connection: &Connection, name: &str) -> Result<Presence, SetUpError> {
    let channel = connection.create_channel().await?;
    let name = short(name)?;
    let options = ExchangeDeclareOptions { passive: true, ..ExchangeDeclareOptions::default() };
    // The type is not looked at.
    let asked = channel.exchange_declare(name, ExchangeKind::Direct, options, FieldTable::default()).await;
    presence(&channel, asked.map(|()| None)).await
}

async fn queue(connection: &Connection, name: &str) -> Result<Presence, SetUpError> {
    let channel = connection.create_channel().await?;
    let name = short(name)?;
    let options = QueueDeclareOptions { passive: true, ..QueueDeclareOptions::default() };
    let asked = channel.queue_declare(name, options, FieldTable::default()).await;
    presence(&channel, asked.map(|queue| Some(u64::from(queue.consumer_count())))).await
}

/// A refusal closes the channel; nothing else does.
async fn presence(channel: &Channel, asked: lapin::Result<Option<u64>>) -> Result<Presence, SetUpError> {
    match asked {
        Ok(consumers) => {
            let _ = channel.close(200, ShortString::default()).await;
            Ok(Presence::There { consumers })
        }
        Err(error) => match SetUpError::from(error) {
            SetUpError::Missing { .. } => Ok(Presence::Missing),
            SetUpError::AccessRefused { text } => Ok(Presence::Refused(text)),
            // An exclusive queue of another connection is refused as locked.
            SetUpError::Broker(error) if matches!(error.kind(), ErrorKind::ProtocolError(_)) => {
                Ok(Presence::Refused(printable(&error)))
            }
            other => Err(other),
        },
    }
}
