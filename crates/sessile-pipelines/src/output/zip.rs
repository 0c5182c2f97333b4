//! Writing a zip archive of stored entries whose bytes were put aside before, so that their lengths
//! and checksums are known. Lengths and positions beyond 32 bits go into zip64 records. Dates are
//! the first that the format knows, so that the same content gives the same bytes.
//!
//! Described in APPNOTE 6.3.10, <https://pkware.cachefly.net/webdocs/casestudies/APPNOTE.TXT>.

use std::io::{self, Write};

const LOCAL: u32 = 0x0403_4b50;
const CENTRAL: u32 = 0x0201_4b50;
const END: u32 = 0x0605_4b50;
const END64: u32 = 0x0606_4b50;
const LOCATOR64: u32 = 0x0706_4b50;

/// Version 4.5 of the format knows zip64.
const VERSION: u16 = 45;

/// Bit 11: names are UTF-8.
const FLAGS: u16 = 1 << 11;

/// 1 January 1980.
const DATE: u16 = 1 << 5 | 1;

/// Bytes of the zip64 end record behind its own length field.
const END64_BYTES: u64 = 44;

/// An entry, before its bytes.
pub(super) struct Entry {
    pub(super) name: String,
    pub(super) bytes: u64,
    pub(super) checksum: u32,
}

pub(super) struct Archive<W> {
    pub(super) out: W,
    position: u64,
    entries: Vec<(Entry, u64)>,
}

impl<W: Write> Archive<W> {
    pub(super) fn new(out: W) -> Self {
        Archive {
            out,
            position: 0,
            entries: Vec::new(),
        }
    }

    /// Begins an entry; its bytes must be written to `out` next.
    pub(super) fn begin(&mut self, entry: Entry) -> io::Result<()> {
        let mut extra = Vec::new();
        if is_wide(entry.bytes) {
            wide(&mut extra, &[entry.bytes, entry.bytes]);
        }
        let mut header = LOCAL.to_le_bytes().to_vec();
        fields(&mut header, &entry, extra.len());
        header.extend_from_slice(entry.name.as_bytes());
        header.extend_from_slice(&extra);
        let start = self.position;
        self.put(&header)?;
        self.position += entry.bytes;
        self.entries.push((entry, start));
        Ok(())
    }

    fn put(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.position += bytes.len() as u64;
        self.out.write_all(bytes)
    }

    /// Writes the directory; without it there is no archive.
    pub(super) fn finish(mut self) -> io::Result<W> {
        let directory = self.position;
        let entries = std::mem::take(&mut self.entries);
        for (entry, start) in &entries {
            let mut numbers = Vec::new();
            if is_wide(entry.bytes) {
                numbers.extend([entry.bytes, entry.bytes]);
            }
            if is_wide(*start) {
                numbers.push(*start);
            }
            let mut extra = Vec::new();
            if !numbers.is_empty() {
                wide(&mut extra, &numbers);
            }
            let mut header = CENTRAL.to_le_bytes().to_vec();
            header.extend_from_slice(&VERSION.to_le_bytes());
            fields(&mut header, entry, extra.len());
            // Comment, disk, attributes inside and outside.
            header.extend_from_slice(&[0; 10]);
            header.extend_from_slice(&narrow(*start).to_le_bytes());
            header.extend_from_slice(entry.name.as_bytes());
            header.extend_from_slice(&extra);
            self.put(&header)?;
        }
        let bytes = self.position - directory;
        let count = entries.len() as u16;
        if is_wide(directory) {
            self.end64(directory, bytes, entries.len() as u64)?;
        }
        let mut end = END.to_le_bytes().to_vec();
        end.extend_from_slice(&[0; 4]);
        end.extend_from_slice(&count.to_le_bytes());
        end.extend_from_slice(&count.to_le_bytes());
        end.extend_from_slice(&narrow(bytes).to_le_bytes());
        end.extend_from_slice(&narrow(directory).to_le_bytes());
        end.extend_from_slice(&[0; 2]);
        self.put(&end)?;
        Ok(self.out)
    }

    fn end64(&mut self, directory: u64, bytes: u64, count: u64) -> io::Result<()> {
        let start = self.position;
        let mut end = END64.to_le_bytes().to_vec();
        end.extend_from_slice(&END64_BYTES.to_le_bytes());
        end.extend_from_slice(&VERSION.to_le_bytes());
        end.extend_from_slice(&VERSION.to_le_bytes());
        end.extend_from_slice(&[0; 8]);
        for number in [count, count, bytes, directory] {
            end.extend_from_slice(&number.to_le_bytes());
        }
        end.extend_from_slice(&LOCATOR64.to_le_bytes());
        end.extend_from_slice(&[0; 4]);
        end.extend_from_slice(&start.to_le_bytes());
        end.extend_from_slice(&1u32.to_le_bytes());
        self.put(&end)
    }
}

fn is_wide(number: u64) -> bool {
    number >= u64::from(u32::MAX)
}

/// All ones means that the number is in a zip64 record.
fn narrow(number: u64) -> u32 {
    u32::try_from(number).unwrap_or(u32::MAX)
}

/// The fields that the local and the central header have in common.
fn fields(header: &mut Vec<u8>, entry: &Entry, extra_bytes: usize) {
    // Needed version, flags, stored, time, date.
    for field in [VERSION, FLAGS, 0, 0, DATE] {
        header.extend_from_slice(&field.to_le_bytes());
    }
    header.extend_from_slice(&entry.checksum.to_le_bytes());
    header.extend_from_slice(&narrow(entry.bytes).to_le_bytes());
    header.extend_from_slice(&narrow(entry.bytes).to_le_bytes());
    // Names are those of columns.
    header.extend_from_slice(&(entry.name.len() as u16).to_le_bytes());
    header.extend_from_slice(&(extra_bytes as u16).to_le_bytes());
}

/// A zip64 record of an entry's extra data.
fn wide(extra: &mut Vec<u8>, numbers: &[u64]) {
    extra.extend_from_slice(&1u16.to_le_bytes());
    extra.extend_from_slice(&(numbers.len() as u16 * 8).to_le_bytes());
    for number in numbers {
        extra.extend_from_slice(&number.to_le_bytes());
    }
}
