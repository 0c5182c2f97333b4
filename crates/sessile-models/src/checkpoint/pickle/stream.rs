//! The bytes of a pickle: opcodes and their operands.

use crate::error::{ModelError, ModelErrorKind};

/// Opcodes of protocols 0 to 5 that are understood; named as in Python's `pickletools`.
#[rustfmt::skip]
pub(crate) mod op {
    pub(crate) const MARK: u8 = b'(';
    pub(crate) const STOP: u8 = b'.';
    pub(crate) const POP: u8 = b'0';
    pub(crate) const POP_MARK: u8 = b'1';
    pub(crate) const DUP: u8 = b'2';
    pub(crate) const FLOAT: u8 = b'F';
    pub(crate) const INT: u8 = b'I';
    pub(crate) const BININT: u8 = b'J';
    pub(crate) const BININT1: u8 = b'K';
    pub(crate) const LONG: u8 = b'L';
    pub(crate) const BININT2: u8 = b'M';
    pub(crate) const NONE: u8 = b'N';
    pub(crate) const BINPERSID: u8 = b'Q';
    pub(crate) const REDUCE: u8 = b'R';
    pub(crate) const STRING: u8 = b'S';
    pub(crate) const UNICODE: u8 = b'V';
    pub(crate) const BINSTRING: u8 = b'T';
    pub(crate) const SHORT_BINSTRING: u8 = b'U';
    pub(crate) const BINUNICODE: u8 = b'X';
    pub(crate) const APPEND: u8 = b'a';
    pub(crate) const BUILD: u8 = b'b';
    pub(crate) const GLOBAL: u8 = b'c';
    pub(crate) const DICT: u8 = b'd';
    pub(crate) const EMPTY_DICT: u8 = b'}';
    pub(crate) const APPENDS: u8 = b'e';
    pub(crate) const GET: u8 = b'g';
    pub(crate) const BINGET: u8 = b'h';
    pub(crate) const INST: u8 = b'i';
    pub(crate) const LONG_BINGET: u8 = b'j';
    pub(crate) const LIST: u8 = b'l';
    pub(crate) const EMPTY_LIST: u8 = b']';
    pub(crate) const PUT: u8 = b'p';
    pub(crate) const BINPUT: u8 = b'q';
    pub(crate) const LONG_BINPUT: u8 = b'r';
    pub(crate) const SETITEM: u8 = b's';
    pub(crate) const TUPLE: u8 = b't';
    pub(crate) const EMPTY_TUPLE: u8 = b')';
    pub(crate) const SETITEMS: u8 = b'u';
    pub(crate) const BINFLOAT: u8 = b'G';
    pub(crate) const PROTO: u8 = 0x80;
    pub(crate) const NEWOBJ: u8 = 0x81;
    pub(crate) const TUPLE1: u8 = 0x85;
    pub(crate) const TUPLE2: u8 = 0x86;
    pub(crate) const TUPLE3: u8 = 0x87;
    pub(crate) const NEWTRUE: u8 = 0x88;
    pub(crate) const NEWFALSE: u8 = 0x89;
    pub(crate) const LONG1: u8 = 0x8a;
    pub(crate) const LONG4: u8 = 0x8b;
    pub(crate) const BINBYTES: u8 = b'B';
    pub(crate) const SHORT_BINBYTES: u8 = b'C';
    pub(crate) const SHORT_BINUNICODE: u8 = 0x8c;
    pub(crate) const BINUNICODE8: u8 = 0x8d;
    pub(crate) const BINBYTES8: u8 = 0x8e;
    pub(crate) const EMPTY_SET: u8 = 0x8f;
    pub(crate) const ADDITEMS: u8 = 0x90;
    pub(crate) const FROZENSET: u8 = 0x91;
    pub(crate) const NEWOBJ_EX: u8 = 0x92;
    pub(crate) const STACK_GLOBAL: u8 = 0x93;
    pub(crate) const MEMOIZE: u8 = 0x94;
    pub(crate) const FRAME: u8 = 0x95;
    pub(crate) const BYTEARRAY8: u8 = 0x96;
}

/// A place in the bytes, moving forward only.
pub(super) struct Stream<'a> {
    bytes: &'a [u8],
    position: usize,
    /// Where the opcode at hand began.
    opcode_at: usize,
}

impl<'a> Stream<'a> {
    pub(super) fn new(bytes: &'a [u8]) -> Self {
        Stream {
            bytes,
            position: 0,
            opcode_at: 0,
        }
    }

    pub(super) fn len(&self) -> usize {
        self.bytes.len()
    }

    pub(super) fn opcode(&mut self) -> Result<u8, ModelError> {
        self.opcode_at = self.position;
        self.u8()
    }

    pub(super) fn array<const N: usize>(&mut self) -> Result<[u8; N], ModelError> {
        let rest = &self.bytes[self.position..];
        let Some((head, _)) = rest.split_first_chunk::<N>() else {
            return Err(self.cut_short());
        };
        self.position += N;
        Ok(*head)
    }

    pub(super) fn u8(&mut self) -> Result<u8, ModelError> {
        self.array::<1>().map(|[byte]| byte)
    }

    pub(super) fn u32(&mut self) -> Result<u32, ModelError> {
        self.array().map(u32::from_le_bytes)
    }

    pub(super) fn u64(&mut self) -> Result<u64, ModelError> {
        self.array().map(u64::from_le_bytes)
    }

    /// The next `len` bytes; no more than the file has, whatever it claims.
    pub(super) fn take(&mut self, len: u64) -> Result<&'a [u8], ModelError> {
        let rest = &self.bytes[self.position..];
        match usize::try_from(len).ok().and_then(|len| rest.get(..len)) {
            Some(taken) => {
                self.position += taken.len();
                Ok(taken)
            }
            None => Err(self.cut_short()),
        }
    }

    /// The bytes up to the end of the line, which is passed over.
    pub(super) fn line(&mut self) -> Result<&'a [u8], ModelError> {
        let rest = &self.bytes[self.position..];
        let Some(length) = rest.iter().position(|&byte| byte == b'\n') else {
            return Err(self.cut_short());
        };
        self.position += length + 1;
        Ok(&rest[..length])
    }

    pub(super) fn text_line(&mut self) -> Result<&'a str, ModelError> {
        let line = self.line()?;
        self.utf8(line)
    }

    pub(super) fn utf8(&self, bytes: &'a [u8]) -> Result<&'a str, ModelError> {
        std::str::from_utf8(bytes).map_err(|_| self.malformed("a text is not UTF-8"))
    }

    /// A little-endian two's complement integer of up to eight bytes.
    pub(super) fn integer(&mut self, len: u64) -> Result<i64, ModelError> {
        let bytes = self.take(len)?;
        if bytes.len() > 8 {
            return Err(self.error(
                ModelErrorKind::Unsupported,
                format!("an integer of {} bytes is too large", bytes.len()),
            ));
        }
        let fill = if bytes.last().is_some_and(|&byte| byte >= 0x80) {
            0xff
        } else {
            0
        };
        let mut value = [fill; 8];
        value[..bytes.len()].copy_from_slice(bytes);
        Ok(i64::from_le_bytes(value))
    }

    pub(super) fn malformed(&self, what: impl AsRef<str>) -> ModelError {
        self.error(ModelErrorKind::Malformed, what.as_ref())
    }

    pub(super) fn error(&self, kind: ModelErrorKind, what: impl AsRef<str>) -> ModelError {
        ModelError::new(
            kind,
            format!("pickle, byte {}: {}", self.opcode_at, what.as_ref()),
        )
    }

    fn cut_short(&self) -> ModelError {
        self.malformed("the pickle is cut short")
            .with_hint("fetch or copy the file again")
    }
}
