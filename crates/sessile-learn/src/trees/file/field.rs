//! A document on its way to a file: one tree of fields, written as JSON or as UBJ.

use std::borrow::Cow;

pub(super) enum Field<'a> {
    Text(Cow<'a, str>),
    Int(i64),
    F32s(Vec<f32>),
    I32s(Vec<i32>),
    I64s(Vec<i64>),
    U8s(Vec<u8>),
    List(Vec<Field<'a>>),
    Object(Vec<(&'a str, Field<'a>)>),
}

impl Field<'_> {
    pub(super) fn json(&self, out: &mut Vec<u8>) {
        match self {
            Field::Text(text) => json_text(text, out),
            Field::Int(value) => out.extend(value.to_string().bytes()),
            // Always with a point or an exponent: XGBoost takes other numbers for integers.
            Field::F32s(values) => list(values, out, |value, out| {
                out.extend(format!("{value:?}").bytes());
            }),
            Field::I32s(values) => list(values, out, |value, out| {
                out.extend(value.to_string().bytes());
            }),
            Field::I64s(values) => list(values, out, |value, out| {
                out.extend(value.to_string().bytes());
            }),
            Field::U8s(values) => list(values, out, |value, out| {
                out.extend(value.to_string().bytes());
            }),
            Field::List(values) => list(values, out, |value, out| value.json(out)),
            Field::Object(fields) => {
                out.push(b'{');
                for (place, (key, value)) in fields.iter().enumerate() {
                    if place > 0 {
                        out.push(b',');
                    }
                    json_text(key, out);
                    out.push(b':');
                    value.json(out);
                }
                out.push(b'}');
            }
        }
    }

    pub(super) fn ubj(&self, out: &mut Vec<u8>) {
        match self {
            Field::Text(text) => {
                out.push(b'S');
                ubj_text(text, out);
            }
            Field::Int(value) => ubj_int(*value, out),
            Field::F32s(values) => typed(b'd', values, out, |value| value.to_be_bytes()),
            Field::I32s(values) => typed(b'l', values, out, |value| value.to_be_bytes()),
            Field::I64s(values) => typed(b'L', values, out, |value| value.to_be_bytes()),
            Field::U8s(values) => typed(b'U', values, out, |value| value.to_be_bytes()),
            Field::List(values) => {
                out.extend(*b"[#");
                ubj_length(values.len(), out);
                for value in values {
                    value.ubj(out);
                }
            }
            Field::Object(fields) => {
                out.push(b'{');
                for (key, value) in fields {
                    ubj_text(key, out);
                    value.ubj(out);
                }
                out.push(b'}');
            }
        }
    }
}

fn list<T>(values: &[T], out: &mut Vec<u8>, write: impl Fn(&T, &mut Vec<u8>)) {
    out.push(b'[');
    for (place, value) in values.iter().enumerate() {
        if place > 0 {
            out.push(b',');
        }
        write(value, out);
    }
    out.push(b']');
}

fn json_text(text: &str, out: &mut Vec<u8>) {
    out.extend(serde_json::Value::from(text).to_string().bytes());
}

fn typed<T, const N: usize>(
    kind: u8,
    values: &[T],
    out: &mut Vec<u8>,
    bytes: impl Fn(&T) -> [u8; N],
) {
    out.extend([b'[', b'$', kind, b'#']);
    ubj_length(values.len(), out);
    out.extend(values.iter().flat_map(bytes));
}

/// Lengths are 64 bits wide in XGBoost's files, whatever they are.
fn ubj_length(length: usize, out: &mut Vec<u8>) {
    out.push(b'L');
    out.extend((length as i64).to_be_bytes());
}

fn ubj_text(text: &str, out: &mut Vec<u8>) {
    ubj_length(text.len(), out);
    out.extend(text.bytes());
}

/// The smallest kind that holds a number.
fn ubj_int(value: i64, out: &mut Vec<u8>) {
    if let Ok(value) = i8::try_from(value) {
        out.push(b'i');
        out.extend(value.to_be_bytes());
    } else if let Ok(value) = i16::try_from(value) {
        out.push(b'I');
        out.extend(value.to_be_bytes());
    } else if let Ok(value) = i32::try_from(value) {
        out.push(b'l');
        out.extend(value.to_be_bytes());
    } else {
        out.push(b'L');
        out.extend(value.to_be_bytes());
    }
}
