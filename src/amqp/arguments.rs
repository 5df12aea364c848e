//! The arguments of exchanges, queues and bindings, from JSON as they are shown to AMQP as they are declared.

use lapin::types::{AMQPValue, FieldTable};
use serde_json::Value as Json;

use super::declare::{SetUpError, short};
use crate::core::site::Arguments;

/// Arguments as AMQP has them. RabbitMQ compares numbers by value, so that any type that holds one will do.
pub(super) fn table(arguments: &Arguments) -> Result<FieldTable, SetUpError> {
    let mut table = FieldTable::default();
    for (name, json) in arguments {
        table.insert(short(name)?, field(json)?);
    }
    Ok(table)
}

fn field(json: &Json) -> Result<AMQPValue, SetUpError> {
    Ok(match json {
        Json::Null => AMQPValue::Void,
        Json::Bool(flag) => AMQPValue::Boolean(*flag),
        Json::Number(number) => {
            match (number.as_u64().map(u32::try_from), number.as_i64(), number.as_f64()) {
                (Some(Ok(small)), ..) => AMQPValue::LongUInt(small),
                (_, Some(whole), _) => AMQPValue::LongLongInt(whole),
                (_, None, float) => AMQPValue::Double(float.unwrap_or_default()),
            }
        }
        Json::String(text) => AMQPValue::LongString(text.as_str().into()),
        Json::Array(values) => {
            let values = values.iter().map(field).collect::<Result<Vec<_>, _>>()?;
            AMQPValue::FieldArray(values.into())
        }
        Json::Object(fields) => {
            let fields = fields.iter().map(|(name, value)| (name.clone(), value.clone()));
            AMQPValue::FieldTable(table(&fields.collect())?)
        }
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_kind_of_value_has_its_type() {
        let json = r#"{"text": "a", "small": 10, "large": 5000000000, "negative": -1, "half": 0.5, "on": true,
                       "none": null, "list": [1], "table": {"x": "y"}}"#;
        let table = table(&serde_json::from_str(json).unwrap()).unwrap();
        let inner = |name: &str| table.inner().get(name).cloned().unwrap();
        assert_eq!(inner("text"), AMQPValue::LongString("a".into()));
        assert_eq!(inner("small"), AMQPValue::LongUInt(10));
        assert_eq!(inner("large"), AMQPValue::LongLongInt(5_000_000_000));
        assert_eq!(inner("negative"), AMQPValue::LongLongInt(-1));
        assert_eq!(inner("half"), AMQPValue::Double(0.5));
        assert_eq!(inner("on"), AMQPValue::Boolean(true));
        assert_eq!(inner("none"), AMQPValue::Void);
        assert_eq!(inner("list"), AMQPValue::FieldArray(vec![AMQPValue::LongUInt(1)].into()));
        let AMQPValue::FieldTable(table) = inner("table") else { panic!() };
        assert_eq!(table.inner().get("x"), Some(&AMQPValue::LongString("y".into())));
    }

    #[test]
    fn a_name_that_amqp_has_no_room_for_is_refused() {
        let arguments = [("n".repeat(256), Json::Null)].into();
        assert!(matches!(table(&arguments), Err(SetUpError::NameTooLong { bytes: 256 })));
    }
}
