//! The zip archives that `torch.save` writes, read in place.
//!
//! torch stores every entry uncompressed, so a tensor's bytes lie in the file as they are. Only the
//! archive's directory at its end is believed, as far as it stays inside the file (APPNOTE.TXT of
//! PKWARE, sections 4.3.7 to 4.3.16; zip64 included).

pub(crate) mod write;

use std::collections::BTreeMap;

use super::file::{WeightFile, unreadable};
use crate::error::{ModelError, ModelErrorKind};

pub(crate) const LOCAL_SIGNATURE: [u8; 4] = *b"PK\x03\x04";
const CENTRAL_SIGNATURE: [u8; 4] = *b"PK\x01\x02";
const END_SIGNATURE: [u8; 4] = *b"PK\x05\x06";
const END64_SIGNATURE: [u8; 4] = *b"PK\x06\x06";
const LOCATOR64_SIGNATURE: [u8; 4] = *b"PK\x06\x07";

const LOCAL_BYTES: u64 = 30;
const CENTRAL_BYTES: usize = 46;
const END_BYTES: usize = 22;
const END64_BYTES: usize = 56;
const LOCATOR64_BYTES: usize = 20;
const MAX_COMMENT_BYTES: usize = 65_535;

/// An entry takes about 100 bytes of the directory; no checkpoint has a million tensors.
const MAX_DIRECTORY_BYTES: u64 = 256 << 20;

/// An open archive.
#[derive(Debug)]
pub(crate) struct Archive {
    file: WeightFile,
    entries: BTreeMap<String, Entry>,
}

#[derive(Clone, Copy, Debug)]
struct Entry {
    method: u16,
    encrypted: bool,
    crc: u32,
    compressed: u64,
    size: u64,
    header_at: u64,
}

impl Archive {
    pub(crate) fn open(file: WeightFile) -> Result<Self, ModelError> {
        let (directory_at, directory_bytes) = find_directory(&file)?;
        let directory = file.read_vec(directory_at, directory_bytes)?;
        let mut entries = BTreeMap::new();
        let mut rest = directory.as_slice();
        while !rest.is_empty() {
            let (name, entry, next) = central_entry(rest)?;
            if entries.insert(name.clone(), entry).is_some() {
                return Err(malformed(format!("the entry `{name}` is there twice")));
            }
            rest = next;
        }
        Ok(Archive { file, entries })
    }

    pub(crate) fn names(&self) -> impl Iterator<Item = &str> {
        self.entries.keys().map(String::as_str)
    }

    pub(crate) fn file(&self) -> &WeightFile {
        &self.file
    }

    pub(crate) fn into_file(self) -> WeightFile {
        self.file
    }

    /// Where the bytes of an uncompressed entry begin, and how many they are.
    pub(crate) fn place(&self, name: &str) -> Result<Option<(u64, u64)>, ModelError> {
        let Some(entry) = self.entries.get(name) else {
            return Ok(None);
        };
        if entry.method != 0 || entry.encrypted {
            let how = if entry.encrypted {
                "encrypted"
            } else {
                "compressed"
            };
            return Err(ModelError::new(
                ModelErrorKind::Unsupported,
                format!("the entry `{name}` is {how}"),
            )
            .with_hint("torch stores entries as they are: unpack the archive and zip it with -0"));
        }
        let mut header = [0; LOCAL_BYTES as usize];
        let inside = entry
            .header_at
            .checked_add(LOCAL_BYTES)
            .is_some_and(|e| e <= self.file.len());
        if !inside {
            return Err(outside(name));
        }
        self.file
            .read_exact_at(entry.header_at, &mut header)
            .map_err(|error| unreadable(self.file.path(), error))?;
        if header[..4] != LOCAL_SIGNATURE {
            return Err(malformed(format!(
                "the entry `{name}` is not where the directory says"
            )));
        }
        let skipped = u64::from(u16_at(&header, 26)) + u64::from(u16_at(&header, 28));
        let start = entry.header_at + LOCAL_BYTES + skipped;
        let end = start.checked_add(entry.size);
        if entry.size != entry.compressed || end.is_none_or(|end| end > self.file.len()) {
            return Err(outside(name));
        }
        Ok(Some((start, entry.size)))
    }

    /// The bytes of an entry of at most `limit` bytes, compared with its checksum.
    pub(crate) fn read(&self, name: &str, limit: u64) -> Result<Option<Vec<u8>>, ModelError> {
        let Some((start, size)) = self.place(name)? else {
            return Ok(None);
        };
        let Some(length) = usize::try_from(size).ok().filter(|_| size <= limit) else {
            return Err(malformed(format!(
                "the entry `{name}` of {size} bytes is too long"
            )));
        };
        let bytes = self.file.read_vec(start, length)?;
        let stored = self.entries.get(name).map(|entry| entry.crc);
        if stored != Some(crc32fast::hash(&bytes)) {
            return Err(
                malformed(format!("the checksum of the entry `{name}` is wrong"))
                    .with_hint("fetch or copy the file again"),
            );
        }
        Ok(Some(bytes))
    }
}

/// Start and length of the central directory.
fn find_directory(file: &WeightFile) -> Result<(u64, usize), ModelError> {
    let tail_bytes = file
        .len()
        .min((LOCATOR64_BYTES + END_BYTES + MAX_COMMENT_BYTES) as u64);
    let tail_at = file.len() - tail_bytes;
    let tail = file.read_vec(tail_at, tail_bytes as usize)?;
    let end_at = (0..tail.len().saturating_sub(END_BYTES - 1))
        .rev()
        .find(|&at| tail[at..].starts_with(&END_SIGNATURE))
        .ok_or_else(|| {
            malformed("the zip archive has no directory at its end: it is cut short".to_owned())
                .with_hint("fetch or copy the file again")
        })?;
    let end = &tail[end_at..];
    let (mut bytes, mut start) = (u64::from(u32_at(end, 12)), u64::from(u32_at(end, 16)));
    let locator_at = end_at.checked_sub(LOCATOR64_BYTES);
    if let Some(locator) = locator_at.map(|at| &tail[at..])
        && locator.starts_with(&LOCATOR64_SIGNATURE)
    {
        let end64_at = u64_at(locator, 8);
        if end64_at
            .checked_add(END64_BYTES as u64)
            .is_none_or(|end| end > file.len())
        {
            return Err(malformed(
                "the zip archive's directory lies outside of it".to_owned(),
            ));
        }
        let end64 = file.read_vec(end64_at, END64_BYTES)?;
        if !end64.starts_with(&END64_SIGNATURE) {
            return Err(malformed(
                "the zip archive's directory is damaged".to_owned(),
            ));
        }
        (bytes, start) = (u64_at(&end64, 40), u64_at(&end64, 48));
    }
    if start.checked_add(bytes).is_none_or(|end| end > file.len()) {
        return Err(
            malformed("the zip archive's directory lies outside of it".to_owned())
                .with_hint("fetch or copy the file again"),
        );
    }
    if bytes > MAX_DIRECTORY_BYTES {
        return Err(malformed(format!(
            "the zip archive's directory of {bytes} bytes is too long"
        )));
    }
    Ok((start, bytes as usize))
}

/// The first entry of the directory, and what comes after it.
fn central_entry(bytes: &[u8]) -> Result<(String, Entry, &[u8]), ModelError> {
    let damaged = || malformed("the zip archive's directory is damaged".to_owned());
    let Some((header, rest)) = bytes.split_first_chunk::<CENTRAL_BYTES>() else {
        return Err(damaged());
    };
    if header[..4] != CENTRAL_SIGNATURE {
        return Err(damaged());
    }
    let name_bytes = usize::from(u16_at(header, 28));
    let extra_bytes = usize::from(u16_at(header, 30));
    let comment_bytes = usize::from(u16_at(header, 32));
    let (Some(name), Some(extra), Some(next)) = (
        rest.get(..name_bytes),
        rest.get(name_bytes..name_bytes + extra_bytes),
        rest.get(name_bytes + extra_bytes + comment_bytes..),
    ) else {
        return Err(damaged());
    };
    let name = std::str::from_utf8(name).map_err(|_| damaged())?.to_owned();
    let mut wide = wide_fields(extra);
    // A field of all ones stands for one of 64 bits in the extra part, in this order.
    let mut field = |at: usize| match u32_at(header, at) {
        u32::MAX => wide.next().ok_or_else(damaged),
        value => Ok(u64::from(value)),
    };
    let (size, compressed, header_at) = (field(24)?, field(20)?, field(42)?);
    let entry = Entry {
        method: u16_at(header, 10),
        encrypted: u16_at(header, 8) & 1 != 0,
        crc: u32_at(header, 16),
        compressed,
        size,
        header_at,
    };
    Ok((name, entry, next))
}

/// The numbers of the zip64 part (0x0001) of an entry's extra data.
fn wide_fields(mut extra: &[u8]) -> impl Iterator<Item = u64> {
    let mut fields: &[[u8; 8]] = &[];
    while let Some((header, rest)) = extra.split_first_chunk::<4>() {
        let length = usize::from(u16_at(header, 2));
        let Some((body, next)) = rest.split_at_checked(length) else {
            break;
        };
        if u16_at(header, 0) == 1 {
            fields = body.as_chunks::<8>().0;
            break;
        }
        extra = next;
    }
    fields.iter().map(|&field| u64::from_le_bytes(field))
}

fn u16_at(bytes: &[u8], at: usize) -> u16 {
    u16::from_le_bytes([bytes[at], bytes[at + 1]])
}

fn u32_at(bytes: &[u8], at: usize) -> u32 {
    u32::from(u16_at(bytes, at)) | u32::from(u16_at(bytes, at + 2)) << 16
}

fn u64_at(bytes: &[u8], at: usize) -> u64 {
    u64::from(u32_at(bytes, at)) | u64::from(u32_at(bytes, at + 4)) << 32
}

fn outside(name: &str) -> ModelError {
    malformed(format!("the entry `{name}` lies outside of the file"))
        .with_hint("the file is cut short or damaged: fetch or copy it again")
}

fn malformed(message: String) -> ModelError {
    ModelError::new(ModelErrorKind::Malformed, message)
}
