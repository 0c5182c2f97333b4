//! Object headers: what a dataset is.

use std::io;

/// Everything begins at a multiple of this.
pub(super) const ALIGNMENT: u64 = 8;

/// "No address".
pub(super) const UNDEFINED: u64 = u64::MAX;

/// Bytes of a header before its messages.
const PREFIX_BYTES: usize = 16;

// Kinds of header messages (section IV.A.2).
const DATASPACE: u16 = 0x0001;
const DATATYPE: u16 = 0x0003;
const FILL_VALUE: u16 = 0x0005;
const LAYOUT: u16 = 0x0008;
const ATTRIBUTE: u16 = 0x000C;
pub(super) const SYMBOL_TABLE: u16 = 0x0011;

/// The value of an attribute.
pub(super) enum Number<'a> {
    Text(&'a str),
    Integer(i64),
    Flag(bool),
    Float(f64),
}

pub(super) struct Attribute<'a> {
    pub(super) name: &'a str,
    pub(super) value: Number<'a>,
}

/// A dataset of floats that lie in one piece behind its header.
pub(super) struct Dataset<'a> {
    pub(super) shape: &'a [usize],
    /// 4 or 8.
    pub(super) element_bytes: u32,
    pub(super) attributes: &'a [Attribute<'a>],
}

/// A header in which the address of the data is still to be filled in.
pub(super) struct Header {
    bytes: Vec<u8>,
    /// Where the address stands; `None` when there is no data.
    address: Option<usize>,
}

impl Header {
    /// The header as it stands at `position`, its data right behind it.
    pub(super) fn at(mut self, position: u64) -> Vec<u8> {
        let data = position + self.bytes.len() as u64;
        if let Some(address) = self.address {
            self.bytes[address..address + 8].copy_from_slice(&data.to_le_bytes());
        }
        self.bytes
    }
}

impl Dataset<'_> {
    pub(super) fn header(&self, data_bytes: u64) -> io::Result<Header> {
        let mut messages = Messages::default();
        messages.push(DATASPACE, &dataspace(self.shape))?;
        messages.push(DATATYPE, &float(self.element_bytes))?;
        // Version 2, allocated late, written if set, not defined.
        messages.push(FILL_VALUE, &[2, 2, 2, 0])?;
        // Version 3, in one piece.
        let mut layout = vec![3, 1];
        layout.extend_from_slice(&UNDEFINED.to_le_bytes());
        layout.extend_from_slice(&data_bytes.to_le_bytes());
        let layout = messages.push(LAYOUT, &layout)?;
        for attribute in self.attributes {
            messages.push(ATTRIBUTE, &attribute.message()?)?;
        }
        Ok(Header {
            address: (data_bytes > 0).then_some(PREFIX_BYTES + layout + 2),
            bytes: messages.header(),
        })
    }
}

/// Messages of a header of version 1.
#[derive(Default)]
pub(super) struct Messages {
    bytes: Vec<u8>,
    count: u16,
}

impl Messages {
    /// Adds a message; its body begins at what this returns, counted from the first message.
    pub(super) fn push(&mut self, kind: u16, body: &[u8]) -> io::Result<usize> {
        let padded = body.len().next_multiple_of(ALIGNMENT as usize);
        let length = u16::try_from(padded).map_err(|_| {
            io::Error::new(
                io::ErrorKind::InvalidInput,
                "an identifier of more than 65,000 bytes can not be stored in HDF5",
            )
        })?;
        self.bytes.extend_from_slice(&kind.to_le_bytes());
        self.bytes.extend_from_slice(&length.to_le_bytes());
        self.bytes.extend_from_slice(&[0; 4]);
        let start = self.bytes.len();
        self.bytes.extend_from_slice(body);
        self.bytes.resize(start + padded, 0);
        self.count += 1;
        Ok(start)
    }

    /// The header with all messages.
    pub(super) fn header(self) -> Vec<u8> {
        let mut header = vec![1, 0];
        header.extend_from_slice(&self.count.to_le_bytes());
        header.extend_from_slice(&1u32.to_le_bytes());
        header.extend_from_slice(&(self.bytes.len() as u32).to_le_bytes());
        header.resize(PREFIX_BYTES, 0);
        header.extend_from_slice(&self.bytes);
        header
    }
}

impl Attribute<'_> {
    fn message(&self) -> io::Result<Vec<u8>> {
        let (datatype, value) = match self.value {
            // A length of zero is none that readers take.
            Number::Text(text) => (
                string(text.len().max(1) as u32),
                [text.as_bytes(), &[0][text.len().min(1)..]].concat(),
            ),
            Number::Integer(number) => (integer(8), number.to_le_bytes().to_vec()),
            Number::Flag(flag) => (boolean(), vec![u8::from(flag)]),
            Number::Float(number) => (float(8), number.to_le_bytes().to_vec()),
        };
        let name = [self.name.as_bytes(), &[0]].concat();
        let dataspace = dataspace(&[]);
        let mut message = vec![1, 0];
        for part in [&name, &datatype, &dataspace] {
            message.extend_from_slice(&(part.len() as u16).to_le_bytes());
        }
        for part in [&name, &datatype, &dataspace, &value] {
            message.extend_from_slice(part);
            message.resize(message.len().next_multiple_of(ALIGNMENT as usize), 0);
        }
        Ok(message)
    }
}

/// Version 1, without greatest lengths.
fn dataspace(shape: &[usize]) -> Vec<u8> {
    let mut bytes = vec![1, shape.len() as u8, 0, 0, 0, 0, 0, 0];
    for &length in shape {
        bytes.extend_from_slice(&(length as u64).to_le_bytes());
    }
    bytes
}

/// Class 1: IEEE 754, little-endian, of 4 or 8 bytes.
fn float(bytes: u32) -> Vec<u8> {
    let (sign, exponent, exponent_bits, bias) = match bytes {
        4 => (31, 23, 8, 127_u32),
        _ => (63, 52, 11, 1023),
    };
    let mut datatype = vec![0x11, 0x20, sign, 0];
    datatype.extend_from_slice(&bytes.to_le_bytes());
    datatype.extend_from_slice(&[0, 0]);
    datatype.extend_from_slice(&(bytes as u16 * 8).to_le_bytes());
    datatype.extend_from_slice(&[exponent, exponent_bits, 0, exponent]);
    datatype.extend_from_slice(&bias.to_le_bytes());
    datatype
}

/// Class 0: two's complement, little-endian.
fn integer(bytes: u32) -> Vec<u8> {
    let mut datatype = vec![0x10, 0x08, 0, 0];
    datatype.extend_from_slice(&bytes.to_le_bytes());
    datatype.extend_from_slice(&[0, 0]);
    datatype.extend_from_slice(&(bytes as u16 * 8).to_le_bytes());
    datatype
}

/// Class 8, an enumeration of one byte: what h5py takes for a boolean.
fn boolean() -> Vec<u8> {
    let mut datatype = vec![0x18, 2, 0, 0];
    datatype.extend_from_slice(&1u32.to_le_bytes());
    datatype.extend_from_slice(&integer(1));
    datatype.extend_from_slice(b"FALSE\0\0\0TRUE\0\0\0\0");
    datatype.extend_from_slice(&[0, 1]);
    datatype
}

/// Class 3: UTF-8 of a fixed length, padded with zeros.
fn string(bytes: u32) -> Vec<u8> {
    let mut datatype = vec![0x13, 0x11, 0, 0];
    datatype.extend_from_slice(&bytes.to_le_bytes());
    datatype
}
