//! Decompression chosen by the first bytes of the data, never by a file's name.
//!
//! Files of several members (bgzip, `cat a.gz b.gz`, pbzip2, multi-stream xz, multi-frame zstd) are
//! read to their end, as the command-line tools do. Zeros behind gzip and bzip2 data (tapes and
//! object stores pad with them) are passed over; other bytes there are an error behind the data.
//! Memory is bounded: xz and zstd data that ask for a window above [`MAX_WINDOW_BYTES`] are refused.

mod members;

use std::io::{self, BufReader, Read};

pub(crate) use members::BehindTheEnd;
use members::Members;

/// The largest window (dictionary) that xz or zstd data may ask for: 256 MiB.
///
/// `xz -9` needs 64 MiB and `zstd --long` 128 MiB.
pub const MAX_WINDOW_BYTES: u64 = 256 << 20;

/// How much compressed data is read at once.
const BUFFER_BYTES: usize = 64 << 10;

/// A way in which a file may be compressed.
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
#[non_exhaustive]
pub enum Compression {
    /// Plain bytes.
    None,
    /// RFC 1952, one or more members; includes BGZF.
    Gzip,
    /// bzip2, one or more streams.
    Bzip2,
    /// The .xz format, one or more streams.
    Xz,
    /// RFC 8878, one or more frames.
    Zstd,
}

impl Compression {
    /// The number of bytes that [`Compression::of`] wants to see.
    pub const MAGIC_BYTES: usize = 6;

    /// Recognises compressed data by its magic number.
    ///
    /// # Examples
    ///
    /// ```
    /// use sessile_seq::compression::Compression;
    ///
    /// assert_eq!(Compression::of(b"\x1f\x8b\x08\0"), Compression::Gzip);
    /// assert_eq!(Compression::of(b">seq1\n"), Compression::None);
    /// ```
    pub fn of(start: &[u8]) -> Self {
        match start {
            [0x1f, 0x8b, ..] => Self::Gzip,
            [b'B', b'Z', b'h', b'1'..=b'9', ..] => Self::Bzip2,
            [0xfd, b'7', b'z', b'X', b'Z', 0x00, ..] => Self::Xz,
            // A frame, or one of the sixteen skippable frames that may come before it.
            [0x28, 0xb5, 0x2f, 0xfd, ..] | [0x50..=0x5f, 0x2a, 0x4d, 0x18, ..] => Self::Zstd,
            _ => Self::None,
        }
    }

    /// The word for people.
    pub fn name(self) -> &'static str {
        match self {
            Self::None => "plain",
            Self::Gzip => "gzip",
            Self::Bzip2 => "bzip2",
            Self::Xz => "xz",
            Self::Zstd => "zstd",
        }
    }
}

/// A readable source whose errors can cross threads.
pub type BoxRead = Box<dyn Read + Send>;

/// Wraps `source` so that it reads as plain bytes.
///
/// # Errors
///
/// When the first bytes cannot be read, or the decoder cannot be set up.
///
/// # Examples
///
/// ```
/// use std::io::Read;
/// use sessile_seq::compression::{self, Compression};
///
/// let (mut plain, found) = compression::decompress(&b">a\nACGT\n"[..])?;
/// let mut text = String::new();
/// plain.read_to_string(&mut text)?;
/// assert_eq!((found, text.as_str()), (Compression::None, ">a\nACGT\n"));
/// # Ok::<(), std::io::Error>(())
/// ```
pub fn decompress<R>(mut source: R) -> io::Result<(BoxRead, Compression)>
where
    R: Read + Send + 'static,
{
    let mut start = Vec::with_capacity(Compression::MAGIC_BYTES);
    source
        .by_ref()
        .take(Compression::MAGIC_BYTES as u64)
        .read_to_end(&mut start)?;
    let compression = Compression::of(&start);
    let whole = io::Cursor::new(start).chain(source);
    if compression == Compression::None {
        return Ok((Box::new(whole), compression));
    }
    let packed = BufReader::with_capacity(BUFFER_BYTES, whole);
    let plain: BoxRead = match compression {
        Compression::None => Box::new(packed),
        Compression::Gzip => Box::new(Members::gzip(packed)),
        Compression::Bzip2 => Box::new(Members::bzip2(packed)),
        Compression::Xz => Box::new(Members::xz(packed)),
        Compression::Zstd => Box::new(Members::zstd(packed)?),
    };
    Ok((plain, compression))
}
