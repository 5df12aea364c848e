//! The typed values of AMQP headers, in JSON: plain where JSON tells the type, tagged where it cannot.
//!
//! A long string is a text, a boolean `true` or `false`, a void `null`, an array a list, and a plain whole number the
//! signed 32-bit integer that most clients send. Everything else is an object such as
//! `{"type": "timestamp", "value": 1571300000}`.

use std::collections::BTreeMap;

use base64::Engine;
use base64::engine::general_purpose::STANDARD as BASE64;
use serde::{Deserialize, Deserializer, Serialize, Serializer, de};
use serde_json::{Map, Value as Json, json};

/// Arrays and tables inside one another: as deep as every JSON parser reads, and far deeper than any client of the bus
/// sends.
pub const MAX_DEPTH: usize = 40;

/// A table of headers. The client library keeps no order of its entries either.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Table(pub BTreeMap<String, Field>);

/// A value of a header, of any type that RabbitMQ knows.
#[derive(Debug, Clone, PartialEq)]
#[allow(missing_docs)]
pub enum Field {
    Void,
    Flag(bool),
    Int8(i8),
    Uint8(u8),
    Int16(i16),
    Uint16(u16),
    Int32(i32),
    Uint32(u32),
    Int64(i64),
    /// As the four bytes of its number: what is not a number has a payload, too.
    Float(u32),
    /// As the eight bytes of its number.
    Double(u64),
    Decimal {
        scale: u8,
        value: u32,
    },
    Timestamp(u64),
    /// Nearly always a text, but the protocol allows any bytes.
    LongString(Vec<u8>),
    ShortString(String),
    Bytes(Vec<u8>),
    List(Vec<Field>),
    Table(Table),
}

impl Field {
    /// How many arrays and tables are inside one another, this one among them.
    #[must_use]
    pub fn depth(&self) -> usize {
        match self {
            Self::List(items) => 1 + items.iter().map(Self::depth).max().unwrap_or(0),
            Self::Table(table) => 1 + table.depth(),
            _ => 0,
        }
    }

    fn to_json(&self) -> Json {
        let tagged = |kind: &str, value: Json| json!({"type": kind, "value": value});
        match self {
            Self::Void => Json::Null,
            Self::Flag(flag) => json!(flag),
            Self::Int32(number) => json!(number),
            Self::Int8(number) => tagged("int8", json!(number)),
            Self::Uint8(number) => tagged("uint8", json!(number)),
            Self::Int16(number) => tagged("int16", json!(number)),
            Self::Uint16(number) => tagged("uint16", json!(number)),
            Self::Uint32(number) => tagged("uint32", json!(number)),
            Self::Int64(number) => tagged("int64", json!(number)),
            // Texts: readers of JSON round numbers, and there is no JSON for infinity.
            Self::Float(bits) => match f32::from_bits(*bits) {
                number if number.is_nan() => json!({"type": "float", "bits": format!("{bits:08x}")}),
                number => tagged("float", json!(number.to_string())),
            },
            Self::Double(bits) => match f64::from_bits(*bits) {
                number if number.is_nan() => json!({"type": "double", "bits": format!("{bits:016x}")}),
                number => tagged("double", json!(number.to_string())),
            },
            Self::Decimal { scale, value } => json!({"type": "decimal", "scale": scale, "value": value}),
            Self::Timestamp(seconds) => tagged("timestamp", json!(seconds)),
            Self::LongString(bytes) => match std::str::from_utf8(bytes) {
                Ok(text) => json!(text),
                Err(_) => json!({"type": "long_string", "base64": BASE64.encode(bytes)}),
            },
            Self::ShortString(text) => tagged("short_string", json!(text)),
            Self::Bytes(bytes) => json!({"type": "bytes", "base64": BASE64.encode(bytes)}),
            Self::List(items) => items.iter().map(Self::to_json).collect(),
            Self::Table(table) => tagged("table", table.to_json()),
        }
    }

    fn from_json(json: &Json) -> Result<Self, String> {
        match json {
            Json::Null => Ok(Self::Void),
            Json::Bool(flag) => Ok(Self::Flag(*flag)),
            Json::Number(number) => number.as_i64().and_then(|number| i32::try_from(number).ok()).map(Self::Int32)
                .ok_or_else(|| format!("{number} is not a whole number of 32 bits; others are written as `{{\"type\": …, \"value\": …}}`")),
            Json::String(text) => Ok(Self::LongString(text.clone().into_bytes())),
            Json::Array(items) => Ok(Self::List(items.iter().map(Self::from_json).collect::<Result<_, _>>()?)),
            Json::Object(object) => Self::from_tagged(object),
        }
    }

    fn from_tagged(object: &Map<String, Json>) -> Result<Self, String> {
        let kind = object.get("type").and_then(Json::as_str).ok_or("an object without a text in `type`")?;
        let bad = || format!("not a value of type `{kind}`");
        let value = object.get("value");
        let text = || value.and_then(Json::as_str).ok_or_else(bad);
        fn number<T: TryFrom<i128>>(value: Option<&Json>) -> Option<T> {
            let value = value?;
            let number = value.as_i64().map(i128::from).or_else(|| value.as_u64().map(i128::from))?;
            T::try_from(number).ok()
        }
        let bytes = || {
            let encoded = object.get("base64").and_then(Json::as_str);
            encoded.and_then(|encoded| BASE64.decode(encoded).ok()).ok_or_else(bad)
        };
        // The digits alone: `from_str_radix` takes a sign as well.
        let bits = |digits: usize| {
            let bits = object.get("bits").and_then(Json::as_str)?;
            let is_hex = bits.len() == digits && bits.bytes().all(|byte| byte.is_ascii_hexdigit());
            is_hex.then(|| u64::from_str_radix(bits, 16).ok())?
        };
        Ok(match kind {
            "int8" => Self::Int8(number(value).ok_or_else(bad)?),
            "uint8" => Self::Uint8(number(value).ok_or_else(bad)?),
            "int16" => Self::Int16(number(value).ok_or_else(bad)?),
            "uint16" => Self::Uint16(number(value).ok_or_else(bad)?),
            "int32" => Self::Int32(number(value).ok_or_else(bad)?),
            "uint32" => Self::Uint32(number(value).ok_or_else(bad)?),
            "int64" => Self::Int64(number(value).ok_or_else(bad)?),
            "float" => Self::Float(match bits(8) {
                Some(bits) => u32::try_from(bits).map_err(|_| bad())?,
                None => text()?.parse::<f32>().map_err(|_| bad())?.to_bits(),
            }),
            "double" => Self::Double(match bits(16) {
                Some(bits) => bits,
                None => text()?.parse::<f64>().map_err(|_| bad())?.to_bits(),
            }),
            "decimal" => Self::Decimal {
                scale: number(object.get("scale")).ok_or_else(bad)?,
                value: number(value).ok_or_else(bad)?,
            },
            "timestamp" => Self::Timestamp(number(value).ok_or_else(bad)?),
            "long_string" => Self::LongString(bytes()?),
            "short_string" => Self::ShortString(text()?.to_owned()),
            "bytes" => Self::Bytes(bytes()?),
            "table" => Self::Table(Table::from_json(value.ok_or_else(bad)?)?),
            unknown => return Err(format!("there is no type `{unknown}` of header values")),
        })
    }
}

impl Table {
    /// How many arrays and tables are inside one another, this one not counted.
    #[must_use]
    pub fn depth(&self) -> usize {
        self.0.values().map(Field::depth).max().unwrap_or(0)
    }

    fn to_json(&self) -> Json {
        Json::Object(self.0.iter().map(|(name, field)| (name.clone(), field.to_json())).collect())
    }

    fn from_json(json: &Json) -> Result<Self, String> {
        let object = json.as_object().ok_or("headers are not an object")?;
        let field = |(name, value): (&String, &Json)| {
            let field = Field::from_json(value).map_err(|why| format!("header `{name}`: {why}"))?;
            Ok((name.clone(), field))
        };
        Ok(Self(object.iter().map(field).collect::<Result<_, String>>()?))
    }
}

impl Serialize for Table {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        self.to_json().serialize(serializer)
    }
}

impl<'de> Deserialize<'de> for Table {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        Self::from_json(&Json::deserialize(deserializer)?).map_err(de::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn every_type() -> Table {
        let inner = Table(BTreeMap::from([("type".to_owned(), Field::LongString(b"table".to_vec()))]));
        let fields = [
            Field::Void,
            Field::Flag(true),
            Field::Int8(i8::MIN),
            Field::Uint8(u8::MAX),
            Field::Int16(i16::MIN),
            Field::Uint16(u16::MAX),
            Field::Int32(i32::MIN),
            Field::Uint32(u32::MAX),
            Field::Int64(i64::MIN),
            Field::Int64(i64::MAX),
            Field::Float(0.1_f32.to_bits()),
            Field::Float(f32::NEG_INFINITY.to_bits()),
            Field::Float(0x7fc0_0001),
            Field::Double(0.1_f64.to_bits()),
            Field::Double((-0.0_f64).to_bits()),
            Field::Double(f64::MIN_POSITIVE.to_bits()),
            Field::Double(0x7ff8_dead_beef_0001),
            Field::Decimal { scale: 2, value: 314 },
            Field::Timestamp(u64::MAX),
            Field::LongString("é\u{1b}\"".into()),
            Field::LongString(vec![0xff, 0]),
            Field::ShortString("s".into()),
            Field::Bytes(vec![0, 1, 0xfe]),
            Field::List(vec![Field::Int8(1), Field::List(vec![]), Field::Table(inner.clone())]),
            Field::Table(inner),
            Field::Table(Table::default()),
        ];
        Table(fields.into_iter().enumerate().map(|(at, field)| (format!("h{at}"), field)).collect())
    }

    #[test]
    fn every_type_survives() {
        let table = every_type();
        let text = serde_json::to_string(&table).unwrap();
        assert_eq!(serde_json::from_str::<Table>(&text).unwrap(), table, "{text}");
    }

    #[test]
    fn plain_is_what_json_can_tell() {
        let field = |json: &str| Field::from_json(&serde_json::from_str(json).unwrap());
        assert_eq!(field("null"), Ok(Field::Void));
        assert_eq!(field("7"), Ok(Field::Int32(7)));
        assert_eq!(field("\"a\""), Ok(Field::LongString(b"a".to_vec())));
        assert_eq!(field("[true]"), Ok(Field::List(vec![Field::Flag(true)])));
        assert_eq!(Field::Timestamp(7).to_json(), json!({"type": "timestamp", "value": 7}));
    }

    #[test]
    fn refuses_what_is_no_value() {
        for json in [
            "2147483648",
            "1.5",
            "{}",
            "{\"type\": 7}",
            "{\"type\": \"int8\", \"value\": 128}",
            "{\"type\": \"uint8\", \"value\": -1}",
            "{\"type\": \"double\", \"value\": 1.5}",
            "{\"type\": \"double\", \"bits\": \"7ff\"}",
            "{\"type\": \"bytes\", \"base64\": \"?\"}",
            "{\"type\": \"table\", \"value\": []}",
            "{\"type\": \"complex\", \"value\": 1}",
        ] {
            assert!(Field::from_json(&serde_json::from_str(json).unwrap()).is_err(), "{json}");
        }
    }

    #[test]
    fn knows_its_depth() {
        assert_eq!(Field::List(vec![]).depth(), 1);
        assert_eq!(every_type().depth(), 2);
    }
}
