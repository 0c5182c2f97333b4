//! gzip members, bzip2 and xz streams and zstd frames, one behind the other, to the end of the file.
//!
//! What may stand behind a member: another one, zeros (passed over, as `gzip` and Python do), or
//! nothing. Anything else is [`BehindTheEnd`]: `gzip` and `bzip2` warn of it and keep the data.
//! xz and zstd are held to the same.

use std::fmt;
use std::io::{self, BufRead, Read};

use bzip2::bufread::BzDecoder;
use flate2::bufread::GzDecoder;
use lzma_rust2::XzReader;

use super::MAX_WINDOW_BYTES;

/// All members of a file as one stream of plain bytes.
pub(super) struct Members<R: BufRead> {
    /// `None` at the end.
    member: Option<Member<R>>,
}

#[expect(clippy::large_enum_variant, reason = "a file has one of them")]
enum Member<R: BufRead> {
    Gzip(GzDecoder<R>),
    Bzip2(BzDecoder<R>),
    Xz(XzReader<R>),
    Zstd(zstd::Decoder<'static, R>),
}

impl<R: BufRead> Members<R> {
    pub(super) fn gzip(source: R) -> Self {
        Self {
            member: Some(Member::Gzip(GzDecoder::new(source))),
        }
    }

    pub(super) fn bzip2(source: R) -> Self {
        Self {
            member: Some(Member::Bzip2(BzDecoder::new(source))),
        }
    }

    pub(super) fn xz(source: R) -> Self {
        Self {
            member: Some(Member::xz(source)),
        }
    }

    pub(super) fn zstd(source: R) -> io::Result<Self> {
        Ok(Self {
            member: Some(Member::zstd(source)?),
        })
    }
}

impl<R: BufRead> Read for Members<R> {
    fn read(&mut self, out: &mut [u8]) -> io::Result<usize> {
        loop {
            let Some(member) = &mut self.member else {
                return Ok(0);
            };
            let count = match member {
                Member::Gzip(decoder) => decoder.read(out)?,
                Member::Bzip2(decoder) => decoder.read(out)?,
                Member::Xz(decoder) => decoder.read(out)?,
                Member::Zstd(decoder) => decoder.read(out)?,
            };
            if count > 0 || out.is_empty() {
                return Ok(count);
            }
            self.member = match self.member.take() {
                None => None,
                Some(member) => member.next()?,
            };
        }
    }
}

impl<R: BufRead> Member<R> {
    fn xz(source: R) -> Self {
        let limit_kib = (MAX_WINDOW_BYTES >> 10) as u32;
        Self::Xz(XzReader::new_mem_limit(source, false, limit_kib))
    }

    fn zstd(source: R) -> io::Result<Self> {
        let mut decoder = zstd::Decoder::with_buffer(source)?.single_frame();
        decoder.window_log_max(MAX_WINDOW_BYTES.ilog2())?;
        Ok(Self::Zstd(decoder))
    }

    /// The member behind this one, which is through.
    fn next(self) -> io::Result<Option<Self>> {
        match self {
            Self::Gzip(decoder) => {
                // The blocks of bgzip are members with a field of their own. What is behind one and
                // is no member is a damaged block, not something that was added to the file.
                let extra = decoder.header().and_then(|header| header.extra());
                let is_block = extra.is_some_and(|extra| extra.starts_with(b"BC"));
                let mut source = decoder.into_inner();
                match skip_zeros(&mut source)? {
                    None => Ok(None),
                    Some(0x1f) => Ok(Some(Self::Gzip(GzDecoder::new(source)))),
                    Some(_) if is_block => Err(io::Error::new(
                        io::ErrorKind::InvalidData,
                        "a block does not begin like one",
                    )),
                    Some(_) => Err(BehindTheEnd("gzip").into()),
                }
            }
            Self::Bzip2(decoder) => {
                let mut source = decoder.into_inner();
                match skip_zeros(&mut source)? {
                    None => Ok(None),
                    Some(b'B') => Ok(Some(Self::Bzip2(BzDecoder::new(source)))),
                    Some(_) => Err(BehindTheEnd("bzip2").into()),
                }
            }
            Self::Xz(decoder) => {
                let mut source = decoder.into_inner();
                match skip_zeros(&mut source)? {
                    None => Ok(None),
                    Some(0xfd) => Ok(Some(Self::xz(source))),
                    Some(_) => Err(BehindTheEnd("xz").into()),
                }
            }
            Self::Zstd(decoder) => {
                let mut source = decoder.finish();
                match skip_zeros(&mut source)? {
                    None => Ok(None),
                    // A frame, or one to skip (RFC 8878, 3.1).
                    Some(0x28 | 0x50..=0x5f) => Self::zstd(source).map(Some),
                    Some(_) => Err(BehindTheEnd("zstd").into()),
                }
            }
        }
    }
}

/// The next byte that is not zero, left where it is; `None` at the end.
fn skip_zeros(source: &mut impl BufRead) -> io::Result<Option<u8>> {
    loop {
        let buffer = match source.fill_buf() {
            Ok(buffer) => buffer,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
            Err(error) => return Err(error),
        };
        if buffer.is_empty() {
            return Ok(None);
        }
        let zeros = buffer.iter().take_while(|&&byte| byte == 0).count();
        let found = buffer.get(zeros).copied();
        source.consume(zeros);
        if found.is_some() {
            return Ok(found);
        }
    }
}

/// Bytes behind compressed data that are not part of it. All of the data was read before.
#[derive(Clone, Copy, Debug)]
pub(crate) struct BehindTheEnd(&'static str);

impl BehindTheEnd {
    /// Whether this is why reading failed.
    pub(crate) fn is_in(error: &io::Error) -> bool {
        error.get_ref().is_some_and(|inner| inner.is::<Self>())
    }
}

impl From<BehindTheEnd> for io::Error {
    fn from(error: BehindTheEnd) -> Self {
        io::Error::new(io::ErrorKind::InvalidData, error)
    }
}

impl fmt::Display for BehindTheEnd {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "other bytes follow the {} data", self.0)
    }
}

impl std::error::Error for BehindTheEnd {}
