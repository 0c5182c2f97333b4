//! Parts of an output that can only be put in their place at the end: kept in a file without a
//! name, which is gone with the process, whatever ends it.

use std::fs::File;
use std::io::{self, BufReader, BufWriter, Read, Seek, SeekFrom, Write};
use std::path::Path;

const BUFFER_BYTES: usize = 1 << 14;

pub(super) struct Spool {
    out: BufWriter<File>,
    bytes: u64,
    checksum: crc32fast::Hasher,
}

impl Spool {
    /// In this folder, so that a full disk is the one that the user chose.
    pub(super) fn new(folder: &Path) -> io::Result<Self> {
        Ok(Spool {
            out: BufWriter::with_capacity(BUFFER_BYTES, tempfile::tempfile_in(folder)?),
            bytes: 0,
            checksum: crc32fast::Hasher::new(),
        })
    }

    pub(super) fn bytes(&self) -> u64 {
        self.bytes
    }

    /// CRC-32 of all that was written.
    pub(super) fn checksum(&self) -> crc32fast::Hasher {
        self.checksum.clone()
    }

    /// All that was written, from the start.
    pub(super) fn reader(&mut self) -> io::Result<impl Read + use<>> {
        self.out.flush()?;
        let mut file = self.out.get_ref().try_clone()?;
        file.seek(SeekFrom::Start(0))?;
        Ok(BufReader::with_capacity(BUFFER_BYTES, file))
    }

    /// Appends all that was written to `out`.
    pub(super) fn copy_to(&mut self, out: &mut impl Write) -> io::Result<()> {
        let copied = io::copy(&mut self.reader()?, out)?;
        if copied == self.bytes {
            Ok(())
        } else {
            Err(io::ErrorKind::UnexpectedEof.into())
        }
    }
}

impl Write for Spool {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let written = self.out.write(bytes)?;
        self.bytes += written as u64;
        self.checksum.update(&bytes[..written]);
        Ok(written)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.out.flush()
    }
}
