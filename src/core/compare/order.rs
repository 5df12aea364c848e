//! Which messages of two sequences belong together, and which of them came in another order.

use std::collections::{HashMap, VecDeque};

/// With more differences than this between two sequences, equal messages are paired from the front. What came in
/// another order is then told as well, but it may be more than the least that explains it.
const MAX_DIFFERENCES: usize = 2000;

/// Two messages that are the same, by their places in the two sequences.
pub(super) type Pair = (usize, usize);

/// What came in another order.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Reordered<P = Pair> {
    /// Two messages took each other's place.
    Swapped(P, P),
    /// One message came earlier or later among the others.
    Moved(P),
}

/// Pairs equal messages, each with at most one, in an order that is as much the same as can be. Sorted by the place in
/// the first sequence.
pub(super) fn pairs(before: &[usize], after: &[usize]) -> Vec<Pair> {
    let mut pairs = in_sequence(before, after).unwrap_or_default();
    let mut is_paired = (vec![false; before.len()], vec![false; after.len()]);
    for (one, other) in &pairs {
        (is_paired.0[*one], is_paired.1[*other]) = (true, true);
    }
    let mut rest: HashMap<usize, VecDeque<usize>> = HashMap::new();
    for (at, content) in after.iter().enumerate().filter(|(at, _)| !is_paired.1[*at]) {
        rest.entry(*content).or_default().push_back(at);
    }
    for (at, content) in before.iter().enumerate().filter(|(at, _)| !is_paired.0[*at]) {
        pairs.extend(rest.get_mut(content).and_then(VecDeque::pop_front).map(|other| (at, other)));
    }
    pairs.sort_unstable();
    pairs
}

/// The longest common subsequence, unless there are too many differences (Myers, "An O(ND) difference algorithm").
fn in_sequence(before: &[usize], after: &[usize]) -> Option<Vec<Pair>> {
    // What has no counterpart is in no common subsequence, and would only count as a difference.
    let has_counterpart = |of: &[usize], in_other: &[usize]| -> Vec<usize> {
        let other: std::collections::HashSet<_> = in_other.iter().collect();
        (0..of.len()).filter(|at| other.contains(&of[*at])).collect()
    };
    let (ones, others) = (has_counterpart(before, after), has_counterpart(after, before));
    let is_equal = |x: usize, y: usize| before[ones[x]] == after[others[y]];
    let most = MAX_DIFFERENCES.min(ones.len() + others.len());
    // How far each diagonal got, the one of number k at k + most + 1.
    let mut reached = vec![0_usize; 2 * most + 3];
    let mut trace: Vec<Vec<usize>> = Vec::new();
    for differences in 0..=most {
        trace.push(reached[most - differences..=most + differences + 2].to_vec());
        for diagonal in (most + 1 - differences..=most + 1 + differences).step_by(2) {
            let goes_down = diagonal == most + 1 - differences
                || diagonal != most + 1 + differences && reached[diagonal - 1] < reached[diagonal + 1];
            let mut x = if goes_down { reached[diagonal + 1] } else { reached[diagonal - 1] + 1 };
            // Beyond the edges there is nothing to compare, and nothing that reaches the end.
            let Some(mut y) = (x + most + 1).checked_sub(diagonal) else { continue };
            while x < ones.len() && y < others.len() && is_equal(x, y) {
                (x, y) = (x + 1, y + 1);
            }
            reached[diagonal] = x;
            if x >= ones.len() && y >= others.len() {
                return Some(way_back(&trace, most, (x, y)).map(|(x, y)| (ones[x], others[y])).collect());
            }
        }
    }
    None
}

/// The equal elements on the way that was found, from its end.
fn way_back(trace: &[Vec<usize>], most: usize, end: Pair) -> impl Iterator<Item = Pair> {
    let mut found = Vec::new();
    let (mut x, mut y) = end;
    for (differences, reached) in trace.iter().enumerate().rev() {
        // The first element kept is the one of diagonal -differences - 1.
        let diagonal = x + most + 1 - y;
        let kept = |diagonal: usize| reached[diagonal - (most - differences)];
        let (from_x, from_y) = if differences == 0 {
            (0, 0)
        } else {
            let goes_down = diagonal == most + 1 - differences
                || diagonal != most + 1 + differences && kept(diagonal - 1) < kept(diagonal + 1);
            let from = if goes_down { diagonal + 1 } else { diagonal - 1 };
            (kept(from), kept(from) + most + 1 - from)
        };
        while x > from_x && y > from_y {
            (x, y) = (x - 1, y - 1);
            found.push((x, y));
        }
        (x, y) = (from_x, from_y);
    }
    found.into_iter().rev()
}

/// What came in another order among pairs that are sorted by their place in the first sequence.
pub(super) fn reordered(pairs: &[Pair]) -> Vec<Reordered> {
    // The place of each among all pairs, instead of among all messages.
    let mut by_after: Vec<usize> = (0..pairs.len()).collect();
    by_after.sort_unstable_by_key(|at| pairs[*at].1);
    let mut places = vec![0; pairs.len()];
    for (place, at) in by_after.into_iter().enumerate() {
        places[at] = place;
    }
    // Stretches that hold the same messages on both sides are independent of each other.
    let mut found = Vec::new();
    let (mut start, mut furthest) = (0, 0);
    for (at, place) in places.iter().enumerate() {
        furthest = furthest.max(*place);
        if furthest == at {
            if at > start {
                within(start, &places[start..=at], pairs, &mut found);
            }
            start = at + 1;
        }
    }
    found
}

/// The least that explains one stretch: exchanges, where it consists of them, or the messages outside of the longest
/// sequence that kept its order.
fn within(start: usize, places: &[usize], pairs: &[Pair], found: &mut Vec<Reordered>) {
    let kept = longest_increasing(places);
    let moved: Vec<usize> = (0..places.len()).filter(|at| !kept[*at]).collect();
    let goes_back = |(at, place): (usize, &usize)| places[*place - start] == at + start;
    let swaps: Vec<Pair> =
        (0..places.len()).map(|at| (at, places[at] - start)).filter(|(at, to)| at < to).collect();
    if swaps.len() <= moved.len() && places.iter().enumerate().all(goes_back) {
        found.extend(
            swaps.iter().map(|(one, other)| Reordered::Swapped(pairs[start + one], pairs[start + other])),
        );
    } else {
        found.extend(moved.iter().map(|at| Reordered::Moved(pairs[start + at])));
    }
}

/// Which elements belong to a longest increasing subsequence.
fn longest_increasing(values: &[usize]) -> Vec<bool> {
    // For each length, the element with the smallest value that ends such a subsequence.
    let mut ends: Vec<usize> = Vec::new();
    let mut before = vec![None; values.len()];
    for (at, value) in values.iter().enumerate() {
        let length = ends.partition_point(|end| values[*end] < *value);
        before[at] = length.checked_sub(1).map(|shorter| ends[shorter]);
        match ends.get_mut(length) {
            Some(end) => *end = at,
            None => ends.push(at),
        }
    }
    let mut kept = vec![false; values.len()];
    let mut at = ends.last().copied();
    while let Some(element) = at {
        kept[element] = true;
        at = before[element];
    }
    kept
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What is said of two texts, a message for each character.
    fn said(before: &str, after: &str) -> Vec<String> {
        let contents = |text: &str| -> Vec<usize> { text.chars().map(|c| c as usize).collect() };
        let pairs = pairs(&contents(before), &contents(after));
        for (one, other) in &pairs {
            assert_eq!(before.chars().nth(*one), after.chars().nth(*other));
        }
        let name = |pair: Pair| before.chars().nth(pair.0).unwrap();
        let said = |reordered| match reordered {
            Reordered::Swapped(one, other) => format!("{}{}", name(one), name(other)),
            Reordered::Moved(pair) => name(pair).to_string(),
        };
        reordered(&pairs).into_iter().map(said).collect()
    }

    const NOTHING: [&str; 0] = [];

    #[test]
    fn nothing_is_said_where_the_order_is_the_same() {
        assert_eq!(said("", ""), NOTHING);
        assert_eq!(said("abc", "abc"), NOTHING);
        assert_eq!(said("abcdef", "bdf"), NOTHING, "what is missing moves nothing");
        assert_eq!(said("bdf", "abcdef"), NOTHING);
        assert_eq!(said("abc", "xyz"), NOTHING);
        assert_eq!(said("xaxbxc", "axbxcx"), ["x"], "the first came last");
    }

    #[test]
    fn equal_messages_are_told_apart_by_their_neighbours() {
        assert_eq!(said("xaxbxcx", "axbxcx"), NOTHING, "the first x is missing");
        assert_eq!(said("xxxx", "xx"), NOTHING);
    }

    #[test]
    fn two_that_are_swapped_are_one_pair() {
        assert_eq!(said("abcd", "acbd"), ["bc"]);
        assert_eq!(said("abc", "cba"), ["ac"]);
        assert_eq!(said("abcdefg", "afcdebg"), ["bf"]);
        assert_eq!(said("abcdefgh", "bacdefhg"), ["ab", "gh"]);
        assert_eq!(said("abcdefg", "afdebg"), ["bf"], "though one between them is missing");
    }

    #[test]
    fn one_that_came_later_is_one() {
        assert_eq!(said("abcdef", "bcdefa"), ["a"]);
        assert_eq!(said("abcdef", "fabcde"), ["f"]);
        assert_eq!(said("abcdefghij", "bcdaefghji"), ["a", "ij"]);
    }

    #[test]
    fn a_hundred_thousand_messages_are_no_matter() {
        let before: Vec<usize> = (0..100_000).map(|number| number % 40_000).collect();
        let mut after = before.clone();
        after.swap(10, 90_000);
        after.remove(50_001);
        let pairs = pairs(&before, &after);
        assert_eq!(pairs.len(), 99_999);
        assert_eq!(reordered(&pairs), [Reordered::Swapped((10, 89_999), (90_000, 10))]);
    }

    #[test]
    fn what_has_no_order_in_common_is_paired_all_the_same() {
        let before: Vec<usize> = (0..10_000).collect();
        let after: Vec<usize> = (0..10_000).rev().collect();
        let pairs = pairs(&before, &after);
        assert_eq!(pairs.len(), 10_000);
        assert_eq!(reordered(&pairs).len(), 5_000);
    }
}
