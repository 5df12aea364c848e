//! Receives the events, and holds each to what it must be.

use std::thread::JoinHandle;
use std::time::Duration;

use serde::Deserialize;
use serde::de::IgnoredAny;

use super::event::{names, now};
use super::load::SINK;
use super::wire::Wire;
use super::{Direction, Load};

/// With nothing for so long, what is missing is lost.
const PATIENCE: Duration = Duration::from_secs(20);

/// So long after the last event another one may still come, which would be one too many.
const LINGER: Duration = Duration::from_millis(200);

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Received<'b> {
    name: &'b str,
    origin_uuid: Option<IgnoredAny>,
    required_acl: Option<IgnoredAny>,
    data: Data,
}

#[derive(Deserialize)]
struct Data {
    number: u64,
    sent: u64,
}

/// Receives until all have come. Says `listening`, `tenth` after a tenth of them, and the result as JSON. `ready` may
/// start the load.
pub fn receive(load: Load, ready: impl FnOnce() -> Option<JoinHandle<Vec<u64>>>) {
    let mut wire = Wire::open();
    wire.consume(SINK);
    wire.set_patience(PATIENCE);
    println!("listening");
    let publishing = ready();

    let modern = (load.direction == Direction::ToModern) != load.untranslated;
    let all = usize::try_from(load.count).unwrap();
    let warm = all / 10;
    let mut seen = vec![false; all];
    let (mut arrived, mut doubled, mut reordered, mut wrong) = (0, 0, 0_u64, 0_u64);
    let mut highest = 0;
    let (mut first, mut last) = (0, 0);
    // When each tenth was complete, after the first event of all.
    let mut tenths = Vec::new();
    let mut delays = Vec::with_capacity(all);
    while let Some(body) = wire.delivery() {
        let at = now();
        let event: Received<'_> = match serde_json::from_slice(body) {
            Ok(event) => event,
            Err(error) => panic!("not an event: {error}: {}", String::from_utf8_lossy(body)),
        };
        let is_modern = event.origin_uuid.is_some() && event.required_acl.is_some();
        let named = names().any(|name| name == event.name);
        wrong += u64::from(is_modern != modern || !named);
        let number = usize::try_from(event.data.number).unwrap();
        if std::mem::replace(&mut seen[number], true) {
            doubled += 1;
            continue;
        }
        reordered += u64::from(number < highest);
        highest = highest.max(number);
        arrived += 1;
        last = at;
        if arrived == 1 || arrived == all * tenths.len() / 10 {
            tenths.push(at);
        }
        if arrived == warm {
            first = at;
            println!("tenth");
        } else if arrived > warm {
            delays.push(at.saturating_sub(event.data.sent));
        }
        if arrived == all {
            println!("all");
            wire.set_patience(LINGER);
        }
    }
    let late = publishing.map_or_else(Vec::new, |publishing| publishing.join().unwrap());
    let [p50, p99, p99_9] = quantiles(delays);
    let [late_p50, late_p99, _] = quantiles(late);
    let seconds = last.saturating_sub(first) as f64 / 1e9;
    let rates: Vec<_> =
        tenths.windows(2).map(|ends| warm as f64 * 1e9 / (ends[1] - ends[0]) as f64).collect();
    let result = serde_json::json!({
        "counted": arrived.saturating_sub(warm), "seconds": seconds,
        "rate": arrived.saturating_sub(warm) as f64 / seconds, "rate_by_tenths": rates,
        "lost": all - arrived, "doubled": doubled, "reordered": reordered, "wrong": wrong,
        "p50_us": p50, "p99_us": p99, "p99_9_us": p99_9, "late_p50_us": late_p50, "late_p99_us": late_p99,
    });
    // What comes too late to be counted is no result.
    wire.close();
    println!("{result}");
}

/// Of nanoseconds, as microseconds: the median, and what 99 and 99.9 of 100 are not above.
fn quantiles(mut nanoseconds: Vec<u64>) -> [Option<f64>; 3] {
    nanoseconds.sort_unstable();
    [500, 990, 999].map(|of_1000| {
        let at = (nanoseconds.len() * of_1000).div_ceil(1000).saturating_sub(1);
        nanoseconds.get(at).map(|nanoseconds| *nanoseconds as f64 / 1000.0)
    })
}
