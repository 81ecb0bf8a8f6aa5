//! Members of an event as values of a column.

use std::net::IpAddr;

use rusqlite::Row;
use rusqlite::types::{FromSqlError, Type, Value};

/// What a column can hold.
pub(super) trait Column: Sized {
    fn put(&self) -> Value;
    fn take(value: Value) -> Option<Self>;
}

pub(super) fn put<T: Column>(member: Option<&T>) -> Value {
    member.map_or(Value::Null, Column::put)
}

pub(super) fn take<T: Column>(row: &Row<'_>, column: usize) -> rusqlite::Result<Option<T>> {
    match row.get(column)? {
        Value::Null => Ok(None),
        value => match T::take(value) {
            Some(member) => Ok(Some(member)),
            None => Err(unreadable(column)),
        },
    }
}

/// Somebody else has written it.
pub(super) fn unreadable(column: usize) -> rusqlite::Error {
    let error = FromSqlError::InvalidType;
    rusqlite::Error::FromSqlConversionFailure(column, Type::Null, Box::new(error))
}

impl Column for u64 {
    fn put(&self) -> Value {
        Value::Integer(self.cast_signed())
    }

    fn take(value: Value) -> Option<Self> {
        match value {
            Value::Integer(number) => Some(number.cast_unsigned()),
            _ => None,
        }
    }
}

impl Column for u16 {
    fn put(&self) -> Value {
        Value::Integer(i64::from(*self))
    }

    fn take(value: Value) -> Option<Self> {
        match value {
            Value::Integer(number) => number.try_into().ok(),
            _ => None,
        }
    }
}

impl Column for bool {
    fn put(&self) -> Value {
        Value::Integer(i64::from(*self))
    }

    fn take(value: Value) -> Option<Self> {
        match value {
            Value::Integer(number) => Some(number != 0),
            _ => None,
        }
    }
}

impl Column for f64 {
    fn put(&self) -> Value {
        Value::Real(*self)
    }

    fn take(value: Value) -> Option<Self> {
        match value {
            Value::Real(number) => Some(number),
            _ => None,
        }
    }
}

impl Column for String {
    fn put(&self) -> Value {
        Value::Text(self.clone())
    }

    fn take(value: Value) -> Option<Self> {
        match value {
            Value::Text(text) => Some(text),
            _ => None,
        }
    }
}

impl Column for IpAddr {
    fn put(&self) -> Value {
        Value::Text(self.to_string())
    }

    fn take(value: Value) -> Option<Self> {
        match value {
            Value::Text(text) => text.parse().ok(),
            _ => None,
        }
    }
}
