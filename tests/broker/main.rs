//! The bridge as users run it, beside a real RabbitMQ: `scripts/with-broker --plugins
//! rabbitmq_management,rabbitmq_consistent_hash_exchange cargo test --test broker -- --ignored --skip cluster:: --skip
//! two_brokers::`.
//!
//! Every test has a vhost of its own. Nothing sleeps for luck: all waiting is for a condition, with an upper limit.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod account;
mod alarm;
mod audit;
mod care;
mod clients;
mod cluster;
mod documented;
mod echo;
mod events;
mod harness;
mod hostile;
mod load;
mod migration;
mod motion;
mod nodes;
mod order;
mod quarantine;
mod record;
mod reporting;
mod restart;
mod secrets;
mod site;
mod split;
mod start;
mod stopping;
mod tls;
mod two_brokers;
mod unreadable;
mod verify;
