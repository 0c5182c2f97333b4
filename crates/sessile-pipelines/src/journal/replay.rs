//! Reading a journal: once to find its end, once more entry by entry while the job goes on.

use std::fs::File;
use std::io::{self, BufReader, Read};
use std::path::Path;

use super::entry::Entry;
use super::fingerprint::Fingerprint;
use super::frame::{self, Frames, Kind, MAGIC};

const BUFFER_BYTES: usize = 1 << 18;

/// What a journal holds.
#[derive(Debug, Default)]
pub(super) struct Scan {
    /// All fingerprints, in the order in which runs began.
    pub(super) fingerprints: Vec<Fingerprint>,
    pub(super) entries: u64,
    pub(super) frames: u64,
    pub(super) was_finishing: bool,
    /// Where the last whole frame ends; 0 for a file that is no journal yet.
    pub(super) end: u64,
}

impl Scan {
    /// Reads the journal in `file` up to the first frame that is not whole.
    pub(super) fn run(path: &Path, file: &File) -> io::Result<Self> {
        let length = file.metadata()?.len();
        let input = BufReader::with_capacity(BUFFER_BYTES, File::open(path)?);
        Scan::read(input, length)
    }

    /// The same from any input of `length` bytes.
    pub(super) fn read(mut input: impl Read, length: u64) -> io::Result<Self> {
        let mut scan = Scan::default();
        let mut magic = [0; MAGIC.len()];
        if !frame::fill(&mut input, &mut magic)? {
            return Ok(scan);
        }
        if &magic != MAGIC {
            return Err(io::Error::new(
                io::ErrorKind::InvalidData,
                "it is a journal of another version of sessile, or none: resume it with that version, \
                 or start again with --restart",
            ));
        }
        let left = length.saturating_sub(MAGIC.len() as u64);
        let mut frames = Frames::new(input, left);
        let mut whole = frames.left();
        while let Some((kind, body)) = frames.next()? {
            // A whole frame that makes no sense was not written by this program: cut there too.
            match kind {
                Kind::Fingerprint => match Fingerprint::from_bytes(body) {
                    Some(fingerprint) => scan.fingerprints.push(fingerprint),
                    None => break,
                },
                Kind::Entry if scan.fingerprints.is_empty() || Entry::read(body).is_none() => {
                    break;
                }
                Kind::Entry => scan.entries += 1,
                Kind::Finishing => scan.was_finishing = true,
            }
            scan.frames = frames.number();
            whole = frames.left();
        }
        scan.end = MAGIC.len() as u64 + (left - whole);
        if scan.frames == 0 {
            scan.end = 0;
        }
        Ok(scan)
    }
}

/// The entries of a journal that was scanned.
pub(super) struct Replay<R> {
    frames: Frames<R>,
}

impl Replay<BufReader<File>> {
    pub(super) fn open(path: &Path) -> io::Result<Self> {
        let file = File::open(path)?;
        let length = file.metadata()?.len();
        Replay::new(BufReader::with_capacity(BUFFER_BYTES, file), length)
    }
}

impl<R: Read> Replay<R> {
    /// From any input of `length` bytes.
    pub(super) fn new(mut input: R, length: u64) -> io::Result<Self> {
        let mut magic = [0; MAGIC.len()];
        input.read_exact(&mut magic)?;
        Ok(Replay {
            frames: Frames::new(input, length.saturating_sub(MAGIC.len() as u64)),
        })
    }

    pub(super) fn next_entry(&mut self) -> io::Result<Option<Entry>> {
        while let Some((kind, body)) = self.frames.next()? {
            if kind == Kind::Entry {
                return Ok(Entry::read(body));
            }
        }
        Ok(None)
    }
}
