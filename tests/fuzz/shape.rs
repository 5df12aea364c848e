//! What a rule says of a message, read from the text of its templates and from nothing that translates.

use serde_json::value::RawValue;

use cti_bridge::core::template::Template;

/// The members of a JSON object in their order, repeated ones as well.
pub struct Members(pub Vec<(String, Box<RawValue>)>);

impl<'de> serde::Deserialize<'de> for Members {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Visitor;
        impl<'de> serde::de::Visitor<'de> for Visitor {
            type Value = Members;

            fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.write_str("an object")
            }

            fn visit_map<A: serde::de::MapAccess<'de>>(self, mut map: A) -> Result<Members, A::Error> {
                let mut members = Vec::new();
                while let Some(member) = map.next_entry()? {
                    members.push(member);
                }
                Ok(Members(members))
            }
        }
        deserializer.deserialize_map(Visitor)
    }
}

impl Members {
    pub fn of(json: &str) -> Option<Self> {
        serde_json::from_str(json).ok()
    }

    pub fn keys(&self) -> Vec<&str> {
        self.0.iter().map(|(key, _)| key.as_str()).collect()
    }

    pub fn count(&self, key: &str) -> usize {
        self.0.iter().filter(|(is, _)| is == key).count()
    }

    /// The value that is there once.
    pub fn only(&self, key: &str) -> Option<&str> {
        let mut values = self.0.iter().filter(|(is, _)| is == key);
        let (_, value) = values.next()?;
        values.next().is_none().then(|| value.get())
    }

    pub fn text(&self, key: &str) -> Option<String> {
        serde_json::from_str(self.only(key)?).ok()
    }
}

/// A template, taken apart once more.
pub struct Shape(Vec<Piece>);

enum Piece {
    Literal(String),
    Value { name: String, index: Option<usize>, several: bool },
}

impl Shape {
    pub fn of(template: &Template) -> Self {
        let text = template.to_string();
        let mut pieces = Vec::new();
        for (at, piece) in text.split(['{', '}']).enumerate() {
            if at % 2 == 0 {
                pieces.push(Piece::Literal(piece.to_owned()));
                continue;
            }
            let several = piece.ends_with("|raw");
            let path = piece.trim_end_matches("|raw");
            let (name, index) = match path.split_once('[') {
                Some((name, index)) => (name, index.trim_end_matches(']').parse().ok()),
                None => (path, None),
            };
            pieces.push(Piece::Value { name: name.to_owned(), index, several });
        }
        Self(pieces)
    }

    /// The part of a name that an open rule leaves open.
    pub fn open_part<'n>(&self, name: &'n str) -> Option<(String, &'n str)> {
        let [Piece::Literal(before), Piece::Value { name: parameter, .. }, Piece::Literal(after)] =
            &self.0[..]
        else {
            return None;
        };
        Some((parameter.clone(), name.strip_prefix(before.as_str())?.strip_suffix(after.as_str())?))
    }

    /// What the template comes to with these values, or why it must come to nothing.
    pub fn filled(
        &self,
        open: Option<&(String, &str)>,
        data: Option<&Members>,
        whose: Whose,
    ) -> Result<String, String> {
        let mut out = String::new();
        for piece in &self.0 {
            let (name, index, several) = match piece {
                Piece::Literal(text) => {
                    out.push_str(text);
                    continue;
                }
                Piece::Value { name, index, several } => (name, index, several),
            };
            let value = match open {
                Some((parameter, value)) if parameter == name => (*value).to_owned(),
                _ => {
                    let json =
                        data.and_then(|data| data.only(name)).ok_or_else(|| format!("no single {name}"))?;
                    let json = match index {
                        None => json.to_owned(),
                        Some(index) => {
                            let list: Vec<Box<RawValue>> =
                                serde_json::from_str(json).map_err(|_| format!("{name} is no list"))?;
                            list.get(*index).ok_or_else(|| format!("{name} is too short"))?.get().to_owned()
                        }
                    };
                    word_of(&json).ok_or_else(|| format!("{name} is no word: {json}"))?
                }
            };
            let words: Vec<&str> = if *several { value.split('.').collect() } else { vec![&value] };
            for word in words {
                let is_safe = !word.is_empty()
                    && !word.contains(['.', '#', '*'])
                    && !word.chars().any(char::is_control);
                if !is_safe || (whose == Whose::Audience && ["me", "my_session"].contains(&word)) {
                    return Err(format!("{name} is no safe word: {value:?}"));
                }
            }
            out.push_str(&value);
        }
        Ok(out)
    }
}

/// What a template is for.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Whose {
    /// It says who may see the event; `me` and `my_session` stand for anybody there.
    Audience,
    /// It says where the event goes, and what it is.
    Place,
}

fn word_of(json: &str) -> Option<String> {
    if json.starts_with('"') {
        return serde_json::from_str(json).ok();
    }
    let digits = json.strip_prefix('-').unwrap_or(json);
    (!digits.is_empty() && digits.bytes().all(|byte| byte.is_ascii_digit())).then(|| json.to_owned())
}
