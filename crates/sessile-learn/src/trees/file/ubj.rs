//! Universal Binary JSON (<https://ubjson.org>), read by serde: the part of it that XGBoost
//! writes, which is everything but high-precision numbers and objects of one type.
//!
//! A length is believed only as far as there are bytes left, and nesting has a limit.

use std::fmt;

use serde::de::{
    self, DeserializeOwned, DeserializeSeed, Deserializer, MapAccess, SeqAccess, Visitor,
};
use serde::forward_to_deserialize_any;

/// Objects and arrays within each other; XGBoost's files have 6.
const MAX_DEPTH: usize = 32;

pub(super) fn from_slice<T: DeserializeOwned>(bytes: &[u8]) -> Result<T, UbjError> {
    let mut reader = Reader {
        bytes,
        place: 0,
        depth: 0,
    };
    let value = T::deserialize(&mut reader)?;
    if reader.place < bytes.len() {
        return Err(reader.error("there is more behind the document"));
    }
    Ok(value)
}

/// What is wrong, and where.
#[derive(Debug)]
pub(super) struct UbjError(String);

impl fmt::Display for UbjError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for UbjError {}

impl de::Error for UbjError {
    fn custom<T: fmt::Display>(message: T) -> Self {
        UbjError(message.to_string())
    }
}

struct Reader<'a> {
    bytes: &'a [u8],
    place: usize,
    depth: usize,
}

impl<'a> Reader<'a> {
    fn error(&self, what: impl fmt::Display) -> UbjError {
        UbjError(format!("{what} (byte {})", self.place))
    }

    fn take(&mut self, length: usize) -> Result<&'a [u8], UbjError> {
        let left = &self.bytes[self.place..];
        let taken = left
            .get(..length)
            .ok_or_else(|| self.error(format!("{length} bytes asked for, {} left", left.len())))?;
        self.place += length;
        Ok(taken)
    }

    fn array<const N: usize>(&mut self) -> Result<[u8; N], UbjError> {
        let mut array = [0; N];
        array.copy_from_slice(self.take(N)?);
        Ok(array)
    }

    fn byte(&mut self) -> Result<u8, UbjError> {
        Ok(self.array::<1>()?[0])
    }

    /// The next byte that is not the mark for nothing.
    fn mark(&mut self) -> Result<u8, UbjError> {
        loop {
            match self.byte()? {
                b'N' => {}
                mark => return Ok(mark),
            }
        }
    }

    fn peek(&mut self) -> Result<u8, UbjError> {
        let mark = self.mark()?;
        self.place -= 1;
        Ok(mark)
    }

    fn int(&mut self, kind: u8) -> Result<Option<i64>, UbjError> {
        Ok(Some(match kind {
            b'i' => i8::from_be_bytes(self.array()?).into(),
            b'U' => self.byte()?.into(),
            b'I' => i16::from_be_bytes(self.array()?).into(),
            b'l' => i32::from_be_bytes(self.array()?).into(),
            b'L' => i64::from_be_bytes(self.array()?),
            _ => return Ok(None),
        }))
    }

    fn length(&mut self) -> Result<usize, UbjError> {
        let kind = self.mark()?;
        let length = self.int(kind)?;
        (length.and_then(|length| usize::try_from(length).ok()))
            .ok_or_else(|| self.error("a length is no count"))
    }

    fn text(&mut self) -> Result<&'a str, UbjError> {
        let length = self.length()?;
        let bytes = self.take(length)?;
        std::str::from_utf8(bytes).map_err(|_| self.error("a text is not UTF-8"))
    }

    fn value<'de, V: Visitor<'de>>(&mut self, kind: u8, visitor: V) -> Result<V::Value, UbjError> {
        if let Some(value) = self.int(kind)? {
            return match u64::try_from(value) {
                Ok(value) => visitor.visit_u64(value),
                Err(_) => visitor.visit_i64(value),
            };
        }
        match kind {
            b'd' => visitor.visit_f32(f32::from_be_bytes(self.array()?)),
            b'D' => visitor.visit_f64(f64::from_be_bytes(self.array()?)),
            b'T' => visitor.visit_bool(true),
            b'F' => visitor.visit_bool(false),
            b'Z' => visitor.visit_unit(),
            b'S' => visitor.visit_str(self.text()?),
            b'C' => visitor.visit_char(self.byte()?.into()),
            b'[' | b'{' => {
                if self.depth == MAX_DEPTH {
                    return Err(self.error("things lie too deep within each other"));
                }
                self.depth += 1;
                let value = match kind {
                    b'[' => self.list(visitor)?,
                    _ => visitor.visit_map(Fields { reader: self })?,
                };
                self.depth -= 1;
                Ok(value)
            }
            other => Err(self.error(format!("{:?} is no type of value", char::from(other)))),
        }
    }

    fn list<'de, V: Visitor<'de>>(&mut self, visitor: V) -> Result<V::Value, UbjError> {
        let mut kind = None;
        if self.peek()? == b'$' {
            self.mark()?;
            let of = self.byte()?;
            // Values that take no bytes would make a short file a long list.
            if !b"iUIlLdDC".contains(&of) {
                return Err(self.error(format!("a list of type {:?}", char::from(of))));
            }
            kind = Some(of);
        }
        let left = if self.peek()? == b'#' {
            self.mark()?;
            let length = self.length()?;
            if length > self.bytes.len() - self.place {
                return Err(self.error(format!("a list of {length} is longer than the file")));
            }
            Some(length)
        } else if kind.is_some() {
            return Err(self.error("a list of one type does not say its length"));
        } else {
            None
        };
        let mut items = Items {
            reader: self,
            kind,
            left,
        };
        let value = visitor.visit_seq(&mut items)?;
        if items.left.is_some_and(|left| left > 0) {
            return Err(items.reader.error("a list has more items than it may"));
        }
        Ok(value)
    }
}

struct Items<'r, 'a> {
    reader: &'r mut Reader<'a>,
    /// The type of all items, else each says its own.
    kind: Option<u8>,
    /// How many are to come, else a bracket ends them.
    left: Option<usize>,
}

impl<'de> SeqAccess<'de> for &mut Items<'_, '_> {
    type Error = UbjError;

    fn next_element_seed<T: DeserializeSeed<'de>>(
        &mut self,
        seed: T,
    ) -> Result<Option<T::Value>, UbjError> {
        match &mut self.left {
            Some(0) => return Ok(None),
            Some(left) => *left -= 1,
            None if self.reader.peek()? == b']' => {
                self.reader.mark()?;
                return Ok(None);
            }
            None => {}
        }
        let kind = match self.kind {
            Some(kind) => kind,
            None => self.reader.mark()?,
        };
        let value = Value {
            reader: self.reader,
            kind,
        };
        seed.deserialize(value).map(Some)
    }

    fn size_hint(&self) -> Option<usize> {
        self.left
    }
}

struct Fields<'r, 'a> {
    reader: &'r mut Reader<'a>,
}

impl<'de> MapAccess<'de> for Fields<'_, '_> {
    type Error = UbjError;

    fn next_key_seed<K: DeserializeSeed<'de>>(
        &mut self,
        seed: K,
    ) -> Result<Option<K::Value>, UbjError> {
        if self.reader.peek()? == b'}' {
            self.reader.mark()?;
            return Ok(None);
        }
        let key = self.reader.text()?;
        seed.deserialize(de::value::StrDeserializer::new(key))
            .map(Some)
    }

    fn next_value_seed<V: DeserializeSeed<'de>>(&mut self, seed: V) -> Result<V::Value, UbjError> {
        let kind = self.reader.mark()?;
        let value = Value {
            reader: self.reader,
            kind,
        };
        seed.deserialize(value)
    }
}

/// A value whose type has been read.
struct Value<'r, 'a> {
    reader: &'r mut Reader<'a>,
    kind: u8,
}

impl<'de> Deserializer<'de> for Value<'_, '_> {
    type Error = UbjError;

    fn deserialize_any<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, UbjError> {
        self.reader.value(self.kind, visitor)
    }

    fn deserialize_option<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, UbjError> {
        match self.kind {
            b'Z' => visitor.visit_none(),
            _ => visitor.visit_some(self),
        }
    }

    forward_to_deserialize_any! {
        bool i8 i16 i32 i64 i128 u8 u16 u32 u64 u128 f32 f64 char str string bytes byte_buf unit
        unit_struct newtype_struct seq tuple tuple_struct map struct enum identifier ignored_any
    }
}

impl<'de> Deserializer<'de> for &mut Reader<'_> {
    type Error = UbjError;

    fn deserialize_any<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, UbjError> {
        let kind = self.mark()?;
        self.value(kind, visitor)
    }

    forward_to_deserialize_any! {
        bool i8 i16 i32 i64 i128 u8 u16 u32 u64 u128 f32 f64 char str string bytes byte_buf unit
        unit_struct newtype_struct option seq tuple tuple_struct map struct enum identifier
        ignored_any
    }
}
