//! A term of Erlang as `rabbitmqctl` writes it in JSON.
//!
//! A table of arguments is a list of `[name, type, value]`. An array of AMQP is a list of pairs, which the formatter
//! takes for an object: `{"longstr":"a","longstr":"b"}`, with the same key again and again. So objects are read as
//! pairs here, and nothing is lost.

use std::fmt;

use serde::de::{Deserialize, Deserializer, MapAccess, SeqAccess, Visitor};
use serde_json::{Map, Value as Json};

/// A value, with objects as pairs.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Term {
    /// Anything but a list and an object.
    Plain(Json),
    /// A list.
    List(Vec<Term>),
    /// An object; keys may come more than once.
    Pairs(Vec<(String, Term)>),
}

impl Term {
    /// The value as it stands.
    pub fn plain(self) -> Json {
        match self {
            Self::Plain(value) => value,
            Self::List(terms) => terms.into_iter().map(Self::plain).collect(),
            Self::Pairs(pairs) => Json::Object(pairs.into_iter().map(|(k, v)| (k, v.plain())).collect()),
        }
    }

    /// A table of arguments, as an object. What is not written as one stays as it is.
    pub fn table(self) -> Json {
        match self {
            Self::List(rows) if rows.iter().all(Self::is_argument) => {
                Json::Object(rows.into_iter().filter_map(Self::argument).collect())
            }
            Self::Pairs(pairs) => {
                Json::Object(pairs.into_iter().map(|(name, value)| (name, value.typed_value())).collect())
            }
            other => other.plain(),
        }
    }

    /// Whether it is `[name, type, value]`.
    fn is_argument(&self) -> bool {
        match self {
            Self::List(parts) => {
                matches!(parts.as_slice(), [Self::Plain(Json::String(_)), Self::Plain(Json::String(_)), _])
            }
            _ => false,
        }
    }

    fn argument(self) -> Option<(String, Json)> {
        let Self::List(parts) = self else { return None };
        let [name, kind, value] = <[Self; 3]>::try_from(parts).ok()?;
        match (name, kind) {
            (Self::Plain(Json::String(name)), Self::Plain(Json::String(kind))) => {
                Some((name, value.of_type(&kind)))
            }
            _ => None,
        }
    }

    /// A value that may be written as `[type, value]`.
    fn typed_value(self) -> Json {
        const TYPES: [&str; 8] =
            ["longstr", "bool", "signedint", "long", "void", "array", "table", "timestamp"];
        match self {
            Self::List(parts) => match <[Self; 2]>::try_from(parts) {
                Ok([Self::Plain(Json::String(kind)), value]) if TYPES.contains(&kind.as_str()) => {
                    value.of_type(&kind)
                }
                Ok(parts) => Self::List(parts.into()).plain(),
                Err(parts) => Self::List(parts).plain(),
            },
            other => other.plain(),
        }
    }

    /// A value of this type of AMQP. A void value is the word `undefined`, as in the management API.
    fn of_type(self, kind: &str) -> Json {
        match (kind, self) {
            ("table", table) => match table.table() {
                Json::Array(rows) if rows.is_empty() => Json::Object(Map::new()),
                table => table,
            },
            ("array", Self::Pairs(elements)) => {
                elements.into_iter().map(|(kind, value)| value.of_type(&kind)).collect()
            }
            ("array", Self::List(elements)) => elements.into_iter().map(Self::typed_value).collect(),
            (_, value) => value.plain(),
        }
    }
}

impl<'de> Deserialize<'de> for Term {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Terms;

        impl<'de> Visitor<'de> for Terms {
            type Value = Term;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a value")
            }

            fn visit_bool<E>(self, value: bool) -> Result<Term, E> {
                Ok(Term::Plain(value.into()))
            }

            fn visit_i64<E>(self, value: i64) -> Result<Term, E> {
                Ok(Term::Plain(value.into()))
            }

            fn visit_u64<E>(self, value: u64) -> Result<Term, E> {
                Ok(Term::Plain(value.into()))
            }

            fn visit_f64<E>(self, value: f64) -> Result<Term, E> {
                Ok(Term::Plain(value.into()))
            }

            fn visit_str<E>(self, value: &str) -> Result<Term, E> {
                Ok(Term::Plain(value.into()))
            }

            fn visit_string<E>(self, value: String) -> Result<Term, E> {
                Ok(Term::Plain(value.into()))
            }

            fn visit_unit<E>(self) -> Result<Term, E> {
                Ok(Term::Plain(Json::Null))
            }

            fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<Term, A::Error> {
                let mut terms = Vec::new();
                while let Some(term) = list.next_element()? {
                    terms.push(term);
                }
                Ok(Term::List(terms))
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Term, A::Error> {
                let mut pairs = Vec::new();
                while let Some(pair) = map.next_entry()? {
                    pairs.push(pair);
                }
                Ok(Term::Pairs(pairs))
            }
        }

        deserializer.deserialize_any(Terms)
    }
}
