//! Writing a zip archive of uncompressed entries, the way torch lays one out.
//!
//! Needs no seeking: every entry's bytes are in memory, so its checksum is known before its header
//! is written. Sizes and positions beyond 32 bits go into zip64 records.

use std::io::{self, Write};

use super::{
    CENTRAL_SIGNATURE, END_SIGNATURE, END64_BYTES, END64_SIGNATURE, LOCAL_BYTES, LOCAL_SIGNATURE,
    LOCATOR64_SIGNATURE,
};

/// torch begins every storage at a multiple of this, so that it could be mapped.
const ALIGNMENT: u64 = 64;

/// Version 4.5 of the format knows zip64.
const VERSION: u16 = 45;

/// Bit 11: names are UTF-8.
const FLAGS: u16 = 1 << 11;

/// 1 January 1980, so that the same content gives the same bytes.
const DATE: u16 = 1 << 5 | 1;

struct Written {
    name: String,
    crc: u32,
    size: u64,
    offset: u64,
}

/// An archive that is being written.
pub(crate) struct ArchiveWriter<W> {
    out: W,
    position: u64,
    entries: Vec<Written>,
}

impl<W: Write> ArchiveWriter<W> {
    pub(crate) fn new(out: W) -> Self {
        ArchiveWriter {
            out,
            position: 0,
            entries: Vec::new(),
        }
    }

    pub(crate) fn entry(&mut self, name: String, bytes: &[u8]) -> io::Result<()> {
        let entry = Written {
            crc: crc32fast::hash(bytes),
            size: bytes.len() as u64,
            offset: self.position,
            name,
        };
        let name_bytes = u16::try_from(entry.name.len()).map_err(|_| {
            io::Error::new(io::ErrorKind::InvalidInput, "an entry's name is too long")
        })?;
        let mut extra = Vec::new();
        if entry.size >= u32::MAX.into() {
            wide(&mut extra, &[entry.size, entry.size]);
        }
        // A record of torch's own name pads the header up to the alignment.
        const PADDING_HEADER: u64 = 4;
        let unpadded = self.position
            + LOCAL_BYTES
            + u64::from(name_bytes)
            + extra.len() as u64
            + PADDING_HEADER;
        let padding = (unpadded.next_multiple_of(ALIGNMENT) - unpadded) as u16;
        extra.extend_from_slice(b"FB");
        extra.extend_from_slice(&padding.to_le_bytes());
        extra.resize(extra.len() + usize::from(padding), b'Z');

        let mut header = LOCAL_SIGNATURE.to_vec();
        common_fields(&mut header, &entry, name_bytes, extra.len() as u16);
        header.extend_from_slice(entry.name.as_bytes());
        header.extend_from_slice(&extra);
        self.write(&header)?;
        self.write(bytes)?;
        self.entries.push(entry);
        Ok(())
    }

    /// Writes the directory; without it there is no archive.
    pub(crate) fn finish(mut self) -> io::Result<W> {
        let start = self.position;
        for entry in std::mem::take(&mut self.entries) {
            let mut extra = Vec::new();
            if entry.size >= u32::MAX.into() {
                wide(&mut extra, &[entry.size, entry.size, entry.offset]);
            } else if entry.offset >= u32::MAX.into() {
                wide(&mut extra, &[entry.offset]);
            }
            let wide_offset = entry.size >= u32::MAX.into() || entry.offset >= u32::MAX.into();
            let mut header = CENTRAL_SIGNATURE.to_vec();
            header.extend_from_slice(&VERSION.to_le_bytes());
            common_fields(
                &mut header,
                &entry,
                entry.name.len() as u16,
                extra.len() as u16,
            );
            // Comment, disk, attributes inside and outside.
            header.extend_from_slice(&[0; 10]);
            let offset = if wide_offset {
                u32::MAX
            } else {
                entry.offset as u32
            };
            header.extend_from_slice(&offset.to_le_bytes());
            header.extend_from_slice(entry.name.as_bytes());
            header.extend_from_slice(&extra);
            self.write(&header)?;
            self.entries.push(entry);
        }
        let bytes = self.position - start;
        let count = self.entries.len() as u64;
        if count >= u16::MAX.into() || start >= u32::MAX.into() || bytes >= u32::MAX.into() {
            self.finish_wide(start, bytes, count)?;
        }
        let short_count = u16::try_from(count).unwrap_or(u16::MAX).to_le_bytes();
        let mut end = END_SIGNATURE.to_vec();
        end.extend_from_slice(&[0; 4]);
        end.extend_from_slice(&short_count);
        end.extend_from_slice(&short_count);
        end.extend_from_slice(&u32::try_from(bytes).unwrap_or(u32::MAX).to_le_bytes());
        end.extend_from_slice(&u32::try_from(start).unwrap_or(u32::MAX).to_le_bytes());
        end.extend_from_slice(&[0; 2]);
        self.write(&end)?;
        self.out.flush()?;
        Ok(self.out)
    }

    fn finish_wide(&mut self, start: u64, bytes: u64, count: u64) -> io::Result<()> {
        let end64_at = self.position;
        let mut end = END64_SIGNATURE.to_vec();
        // The record's length without its signature and this field.
        end.extend_from_slice(&(END64_BYTES as u64 - 12).to_le_bytes());
        end.extend_from_slice(&VERSION.to_le_bytes());
        end.extend_from_slice(&VERSION.to_le_bytes());
        end.extend_from_slice(&[0; 8]);
        for number in [count, count, bytes, start] {
            end.extend_from_slice(&number.to_le_bytes());
        }
        end.extend_from_slice(&LOCATOR64_SIGNATURE);
        end.extend_from_slice(&0u32.to_le_bytes());
        end.extend_from_slice(&end64_at.to_le_bytes());
        end.extend_from_slice(&1u32.to_le_bytes());
        self.write(&end)
    }

    fn write(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.out.write_all(bytes)?;
        self.position += bytes.len() as u64;
        Ok(())
    }
}

/// The fields that the local and the central header have in common.
fn common_fields(header: &mut Vec<u8>, entry: &Written, name_bytes: u16, extra_bytes: u16) {
    let size = u32::try_from(entry.size).unwrap_or(u32::MAX).to_le_bytes();
    for field in [VERSION, FLAGS, 0, 0, DATE] {
        header.extend_from_slice(&field.to_le_bytes());
    }
    header.extend_from_slice(&entry.crc.to_le_bytes());
    header.extend_from_slice(&size);
    header.extend_from_slice(&size);
    header.extend_from_slice(&name_bytes.to_le_bytes());
    header.extend_from_slice(&extra_bytes.to_le_bytes());
}

/// A zip64 record of an entry's extra data.
fn wide(extra: &mut Vec<u8>, numbers: &[u64]) {
    extra.extend_from_slice(&1u16.to_le_bytes());
    extra.extend_from_slice(&(numbers.len() as u16 * 8).to_le_bytes());
    for number in numbers {
        extra.extend_from_slice(&number.to_le_bytes());
    }
}
