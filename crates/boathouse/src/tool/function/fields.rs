//! The fields of a struct in the order of its definition, which a JSON object does not keep.

use std::fmt;

use serde::de::{DeserializeOwned, Deserializer, Visitor};
use serde_json::Value;

/// Sorts parameters: required ones as they stand, then the others in the order of the fields of `Args`.
///
/// What is no field (of a flattened struct, say) comes last, in the order it had.
pub(super) fn in_order_of<Args: DeserializeOwned>(parameters: &mut [String], schema: &Value) {
    let Err(Seen(fields)) = Args::deserialize(Asking) else { return };
    let required = schema.get("required").and_then(Value::as_array).map_or(0, Vec::len);
    if let Some(optional) = parameters.get_mut(required..) {
        optional.sort_by_key(|name| fields.iter().position(|field| field == name).unwrap_or(usize::MAX));
    }
}

/// A deserializer that holds nothing: it fails at once with the fields it is asked for.
struct Asking;

#[derive(Debug)]
struct Seen(&'static [&'static str]);

impl fmt::Display for Seen {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "fields {:?}", self.0)
    }
}

impl std::error::Error for Seen {}

impl serde::de::Error for Seen {
    fn custom<T: fmt::Display>(_: T) -> Self {
        Seen(&[])
    }
}

impl<'de> Deserializer<'de> for Asking {
    type Error = Seen;

    fn deserialize_struct<V: Visitor<'de>>(
        self,
        _: &'static str,
        fields: &'static [&'static str],
        _: V,
    ) -> Result<V::Value, Seen> {
        Err(Seen(fields))
    }

    fn deserialize_any<V: Visitor<'de>>(self, _: V) -> Result<V::Value, Seen> {
        Err(Seen(&[]))
    }

    serde::forward_to_deserialize_any! {
        bool i8 i16 i32 i64 i128 u8 u16 u32 u64 u128 f32 f64 char str string bytes byte_buf option unit unit_struct
        newtype_struct seq tuple tuple_struct map enum identifier ignored_any
    }
}
