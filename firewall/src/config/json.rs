//! A tree as JSON.
//!
//! A plain scalar is a number, `true` or `false` where it is written exactly as JSON writes it, and
//! else a string: `8080` is a number, `0123` and `10m` are strings. So every document comes back the
//! same from JSON.

use serde_json::{Map, Number, Value};

use super::yaml::{Kind, Node};

pub(super) fn of(node: &Node) -> Value {
    match &node.kind {
        Kind::Null => Value::Null,
        Kind::Scalar { text, quoted } => scalar(text, *quoted),
        Kind::Seq(items) => Value::Array(items.iter().map(of).collect()),
        Kind::Map(entries) => Value::Object(
            entries
                .iter()
                .map(|(key, value)| (key_of(key).to_owned(), of(value)))
                .collect::<Map<_, _>>(),
        ),
    }
}

/// What a key is called, in JSON and in pointers.
pub(super) fn key_of(key: &Node) -> &str {
    key.text().unwrap_or("~")
}

pub(super) fn scalar(text: &str, quoted: bool) -> Value {
    if quoted {
        return Value::String(text.to_owned());
    }
    match text {
        "true" => Value::Bool(true),
        "false" => Value::Bool(false),
        _ => match text.parse::<Number>() {
            Ok(number) if number.to_string() == text => Value::Number(number),
            _ => Value::String(text.to_owned()),
        },
    }
}
