//! The JSON of events: the envelope is read with types, `data` is carried as the text that came in.
//!
//! Nothing here builds a tree of values. Numbers of any size, key order, escapes and lone surrogates
//! inside `data` survive, because nobody looks at them.

use std::borrow::Cow;

use serde::de::{self, Deserialize, DeserializeSeed, Deserializer, MapAccess, Visitor};
use serde_json::value::RawValue;

use super::message::Reason;

/// Bodies up to this size are read: RabbitMQ's own default limit since 4.0.
pub const MAX_BODY_BYTES: usize = 16 * 1024 * 1024;

/// `data` may be nested this deep. Python's JSON decoder, which nearly all old clients use, gives up
/// a little below 1000 levels, and that exception ends a pika callback loop.
pub const MAX_DEPTH: usize = 900;

/// An event name may have this many bytes, for it becomes a routing key.
pub const MAX_NAME_BYTES: usize = 255;

/// The envelope of an event of either era. Other top-level keys are skipped.
#[derive(Debug)]
pub struct Envelope<'m> {
    /// The event's name: not empty, no control characters, at most [`MAX_NAME_BYTES`].
    pub name: Cow<'m, str>,
    /// The server that the event came from, as the event has it: any JSON.
    pub origin_uuid: Option<&'m RawValue>,
    /// The event's own data, as it came; `null` where there was none.
    pub data: &'m RawValue,
}

/// Why a body is not an event.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Unreadable {
    /// The kind of reason.
    pub reason: Reason,
    /// The reason for people.
    pub detail: String,
}

impl<'m> Envelope<'m> {
    /// Reads the body of a message.
    ///
    /// # Errors
    /// When the body is too large, not UTF-8, not JSON, not an object, has an envelope key twice, no
    /// usable name, or data nested deeper than [`MAX_DEPTH`].
    pub fn read(body: &'m [u8]) -> Result<Self, Unreadable> {
        if body.len() > MAX_BODY_BYTES {
            let detail = format!("{} bytes, more than the {MAX_BODY_BYTES} that are read", body.len());
            return Err(Unreadable { reason: Reason::TooLarge, detail });
        }
        let text = std::str::from_utf8(body).map_err(|error| Unreadable {
            reason: Reason::NotUtf8,
            detail: format!("byte {} is not UTF-8", error.valid_up_to()),
        })?;
        let keys: Keys<'m> = serde_json::from_str(text).map_err(|error| why_not_json(text, &error))?;
        let name = read_name(keys.name)?;
        let data = keys.data.unwrap_or(RawValue::NULL);
        if deeper_than(data.get(), MAX_DEPTH) {
            let detail = format!("`data` is nested deeper than {MAX_DEPTH} levels");
            return Err(Unreadable { reason: Reason::TooDeep, detail });
        }
        Ok(Self { name, origin_uuid: keys.origin_uuid, data })
    }
}

fn read_name(raw: Option<&RawValue>) -> Result<Cow<'_, str>, Unreadable> {
    let bad = |detail: String| Unreadable { reason: Reason::BadName, detail };
    let raw = raw.ok_or_else(|| bad("no `name`".into()))?;
    let name = text_of(raw).ok_or_else(|| {
        let kind = if raw.get().starts_with('"') { "not a valid text" } else { "not a text" };
        bad(format!("`name` is {kind}"))
    })?;
    if name.is_empty() {
        return Err(bad("`name` is empty".into()));
    }
    if name.len() > MAX_NAME_BYTES {
        return Err(bad(format!("`name` has {} bytes, more than {MAX_NAME_BYTES}", name.len())));
    }
    if name.chars().any(char::is_control) {
        return Err(bad("`name` holds control characters".into()));
    }
    Ok(name)
}

fn why_not_json(text: &str, error: &serde_json::Error) -> Unreadable {
    use serde_json::error::Category;
    let unreadable = |reason, detail| Unreadable { reason, detail };
    if text.starts_with('\u{feff}') {
        return unreadable(Reason::NotJson, "begins with a byte order mark".into());
    }
    match error.classify() {
        Category::Data => {
            // Where a value is of the wrong kind, serde_json repeats it; only our own sentence may be shown.
            let detail = match error.to_string().split_once(REPEATED_KEY) {
                Some((key, _)) => format!("`{key}` is there twice"),
                None => "not an object".into(),
            };
            unreadable(Reason::NotAnEvent, detail)
        }
        _ => {
            let place = format!("line {} column {}", error.line(), error.column());
            unreadable(Reason::NotJson, format!("not JSON at {place}"))
        }
    }
}

/// The envelope keys as they stand in the body.
#[derive(Default)]
struct Keys<'m> {
    name: Option<&'m RawValue>,
    origin_uuid: Option<&'m RawValue>,
    required_acl: Option<&'m RawValue>,
    data: Option<&'m RawValue>,
}

const REPEATED_KEY: &str = "\u{0} is repeated";

impl<'de: 'm, 'm> Deserialize<'de> for Keys<'m> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct KeysVisitor;
        impl<'de> Visitor<'de> for KeysVisitor {
            type Value = Keys<'de>;

            fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.write_str("an object")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Keys<'de>, A::Error> {
                let mut keys = Keys::default();
                while let Some(Text(key)) = map.next_key()? {
                    let slot = match &*key {
                        "name" => &mut keys.name,
                        "origin_uuid" => &mut keys.origin_uuid,
                        "required_acl" => &mut keys.required_acl,
                        "data" => &mut keys.data,
                        _ => {
                            map.next_value::<de::IgnoredAny>()?;
                            continue;
                        }
                    };
                    if slot.replace(map.next_value()?).is_some() {
                        return Err(de::Error::custom(format_args!("{key}{REPEATED_KEY}")));
                    }
                }
                Ok(keys)
            }
        }
        deserializer.deserialize_map(KeysVisitor)
    }
}

/// A text that is borrowed from the input where it has no escapes.
struct Text<'m>(Cow<'m, str>);

impl<'de: 'm, 'm> Deserialize<'de> for Text<'m> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct TextVisitor;
        impl<'de> Visitor<'de> for TextVisitor {
            type Value = Text<'de>;

            fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.write_str("a text")
            }

            fn visit_borrowed_str<E>(self, text: &'de str) -> Result<Text<'de>, E> {
                Ok(Text(Cow::Borrowed(text)))
            }

            fn visit_str<E>(self, text: &str) -> Result<Text<'de>, E> {
                Ok(Text(Cow::Owned(text.to_owned())))
            }
        }
        deserializer.deserialize_str(TextVisitor)
    }
}

/// The value of a JSON text, or `None` for any other JSON and for texts with lone surrogates.
#[must_use]
pub fn text_of(raw: &RawValue) -> Option<Cow<'_, str>> {
    serde_json::from_str::<Text<'_>>(raw.get()).ok().map(|text| text.0)
}

/// The elements of a JSON array, or `None` for any other JSON.
#[must_use]
pub fn elements_of(raw: &RawValue) -> Option<Vec<&RawValue>> {
    serde_json::from_str(raw.get()).ok()
}

/// The fields of a JSON object in their order, repeated ones included.
#[derive(Debug)]
pub struct Fields<'m>(pub Vec<(Cow<'m, str>, &'m RawValue)>);

impl<'m> Fields<'m> {
    /// Reads the fields, or `None` for any other JSON and for keys with lone surrogates.
    #[must_use]
    pub fn of(raw: &'m RawValue) -> Option<Self> {
        Self::wanted(raw, |_| true)
    }

    /// The same with fields of these names alone.
    #[must_use]
    pub fn wanted(raw: &'m RawValue, is_wanted: impl Fn(&str) -> bool) -> Option<Self> {
        Wanted(is_wanted).deserialize(&mut serde_json::Deserializer::from_str(raw.get())).ok()
    }

    /// The value of the field, if it is there once; how often it is there, if not.
    ///
    /// # Errors
    /// The number of fields of this name, when it is not one.
    pub fn single(&self, name: &str) -> Result<&'m RawValue, usize> {
        let mut found = self.0.iter().filter(|(key, _)| key == name);
        match (found.next(), found.count()) {
            (Some((_, value)), 0) => Ok(value),
            (Some(_), more) => Err(more + 1),
            (None, _) => Err(0),
        }
    }
}

/// Reads the fields of names that are wanted.
struct Wanted<W>(W);

impl<'de, W: Fn(&str) -> bool> DeserializeSeed<'de> for Wanted<W> {
    type Value = Fields<'de>;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Fields<'de>, D::Error> {
        deserializer.deserialize_map(self)
    }
}

impl<'de, W: Fn(&str) -> bool> Visitor<'de> for Wanted<W> {
    type Value = Fields<'de>;

    fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("an object")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Fields<'de>, A::Error> {
        let mut fields = Vec::new();
        while let Some(Text(key)) = map.next_key()? {
            if (self.0)(&key) {
                fields.push((key, map.next_value()?));
            } else {
                map.next_value::<de::IgnoredAny>()?;
            }
        }
        Ok(Fields(fields))
    }
}

/// Whether arrays and objects are nested deeper than `limit` in this JSON.
#[must_use]
pub fn deeper_than(json: &str, limit: usize) -> bool {
    // Every level takes two bytes, so most events need no look at all. Nor are there more levels than brackets that open,
    // and to count these is quick: many bytes are taken at once.
    let opens = |byte: &u8| matches!(byte, b'[' | b'{');
    if json.len() / 2 <= limit || json.bytes().filter(opens).count() <= limit {
        return false;
    }
    let (mut depth, mut in_text, mut escaped) = (0_usize, false, false);
    for byte in json.bytes() {
        match byte {
            _ if escaped => escaped = false,
            b'\\' if in_text => escaped = true,
            b'"' => in_text = !in_text,
            _ if in_text => {}
            b'[' | b'{' => {
                depth += 1;
                if depth > limit {
                    return true;
                }
            }
            b']' | b'}' => depth -= 1,
            _ => {}
        }
    }
    false
}

/// Appends JSON with everything beyond ASCII escaped, as Python's `json.dumps` writes it.
pub fn push_ascii(out: &mut Vec<u8>, json: &str) {
    if json.is_ascii() {
        out.extend_from_slice(json.as_bytes());
        return;
    }
    // In JSON only texts hold anything beyond ASCII, and there every character may be escaped.
    for c in json.chars() {
        if c.is_ascii() {
            out.push(c as u8);
        } else {
            for unit in c.encode_utf16(&mut [0; 2]) {
                const HEX: &[u8; 16] = b"0123456789abcdef";
                let digit = |shift: u32| HEX[usize::from(*unit >> shift & 0xf)];
                out.extend_from_slice(&[b'\\', b'u', digit(12), digit(8), digit(4), digit(0)]);
            }
        }
    }
}

/// The text as JSON.
#[must_use]
pub fn json_text(text: &str) -> String {
    // Serialising a text to memory cannot fail.
    serde_json::to_string(text).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refused(body: &[u8]) -> (Reason, String) {
        let unreadable = Envelope::read(body).unwrap_err();
        (unreadable.reason, unreadable.detail)
    }

    #[test]
    fn reads_the_envelope_of_either_era() {
        let event = Envelope::read(br#"{"name": "call_held", "data": {"call_id": "1.2"}}"#).unwrap();
        assert_eq!((&*event.name, event.data.get()), ("call_held", r#"{"call_id": "1.2"}"#));
        assert!(event.origin_uuid.is_none());

        let event =
            Envelope::read(br#"{"data":1,"extra":[{}],"required_acl":null,"origin_uuid":"u","name":"x"}"#);
        assert_eq!(event.unwrap().origin_uuid.unwrap().get(), r#""u""#);
    }

    #[test]
    fn data_is_null_where_there_is_none() {
        assert_eq!(Envelope::read(br#"{"name":"x"}"#).unwrap().data.get(), "null");
    }

    #[test]
    fn data_comes_out_as_it_went_in() {
        let data = r#"{"b":1.0,"a":123456789012345678901234567890,"a":1E5,"s":"\ud800 \/ \u00e9"}"#;
        let body = format!(r#"{{"name":"x","data":{data}}}"#);
        assert_eq!(Envelope::read(body.as_bytes()).unwrap().data.get(), data);
    }

    #[test]
    fn refuses_what_is_no_event() {
        assert_eq!(refused(b"not json").0, Reason::NotJson);
        assert_eq!(refused(b"").0, Reason::NotJson);
        assert_eq!(refused(b"{\"name\":\"x\"} {}").0, Reason::NotJson);
        assert_eq!(refused(b"\xef\xbb\xbf{\"name\":\"x\"}").1, "begins with a byte order mark");
        assert_eq!(refused(b"{\"name\":\"x\",\"data\":NaN}").0, Reason::NotJson);
        assert_eq!(refused(b"{\"name\":\"\xff\"}").0, Reason::NotUtf8);
        assert_eq!(refused(b"[1]"), (Reason::NotAnEvent, "not an object".into()));
        assert_eq!(refused(b"null").0, Reason::NotAnEvent);
        assert_eq!(
            refused(br#"{"name":"x","n\u0061me":"y"}"#),
            (Reason::NotAnEvent, "`name` is there twice".into())
        );
        assert_eq!(refused(br#"{"name":"x","data":1,"data":2}"#).1, "`data` is there twice");
        assert_eq!(refused(br#"{"name":"x","required_acl":"a","required_acl":null}"#).0, Reason::NotAnEvent);
    }

    #[test]
    fn refuses_a_name_that_is_none() {
        assert_eq!(refused(br#"{"data":1}"#), (Reason::BadName, "no `name`".into()));
        assert_eq!(refused(br#"{"name":null}"#).1, "`name` is not a text");
        assert_eq!(refused(br#"{"name":["x"]}"#).1, "`name` is not a text");
        assert_eq!(refused(br#"{"name":"\ud800"}"#).1, "`name` is not a valid text");
        assert_eq!(refused(br#"{"name":""}"#).1, "`name` is empty");
        assert_eq!(refused(br#"{"name":"a\nb"}"#).1, "`name` holds control characters");
        let long = format!(r#"{{"name":"{}"}}"#, "x".repeat(256));
        assert_eq!(refused(long.as_bytes()).0, Reason::BadName);
        let longest = format!(r#"{{"name":"{}"}}"#, "x".repeat(255));
        assert!(Envelope::read(longest.as_bytes()).is_ok());
    }

    #[test]
    fn nesting_survives_up_to_what_python_reads() {
        let nested = |levels: usize| {
            format!(r#"{{"name":"x","data":{}{}}}"#, "[".repeat(levels), "]".repeat(levels)).into_bytes()
        };
        assert!(Envelope::read(&nested(900)).is_ok());
        assert_eq!(refused(&nested(901)).0, Reason::TooDeep);
        assert_eq!(refused(&nested(100_000)).0, Reason::TooDeep);
    }

    #[test]
    fn brackets_inside_texts_are_no_nesting() {
        let body = format!(r#"{{"name":"x","data":["{}\"[["]}}"#, "[{".repeat(2000));
        assert!(Envelope::read(body.as_bytes()).is_ok());
    }

    #[test]
    fn a_body_beyond_the_limit_is_not_read() {
        let mut body = br#"{"name":"x","data":""#.to_vec();
        body.resize(MAX_BODY_BYTES - 2, b'a');
        body.extend_from_slice(b"\"}");
        assert!(Envelope::read(&body).is_ok());
        body.push(b' ');
        assert_eq!(refused(&body).0, Reason::TooLarge);
    }

    #[test]
    fn escapes_everything_beyond_ascii() {
        let mut out = Vec::new();
        push_ascii(&mut out, "\"Québec \u{1f600}\"");
        assert_eq!(String::from_utf8(out).unwrap(), r#""Qu\u00e9bec \ud83d\ude00""#);
    }

    #[test]
    fn a_field_that_is_there_twice_is_not_read() {
        let raw: &RawValue = serde_json::from_str(r#"{"a":1,"b":2,"a":3}"#).unwrap();
        let fields = Fields::of(raw).unwrap();
        assert_eq!(fields.single("b").unwrap().get(), "2");
        assert_eq!(fields.single("a").unwrap_err(), 2);
        assert_eq!(fields.single("c").unwrap_err(), 0);
        let wanted = Fields::wanted(raw, |name| name == "a").unwrap();
        assert_eq!((wanted.single("a").unwrap_err(), wanted.single("b").unwrap_err()), (2, 0));
    }
}
