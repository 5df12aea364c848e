//! Two recordings held against each other: what is missing, extra, changed and reordered.
//!
//! Messages are matched by their content, however often the same one came. What is left over on both sides under the
//! name of one event is a changed message where most of its data is the same, or where it stands at the same place.

use std::collections::{BTreeMap, HashMap};
use std::hash::{BuildHasher, BuildHasherDefault, DefaultHasher};

use super::recording::Properties;

mod order;
mod tree;

pub use order::Reordered;
pub use tree::FieldChange;

use tree::Tree;

/// With more candidates than this, the partner of a changed message is looked for near its own place only.
const MAX_CANDIDATES: usize = 250_000;
/// How near.
const NEAR: usize = 16;

/// A message to compare.
#[derive(Debug, Clone, PartialEq)]
pub struct Item {
    /// The line of the recording it is on.
    pub line: u64,
    /// The event's name, or nothing if it is no event.
    pub event: Option<String>,
    /// Its routing key.
    pub routing_key: String,
    /// Its properties, where they are compared.
    pub properties: Option<Properties>,
    /// Its body.
    pub body: Vec<u8>,
}

/// A path to a field that is not compared, such as `data.timestamp` or `data.lines[*].id`.
///
/// It is one of the body, unless it begins with `routing_key`, `properties` or `body`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FieldPath(Vec<String>);

impl FieldPath {
    /// Reads a path.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        let dotted = text.replace("[]", "[*]").replace('[', ".").replace(']', "");
        let mut segments: Vec<String> = dotted.split('.').map(str::to_owned).collect();
        if segments.iter().any(String::is_empty) {
            return None;
        }
        if !["routing_key", "properties", "body"].contains(&segments[0].as_str()) {
            segments.insert(0, "body".to_owned());
        }
        Some(Self(segments))
    }
}

/// What is let pass.
#[derive(Debug, Clone, Default)]
pub struct Tolerance {
    /// Fields that may differ.
    pub ignored: Vec<FieldPath>,
    /// Whether messages may come in any order.
    pub any_order: bool,
}

/// How two recordings differ. All numbers are places in the slices that were compared.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Comparison {
    /// Messages that are in both.
    pub matched: usize,
    /// Messages of the first that are not in the second.
    pub missing: Vec<usize>,
    /// Messages of the second that are not in the first.
    pub extra: Vec<usize>,
    /// Messages that are in both and not the same.
    pub changed: Vec<Changed>,
    /// Messages that came in another order.
    pub reordered: Vec<Reordered>,
}

/// A message that is in both recordings and not the same.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Changed {
    /// In the first.
    pub before: usize,
    /// In the second.
    pub after: usize,
    /// What differs.
    pub fields: Vec<FieldChange>,
}

impl Comparison {
    /// Whether there is no difference at all.
    #[must_use]
    pub const fn is_equal(&self) -> bool {
        self.missing.is_empty()
            && self.extra.is_empty()
            && self.changed.is_empty()
            && self.reordered.is_empty()
    }
}

/// Compares two sequences of messages.
#[must_use]
pub fn compare(before: &[Item], after: &[Item], tolerance: &Tolerance) -> Comparison {
    // Equal content gets the same number.
    let mut known: HashMap<String, usize> = HashMap::new();
    let mut numbers = |items: &[Item]| -> Vec<usize> {
        let mut number = |item: &Item| {
            let next = known.len();
            *known.entry(tree_of(item, tolerance).canonical()).or_insert(next)
        };
        items.iter().map(&mut number).collect()
    };
    let pairs = {
        let (before, after) = (numbers(before), numbers(after));
        order::pairs(&before, &after)
    };
    drop(known);

    let unmatched = |length: usize, mut matched: Vec<usize>| {
        matched.sort_unstable();
        (0..length).filter(|at| matched.binary_search(at).is_err()).collect::<Vec<_>>()
    };
    let mut missing = unmatched(before.len(), pairs.iter().map(|pair| pair.0).collect());
    let mut extra = unmatched(after.len(), pairs.iter().map(|pair| pair.1).collect());
    let mut together = Vec::new();
    for (event, ones) in by_event(before, &missing) {
        let others: Vec<usize> = extra.iter().copied().filter(|at| after[*at].event == *event).collect();
        if !others.is_empty() {
            together.extend(belong_together(
                &leftovers(before, &ones, &pairs, |pair| pair.0, tolerance),
                &leftovers(after, &others, &pairs, |pair| pair.1, tolerance),
            ));
        }
    }
    together.sort_unstable();
    let (ones, others): (Vec<usize>, Vec<usize>) = together.iter().copied().unzip();
    let mut others_in_order = others;
    others_in_order.sort_unstable();
    missing.retain(|at| ones.binary_search(at).is_err());
    extra.retain(|at| others_in_order.binary_search(at).is_err());
    let changed = together.into_iter().map(|(one, other)| {
        let (tree, other_tree) = (tree_of(&before[one], tolerance), tree_of(&after[other], tolerance));
        Changed { before: one, after: other, fields: tree::changes(&tree, &other_tree) }
    });
    Comparison {
        matched: pairs.len(),
        changed: changed.collect(),
        missing,
        extra,
        reordered: if tolerance.any_order { Vec::new() } else { order::reordered(&pairs) },
    }
}

/// All that is compared of a message.
fn tree_of(item: &Item, tolerance: &Tolerance) -> Tree {
    let mut fields = vec![
        ("body".to_owned(), Tree::read(&item.body)),
        ("routing_key".to_owned(), Tree::text(&item.routing_key)),
    ];
    if let Some(properties) = &item.properties {
        // Properties are made of texts, numbers and flags: this cannot fail, and says nothing if it did.
        let json = serde_json::to_vec(properties).unwrap_or_default();
        fields.insert(1, ("properties".to_owned(), Tree::read(&json)));
    }
    let mut tree = Tree::Object(fields);
    tolerance.ignored.iter().for_each(|path| tree.remove(&path.0));
    tree
}

fn by_event<'i>(items: &'i [Item], places: &[usize]) -> BTreeMap<&'i Option<String>, Vec<usize>> {
    let mut events: BTreeMap<&Option<String>, Vec<usize>> = BTreeMap::new();
    for at in places {
        events.entry(&items[*at].event).or_default().push(*at);
    }
    events
}

/// A message without a counterpart.
struct Leftover {
    at: usize,
    /// How many messages before it have a counterpart.
    rank: usize,
    /// Its fields without those that every event of a name has in common, as hashes of path and value.
    fields: Vec<(u64, u64)>,
}

fn leftovers(
    items: &[Item],
    places: &[usize],
    pairs: &[order::Pair],
    place: impl Fn(&order::Pair) -> usize,
    tolerance: &Tolerance,
) -> Vec<Leftover> {
    let mut matched: Vec<usize> = pairs.iter().map(place).collect();
    matched.sort_unstable();
    let hash = |text: &str| BuildHasherDefault::<DefaultHasher>::default().hash_one(text);
    let leftover = |at: &usize| {
        let mut fields = Vec::new();
        tree_of(&items[*at], tolerance).leaves("", &mut |path, value| {
            if !["routing_key", "name"].contains(&path) {
                fields.push((hash(path), hash(value)));
            }
        });
        fields.sort_unstable();
        Leftover { at: *at, rank: matched.partition_point(|matched| matched < at), fields }
    };
    places.iter().map(leftover).collect()
}

/// Which messages of one event are the same one, changed: the most similar first.
fn belong_together(ones: &[Leftover], others: &[Leftover]) -> Vec<order::Pair> {
    let all = ones.len().saturating_mul(others.len()) <= MAX_CANDIDATES;
    let mut candidates = Vec::new();
    for (at, one) in ones.iter().enumerate() {
        let middle = at * others.len() / ones.len().max(1);
        let near = if all {
            0..others.len()
        } else {
            middle.saturating_sub(NEAR)..(middle + NEAR + 1).min(others.len())
        };
        for other_at in near {
            let other = &others[other_at];
            let same = in_common(&one.fields, &other.fields);
            let differing = one.fields.len().max(other.fields.len()) - same;
            let is_similar = same > 0 && same >= differing;
            if is_similar || one.rank == other.rank {
                let distance = one.rank.abs_diff(other.rank);
                candidates.push((!is_similar, differing, distance, at, other_at));
            }
        }
    }
    candidates.sort_unstable();
    let (mut taken, mut taken_other) = (vec![false; ones.len()], vec![false; others.len()]);
    let mut together = Vec::new();
    for (.., at, other_at) in candidates {
        if !taken[at] && !taken_other[other_at] {
            (taken[at], taken_other[other_at]) = (true, true);
            together.push((ones[at].at, others[other_at].at));
        }
    }
    together
}

/// How many elements two sorted lists have in common.
fn in_common(one: &[(u64, u64)], other: &[(u64, u64)]) -> usize {
    let (mut one, mut other) = (one.iter().peekable(), other.iter().peekable());
    let mut count = 0;
    while let (Some(first), Some(second)) = (one.peek(), other.peek()) {
        match first.cmp(second) {
            std::cmp::Ordering::Less => drop(one.next()),
            std::cmp::Ordering::Greater => drop(other.next()),
            std::cmp::Ordering::Equal => {
                count += 1;
                one.next();
                other.next();
            }
        }
    }
    count
}

#[cfg(test)]
mod tests {
    use super::*;

    fn item(line: usize, event: &str, data: &str) -> Item {
        Item {
            line: line as u64,
            event: Some(event.to_owned()),
            routing_key: event.to_owned(),
            properties: None,
            body: format!(r#"{{"name": "{event}", "data": {data}}}"#).into_bytes(),
        }
    }

    /// Some events of each of seven kinds; every tenth one is like others before it.
    fn site(count: usize) -> Vec<Item> {
        let event = |at: usize| {
            let number = if at.is_multiple_of(10) { 0 } else { at };
            item(
                at,
                &format!("event_{}", at % 7),
                &format!(r#"{{"id": {number}, "uuid": "{number:08x}", "state": "on"}}"#),
            )
        };
        (0..count).map(event).collect()
    }

    fn compared(before: &[Item], after: &[Item]) -> Comparison {
        compare(before, after, &Tolerance::default())
    }

    #[test]
    fn a_recording_is_like_itself() {
        let site = site(1000);
        assert_eq!(compared(&site, &site), Comparison { matched: 1000, ..Comparison::default() });
        assert!(compared(&[], &[]).is_equal());
    }

    #[test]
    fn exactly_what_differs_is_told() {
        let before = site(10_000);
        let mut after = before.clone();
        after[5000] = item(5000, "event_2", r#"{"id": 5000, "uuid": "00001388", "state": "off"}"#);
        after.swap(7001, 7002);
        for dropped in [9001, 4444, 101] {
            after.remove(dropped);
        }
        let found = compared(&before, &after);
        assert_eq!(found.missing, [101, 4444, 9001]);
        assert_eq!(found.extra, [0; 0]);
        // 5000 is like the other tenths: it is the tenth that is missing which is known to be changed.
        let [changed] = &found.changed[..] else { panic!("{:?}", found.changed) };
        assert_eq!((changed.before, changed.after), (5000, 4998));
        let [Reordered::Swapped((7001, _), (7002, _))] = &found.reordered[..] else {
            panic!("{:?}", found.reordered)
        };
        assert_eq!(found.matched, 9996);
    }

    #[test]
    fn a_changed_message_is_told_field_by_field() {
        let before = [item(1, "a", r#"{"x": 1, "y": 2}"#), item(2, "b", r#"{"only": 1}"#)];
        let after = [item(1, "a", r#"{"x": 1, "y": 3}"#), item(2, "b", r#"{"only": 2}"#)];
        let found = compared(&before, &after);
        let paths: Vec<_> = found
            .changed
            .iter()
            .flat_map(|changed| &changed.fields)
            .map(|field| field.path.as_str())
            .collect();
        assert_eq!(paths, ["data.y", "data.only"]);
        assert_eq!((found.missing.len(), found.extra.len()), (0, 0));
        assert_eq!(found.changed[0].fields[0].before.as_deref(), Some("2"));
    }

    #[test]
    fn another_message_of_the_same_event_is_not_a_changed_one() {
        let before = [item(1, "a", r#"{"x": 1, "y": 2}"#), item(2, "b", "1"), item(3, "c", "1")];
        let after = [item(1, "b", "1"), item(2, "c", "1"), item(3, "a", r#"{"x": 7, "y": 8}"#)];
        let found = compared(&before, &after);
        assert_eq!((found.missing, found.extra, found.changed.len()), (vec![0], vec![2], 0));
    }

    #[test]
    fn the_most_similar_ones_are_paired() {
        let before = [
            item(1, "a", r#"{"id": 1, "s": "x", "t": "x"}"#),
            item(2, "a", r#"{"id": 2, "s": "x", "t": "x"}"#),
        ];
        let after = [
            item(1, "a", r#"{"id": 2, "s": "y", "t": "x"}"#),
            item(2, "a", r#"{"id": 1, "s": "y", "t": "x"}"#),
        ];
        let found = compared(&before, &after);
        let pairs: Vec<_> = found.changed.iter().map(|changed| (changed.before, changed.after)).collect();
        assert_eq!(pairs, [(0, 1), (1, 0)]);
    }

    #[test]
    fn one_too_few_of_the_same_is_missing_and_one_too_many_is_extra() {
        let same = |count: usize| (0..count).map(|at| item(at, "tick", "null")).collect::<Vec<_>>();
        assert_eq!(compared(&same(5), &same(3)).missing.len(), 2);
        assert_eq!(compared(&same(3), &same(5)).extra.len(), 2);
    }

    #[test]
    fn the_routing_key_is_compared_and_properties_where_they_are_given() {
        let before = [item(1, "a", r#"{"x": 1}"#)];
        let mut after = before.clone();
        after[0].routing_key = "b".to_owned();
        assert_eq!(compared(&before, &after).changed[0].fields[0].path, "routing_key");
        let with = |priority| {
            let properties = Properties { priority: Some(priority), ..Properties::default() };
            [Item { properties: Some(properties), ..before[0].clone() }]
        };
        assert_eq!(compared(&with(1), &with(2)).changed[0].fields[0].path, "properties.priority");
        assert!(compared(&with(1), &with(1)).is_equal());
    }

    #[test]
    fn what_is_ignored_may_differ() {
        let tolerance = |paths: &[&str], any_order| Tolerance {
            ignored: paths.iter().map(|path| FieldPath::parse(path).unwrap()).collect(),
            any_order,
        };
        let before = [item(1, "a", r#"{"t": 1, "k": 7, "l": [{"t": 1}]}"#), item(2, "b", "2")];
        let after = [item(1, "b", "2"), item(2, "a", r#"{"t": 2, "k": 7, "l": [{"t": 3}]}"#)];
        assert!(compare(&before, &after, &tolerance(&["data.t", "data.l[*].t"], true)).is_equal());
        assert_eq!(
            compare(&before, &after, &tolerance(&["body.data.t", "data.l.0"], false)).reordered.len(),
            1
        );
        assert!(compare(&before, &after, &tolerance(&["data.t"], true)).changed.len() == 1);
        for bad in ["", ".", "a..b", "a."] {
            assert_eq!(FieldPath::parse(bad), None, "{bad}");
        }
    }

    #[test]
    fn a_body_that_is_no_event_is_compared_byte_by_byte() {
        let bytes = |body: &[u8]| {
            [Item { line: 1, event: None, routing_key: String::new(), properties: None, body: body.to_vec() }]
        };
        assert!(compared(&bytes(b"\xff\x00"), &bytes(b"\xff\x00")).is_equal());
        let found = compared(&bytes(b"\xff\x00"), &bytes(b"\xff\x01"));
        assert_eq!(found.changed[0].fields[0].path, "body");
    }

    #[test]
    fn a_field_that_differs_everywhere_is_told_everywhere() {
        let site_at = |time: &str| -> Vec<Item> {
            (0..5000)
                .map(|at| item(at, "a", &format!(r#"{{"id": {at}, "time": "{time}", "x": 1}}"#)))
                .collect()
        };
        let found = compared(&site_at("now"), &site_at("then"));
        assert_eq!(found.changed.len(), 5000);
        assert!(found.changed.iter().all(|changed| changed.before == changed.after));
        assert!(found.changed.iter().all(|changed| changed.fields.len() == 1));
    }
}
