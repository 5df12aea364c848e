//! Inputs made of known ones: cut, joined, repeated, flipped, and sprinkled with words that mean something.

use super::random::Random;

/// No input grows beyond this: time goes into many inputs, not into long ones.
const MAX_BYTES: usize = 16 * 1024;

/// Numbers at which counting goes wrong.
const NUMBERS: [&str; 16] = [
    "0",
    "-0",
    "-1",
    "127",
    "128",
    "255",
    "256",
    "65535",
    "2147483648",
    "4294967296",
    "9223372036854775807",
    "9223372036854775808",
    "-9223372036854775809",
    "18446744073709551616",
    "1e999",
    "0.1e-400",
];

/// Bytes that mean something to every parser here, or are no text at all.
const TOKENS: [&[u8]; 40] = [
    b"\"",
    b"\\",
    b"{",
    b"}",
    b"[",
    b"]",
    b":",
    b",",
    b".",
    b"#",
    b"*",
    b"null",
    b"true",
    b"\\u0000",
    b"\\ud800",
    b"\\udfff\\ud800",
    b"\x00",
    b"\x7f",
    b"\xc2\x85",
    b"\xff",
    b"\xed\xa0\x80",
    b"\xf4\x90\x80\x80",
    b"\xef\xbb\xbf",
    b"\xe2\x80\xa8",
    b"\xc3\xa9",
    b"\xf0\x9f\x98\x80",
    b"\n",
    b"\r\n",
    b"\t",
    b"- ",
    b": ",
    b"&a ",
    b"*a",
    b"<<: ",
    b"!!binary ",
    b"---\n",
    b"|raw",
    b"[0]",
    b"me",
    b"my_session",
];

/// Makes inputs of known ones.
pub struct Mutator {
    /// Words of the format under test.
    pub words: Vec<Vec<u8>>,
}

impl Mutator {
    /// A new input from one of the corpus.
    pub fn input(&self, corpus: &[Vec<u8>], random: &mut Random) -> Vec<u8> {
        let mut input = random.pick(corpus).clone();
        if random.one_in(4) {
            let other = random.pick(corpus);
            input.truncate(random.below(input.len() + 1));
            input.extend_from_slice(&other[random.below(other.len() + 1)..]);
        }
        // Mostly few changes: an input that is wrong in many places is refused for the first of them.
        for _ in 0..=[0, 0, 1, 2, 5, 12][random.below(6)] {
            self.change(&mut input, corpus, random);
        }
        input.truncate(MAX_BYTES);
        input
    }

    fn change(&self, input: &mut Vec<u8>, corpus: &[Vec<u8>], random: &mut Random) {
        let at = random.below(input.len() + 1);
        let near = (at + 1 + random.below(16)).min(input.len());
        let far = (at + random.below(400)).min(input.len());
        match random.below(12) {
            0 if at < input.len() => input[at] ^= 1 << random.below(8),
            1 if at < input.len() => input[at] = random.next() as u8,
            2 => drop(input.splice(at..near, [])),
            3 => drop(input.splice(at..far, [])),
            4 => insert(input, at, random.pick::<&[u8]>(&TOKENS)),
            5 => drop(input.splice(at..near, random.pick(&TOKENS).iter().copied())),
            6 => insert(input, at, random.pick::<Vec<u8>>(&self.words)),
            7 => {
                let piece = input[at..far].to_vec();
                for _ in 0..=random.below(3) {
                    insert(input, at, &piece);
                }
            }
            // A piece of this input or another somewhere else.
            8 => {
                let other = random.pick(corpus);
                let from = random.below(other.len() + 1);
                let to = (from + random.below(200)).min(other.len());
                insert(input, at, &other[from..to]);
            }
            9 => number(input, at, random),
            // A great many of the same: nesting, or one long word.
            10 if random.one_in(64) => {
                let token = *random.pick(&TOKENS);
                insert(input, at, &token.repeat(1 + random.below(3000)));
            }
            _ => {
                let line = input[..at].iter().rposition(|byte| *byte == b'\n').map_or(0, |end| end + 1);
                let end = input[at..]
                    .iter()
                    .position(|byte| *byte == b'\n')
                    .map_or(input.len(), |end| at + end + 1);
                let line = input.drain(line..end).collect::<Vec<_>>();
                if random.one_in(2) {
                    let place = random.below(input.len() + 1);
                    insert(input, place, &line);
                }
            }
        }
    }
}

fn insert(input: &mut Vec<u8>, at: usize, bytes: &[u8]) {
    input.splice(at..at, bytes.iter().copied());
}

/// Another number in place of the one that is next.
fn number(input: &mut Vec<u8>, at: usize, random: &mut Random) {
    let Some(begin) = input[at..].iter().position(u8::is_ascii_digit).map(|begin| at + begin) else { return };
    let end =
        input[begin..].iter().position(|byte| !byte.is_ascii_digit()).map_or(input.len(), |end| begin + end);
    input.splice(begin..end, random.pick(&NUMBERS).bytes());
}
