//! What the translation of an event costs without a broker, by size and number of rules, and what reading it costs
//! at the least. To be run as `cargo bench --bench core`.

#![allow(missing_docs, clippy::unwrap_used, clippy::expect_used, clippy::panic)]

#[path = "../translator/mod.rs"]
mod translator;

use std::fmt::Write;

use cti_bridge::commands::mappings;
use cti_bridge::core::catalog::Mappings;
use cti_bridge::core::message::{Received, ReceivedProperties};
use cti_bridge::core::translate::Translator;
use divan::{Bencher, black_box};
use serde::Deserialize;
use serde_json::value::RawValue;

const SIZES: [usize; 3] = [200, 1_000, 16_000];
const RULES: [usize; 3] = [10, 100, 10_000];

fn main() {
    divan::main();
}

const RULE: &str = "- event: call_created\n  source: documents\n  modern: {routing_key: calls.call.created, required_acl: 'events.calls.{user_uuid}'}\n";

/// A translator with one rule that is used and others that are not.
fn with_rules(count: usize) -> Translator {
    translator::translator(&Mappings { layers: vec![translator::layer(RULE, count - 1)] })
}

/// `data` of many small fields, up to a size; `word` is its text.
fn data(bytes: usize, word: &str) -> String {
    let mut data = String::from(r#"{"user_uuid": "2e752722-0864-4665-887d-a78a024cf7c7""#);
    for number in 0.. {
        if data.len() + 40 > bytes {
            break;
        }
        write!(data, r#", "field_{number}": {{"a": {number}, "b": "{word}"}}"#).unwrap();
    }
    data.push('}');
    data
}

fn modern(bytes: usize, word: &str) -> String {
    let data = data(bytes.saturating_sub(120), word);
    format!(
        r#"{{"name": "call_created", "origin_uuid": "u1", "required_acl": "events.calls.2e752722", "data": {data}}}"#
    )
}

fn legacy(bytes: usize) -> String {
    format!(r#"{{"name": "call_created", "data": {}}}"#, data(bytes.saturating_sub(40), "some text"))
}

fn received<'m>(exchange: &'m str, routing_key: &'m str, body: &'m str) -> Received<'m> {
    let properties = ReceivedProperties::default();
    Received { exchange, routing_key, properties, body: body.as_bytes() }
}

fn translate_to_legacy(bencher: Bencher<'_, '_>, rules: usize, body: &str) {
    let translator = with_rules(rules);
    let message = received("xivo", "calls.call.created", body);
    bencher.bench_local(|| translator.to_legacy(black_box(&message)));
}

#[divan::bench(args = SIZES, consts = RULES)]
fn to_legacy<const N: usize>(bencher: Bencher<'_, '_>, bytes: usize) {
    translate_to_legacy(bencher, N, &modern(bytes, "some text"));
}

#[divan::bench(args = SIZES)]
fn to_legacy_not_ascii(bencher: Bencher<'_, '_>, bytes: usize) {
    translate_to_legacy(bencher, 100, &modern(bytes, "Zoé größer"));
}

#[divan::bench(args = SIZES, consts = RULES)]
fn to_modern<const N: usize>(bencher: Bencher<'_, '_>, bytes: usize) {
    let translator = with_rules(N);
    let body = legacy(bytes);
    let message = received("xivo-cti", "call_created", &body);
    bencher.bench_local(|| translator.to_modern(black_box(&message)));
}

/// The least that anything which validates the JSON must do.
#[divan::bench(args = SIZES)]
fn bare_raw_value(bencher: Bencher<'_, '_>, bytes: usize) {
    #[derive(Deserialize)]
    struct Event<'b> {
        #[serde(borrow)]
        name: &'b RawValue,
        #[serde(borrow)]
        data: &'b RawValue,
    }
    let body = modern(bytes, "some text");
    bencher.bench_local(|| {
        let event: Event<'_> = serde_json::from_slice(black_box(body.as_bytes())).unwrap();
        event.name.get().len() + event.data.get().len()
    });
}

#[divan::bench]
fn load_the_mapping_files(bencher: Bencher<'_, '_>) {
    bencher.bench_local(|| mappings::load(true, &[]).unwrap_or_else(|_| panic!("the built-in rules")));
}
