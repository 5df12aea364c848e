//! RabbitMQ's management API, for reading: what is on a broker, and who is connected to it.

mod address;
mod client;

pub use address::{ManagementAddress, ManagementAddressError};
pub use client::{Client, ManagementError};
