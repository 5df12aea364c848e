//! Bare forwarders: the same translation as simply as it goes, with confirms and without anything else that a bridge
//! needs. They know no rules, no refusals, no faults.

use std::collections::VecDeque;
use std::pin::{Pin, pin};
use std::task::{Context, Waker};

use clap::ValueEnum;
use futures_util::StreamExt;
use futures_util::future::{Either, MaybeDone, maybe_done, pending, select};
use lapin::message::Delivery;
use lapin::options::{
    BasicAckOptions, BasicConsumeOptions, BasicPublishOptions, BasicQosOptions, ConfirmSelectOptions,
};
use lapin::types::{FieldTable, ShortString};
use lapin::{Acker, BasicProperties, Channel, Confirmation};
use serde::Deserialize;
use serde_json::value::RawValue;

use super::event::{ORIGIN_UUID, addressed};
use super::{Direction, Forward, connect};

/// Beyond this nothing is gained.
const BATCH: u64 = 64;

#[derive(Clone, Copy, ValueEnum)]
pub enum Way {
    /// As the documentation of the library has it: the publish is awaited, its confirm later
    Idiom,
    /// As fast as the library goes: the publish is polled once, which queues its frames
    Tuned,
}

#[derive(Deserialize)]
struct Event<'b> {
    name: &'b str,
    #[serde(borrow)]
    data: &'b RawValue,
}

#[derive(Deserialize)]
struct Fields<'b> {
    user_uuid: &'b str,
}

fn translated(direction: Direction, body: &[u8]) -> (ShortString, Vec<u8>) {
    let Event { name, data } = serde_json::from_slice(body).unwrap();
    let data = data.get();
    let mut body = Vec::with_capacity(data.len() + 256);
    let mut write = |parts: &[&str]| parts.iter().for_each(|part| body.extend_from_slice(part.as_bytes()));
    match direction {
        Direction::ToLegacy => {
            write(&[r#"{"name": ""#, name, r#"", "data": "#, data, "}"]);
            (name.into(), body)
        }
        Direction::ToModern => {
            let fields: Fields<'_> = serde_json::from_str(data).unwrap();
            let [key, acl] = addressed(name, fields.user_uuid);
            let origin = [r#"", "origin_uuid": ""#, ORIGIN_UUID].concat();
            write(&[
                r#"{"name": ""#,
                name,
                &origin,
                r#"", "required_acl": ""#,
                &acl,
                r#"", "data": "#,
                data,
                "}",
            ]);
            (key.into(), body)
        }
    }
}

type Confirm<'c> = MaybeDone<Pin<Box<dyn Future<Output = lapin::Result<Confirmation>> + 'c>>>;

async fn publish(channel: &Channel, direction: Direction, way: Way, delivery: &Delivery) -> Confirm<'static> {
    let (key, body) = translated(direction, &delivery.data);
    let [_, target] = direction.exchanges();
    let (options, properties) = (BasicPublishOptions::default(), BasicProperties::default());
    let channel = channel.clone();
    match way {
        Way::Idiom => {
            let confirm = channel.basic_publish(target.into(), key, options, &body, properties).await;
            let confirm = confirm.unwrap();
            maybe_done(Box::pin(confirm))
        }
        Way::Tuned => {
            let mut confirm: Confirm<'static> = maybe_done(Box::pin(async move {
                channel.basic_publish(target.into(), key, options, &body, properties).await?.await
            }));
            let _ = Pin::new(&mut confirm).poll(&mut Context::from_waker(Waker::noop()));
            confirm
        }
    }
}

/// Forwards until it is ended.
pub async fn forward(forward: &Forward) {
    let Forward { direction, ref intake, prefetch, way } = *forward;
    let connection = connect().await;
    let consuming = connection.create_channel().await.unwrap();
    let publishing = connection.create_channel().await.unwrap();
    publishing.confirm_select(ConfirmSelectOptions::default()).await.unwrap();
    consuming.basic_qos(prefetch, BasicQosOptions::default()).await.unwrap();
    let options = BasicConsumeOptions::default();
    let consumer =
        consuming.basic_consume(intake.as_str().into(), "bench".into(), options, FieldTable::default()).await;
    let mut consumer = consumer.unwrap();
    eprintln!("ready");

    let mut window: VecDeque<(Acker, Confirm<'static>)> = VecDeque::new();
    let (mut due, mut unacked): (Option<Acker>, u64) = (None, 0);
    loop {
        let delivery = {
            let oldest = pin!(async {
                match window.front_mut() {
                    Some((_, confirm)) => Pin::new(confirm).await,
                    None => pending().await,
                }
            });
            match select(oldest, consumer.next()).await {
                Either::Left(_) => None,
                Either::Right((delivery, _)) => Some(delivery.expect("the consumer ended").unwrap()),
            }
        };
        match delivery {
            Some(delivery) => {
                let confirm = publish(&publishing, direction, way, &delivery).await;
                window.push_back((delivery.acker, confirm));
            }
            None => {
                if let Some((acker, mut confirm)) = window.pop_front() {
                    let confirmation = Pin::new(&mut confirm).take_output().unwrap().unwrap();
                    assert!(matches!(confirmation, Confirmation::Ack(_)), "not confirmed");
                    due = Some(acker);
                    unacked += 1;
                }
            }
        }
        if unacked >= BATCH || window.is_empty() {
            if let Some(acker) = due.take() {
                acker.ack(BasicAckOptions { multiple: true }).await.unwrap();
            }
            unacked = 0;
        }
    }
}
