//! Compressed bodies: those of requests are unpacked within the same bounds as plain ones, large
//! answers are packed where the client takes that.

use std::io::{self, Read, Write};
use std::sync::Arc;

use axum::http::{HeaderMap, HeaderName, header};
use bytes::Bytes;
use flate2::Compression;
use flate2::bufread::GzDecoder;
use flate2::write::GzEncoder;

use crate::budget::Hold;
use crate::exchange::off_the_loop;
use crate::failure::{Failure, FailureKind};
use crate::service::Service;

/// What a client may send, and ask for.
pub(crate) const SUPPORTED: &str = "gzip, zstd";

/// Answers below this size are sent as they are: packing them would save one packet or none.
const LEAST_PACKED: usize = 16 << 10;

/// Memory that a byte takes while it is read: the text and what is made of it.
const PARSED_FACTOR: usize = 4;

/// Bodies are unpacked in pieces of this many bytes, each counted before it is made.
const PIECE: usize = 64 << 10;

/// How far back a zstd frame may refer, as a power of two: what RFC 8878 asks every decoder to take.
const ZSTD_WINDOW_LOG: u32 = 23;

/// A way of packing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Coding {
    Gzip,
    Zstd,
}

impl Coding {
    fn named(name: &str) -> Option<Self> {
        match &*name.to_ascii_lowercase() {
            "gzip" | "x-gzip" => Some(Coding::Gzip),
            "zstd" => Some(Coding::Zstd),
            _ => None,
        }
    }

    pub(crate) fn name(self) -> &'static str {
        match self {
            Coding::Gzip => "gzip",
            Coding::Zstd => "zstd",
        }
    }
}

/// The coding that bytes begin like, for a client that did not name it.
pub(crate) fn recognised(bytes: &[u8]) -> Option<&'static str> {
    match bytes {
        [0x1f, 0x8b, ..] => Some("gzip"),
        [0x28, 0xb5, 0x2f, 0xfd, ..] => Some("zstd"),
        _ => None,
    }
}

/// How the body of a request is packed.
fn of(headers: &HeaderMap) -> Result<Option<Coding>, Failure> {
    let text = joined(headers, header::CONTENT_ENCODING);
    let mut names = text
        .split(',')
        .map(str::trim)
        .filter(|name| !name.is_empty() && !name.eq_ignore_ascii_case("identity"));
    let Some(name) = names.next() else {
        return Ok(None);
    };
    match Coding::named(name) {
        Some(coding) if names.next().is_none() => Ok(Some(coding)),
        _ => Err(Failure::new(
            FailureKind::UnsupportedEncoding,
            format!(
                "Content-Encoding `{}` is not supported (one of {SUPPORTED}, or none)",
                crate::service::shortened(&text)
            ),
        )),
    }
}

/// Every value of a header that is a list.
fn joined(headers: &HeaderMap, name: HeaderName) -> String {
    let values = headers.get_all(name).iter();
    let values: Vec<_> = values
        .map(|value| String::from_utf8_lossy(value.as_bytes()))
        .collect();
    values.join(", ")
}

/// The body of a request as it is meant; the memory of what is unpacked is held, too.
pub(crate) async fn decoded(
    service: &Arc<Service>,
    headers: &HeaderMap,
    bytes: Bytes,
    held: &Hold,
) -> Result<Bytes, Failure> {
    let Some(coding) = of(headers)? else {
        return Ok(bytes);
    };
    let (service, held) = (Arc::clone(service), held.clone());
    off_the_loop(move || {
        let most = service.options.max_body_bytes;
        let window = match coding {
            Coding::Zstd => 1 << ZSTD_WINDOW_LOG,
            Coding::Gzip => 0,
        };
        let mut needed = bytes.len() + window;
        let mut count = |more: usize| {
            needed = needed.saturating_add(more.saturating_mul(PARSED_FACTOR));
            service.grow(&held, needed, "the body")
        };
        unpack(coding, &bytes, most, &mut count).map(Bytes::from)
    })
    .await
}

/// Unpacks at most `most` bytes; each piece is counted first.
fn unpack(
    coding: Coding,
    bytes: &[u8],
    most: usize,
    count: &mut impl FnMut(usize) -> Result<(), Failure>,
) -> Result<Vec<u8>, Failure> {
    let invalid = |error: io::Error| {
        let message = format!("the body is not valid {}: {error}", coding.name());
        Failure::new(FailureKind::InvalidRequest, message)
    };
    match coding {
        Coding::Gzip => read(Members::new(bytes), most, count, invalid),
        Coding::Zstd => {
            let mut decoder = zstd::stream::read::Decoder::with_buffer(bytes).map_err(invalid)?;
            decoder.window_log_max(ZSTD_WINDOW_LOG).map_err(invalid)?;
            read(decoder, most, count, invalid)
        }
    }
}

/// The members of a gzip file, one behind the other. Zeros behind the last are padding, as `gzip` has
/// it; anything else there is refused.
struct Members<'a> {
    decoder: GzDecoder<&'a [u8]>,
}

impl<'a> Members<'a> {
    fn new(bytes: &'a [u8]) -> Self {
        Members {
            decoder: GzDecoder::new(bytes),
        }
    }
}

impl Read for Members<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        loop {
            let read = self.decoder.read(buffer)?;
            let rest = *self.decoder.get_ref();
            if read > 0 || buffer.is_empty() || rest.iter().all(|&byte| byte == 0) {
                return Ok(read);
            }
            if recognised(rest) != Some("gzip") {
                let message = format!("{} bytes behind its end are none of it", rest.len());
                return Err(io::Error::new(io::ErrorKind::InvalidData, message));
            }
            self.decoder = GzDecoder::new(rest);
        }
    }
}

fn read(
    mut reader: impl Read,
    most: usize,
    count: &mut impl FnMut(usize) -> Result<(), Failure>,
    invalid: impl Fn(io::Error) -> Failure,
) -> Result<Vec<u8>, Failure> {
    let mut plain = Vec::new();
    loop {
        count(PIECE)?;
        let read = reader.by_ref().take(PIECE as u64).read_to_end(&mut plain);
        if read.map_err(&invalid)? == 0 {
            return Ok(plain);
        }
        if plain.len() > most {
            let message = format!(
                "the body is larger than {most} bytes when it is unpacked; split the request"
            );
            return Err(Failure::new(FailureKind::TooLarge, message));
        }
    }
}

/// The coding in which a client wants a large answer, if in any.
pub(crate) fn wanted(headers: &HeaderMap) -> Option<Coding> {
    let text = joined(headers, header::ACCEPT_ENCODING);
    let accepted: Vec<Coding> = text
        .split(',')
        .filter_map(|item| {
            let mut parts = item.split(';').map(str::trim);
            let coding = Coding::named(parts.next()?)?;
            let quality = parts.find_map(|part| part.strip_prefix("q="));
            let is_refused = quality.is_some_and(|q| q.parse::<f32>().is_ok_and(|q| q <= 0.0));
            (!is_refused).then_some(coding)
        })
        .collect();
    // The quickest first.
    [Coding::Zstd, Coding::Gzip]
        .into_iter()
        .find(|coding| accepted.contains(coding))
}

/// Whether an answer of this size is packed where a client wants that.
pub(crate) fn is_large(bytes: usize) -> bool {
    bytes >= LEAST_PACKED
}

/// Packs an answer, quickly rather than well: numbers in JSON shrink to less than half at any level.
pub(crate) fn packed(coding: Coding, answer: &[u8]) -> Result<Vec<u8>, Failure> {
    let pack = || -> io::Result<Vec<u8>> {
        match coding {
            Coding::Gzip => {
                let room = Vec::with_capacity(answer.len() / 2);
                let mut encoder = GzEncoder::new(room, Compression::fast());
                encoder.write_all(answer)?;
                encoder.finish()
            }
            Coding::Zstd => zstd::stream::encode_all(answer, 1),
        }
    };
    pack().map_err(|error| {
        let message = format!("the answer can not be packed: {error}");
        Failure::new(FailureKind::Internal, message)
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use axum::http::HeaderValue;

    const CODINGS: [Coding; 2] = [Coding::Gzip, Coding::Zstd];

    fn headers(name: HeaderName, value: &'static str) -> HeaderMap {
        HeaderMap::from_iter([(name, HeaderValue::from_static(value))])
    }

    #[test]
    fn what_is_packed_is_unpacked_within_its_bound() {
        let text = b"{\"input\": \"MKTAYIAKQR\"}".repeat(10_000);
        for coding in CODINGS {
            let packed = packed(coding, &text).unwrap();
            assert!(packed.len() < text.len() / 2, "{coding:?}");
            let mut counted = 0;
            let mut count = |bytes| {
                counted += bytes;
                Ok(())
            };
            let plain = unpack(coding, &packed, text.len(), &mut count).unwrap();
            assert_eq!(plain, text, "{coding:?}");
            assert!(counted >= text.len(), "{coding:?}: {counted}");
            let large = unpack(coding, &packed, text.len() - 1, &mut |_| Ok(())).unwrap_err();
            assert_eq!(large.kind, FailureKind::TooLarge, "{coding:?}");
            let cut = &packed[..packed.len() - 5];
            let cut = unpack(coding, cut, text.len(), &mut |_| Ok(())).unwrap_err();
            assert_eq!(cut.kind, FailureKind::InvalidRequest, "{coding:?}");
            let long = [&packed[..], b"rest"].concat();
            let long = unpack(coding, &long, text.len(), &mut |_| Ok(())).unwrap_err();
            assert_eq!(long.kind, FailureKind::InvalidRequest, "{coding:?}");
        }
    }

    #[test]
    fn members_follow_each_other_and_zeros_are_padding() {
        let gzip = |text: &[u8]| packed(Coding::Gzip, text).unwrap();
        let zeros = [0; 100];
        let cases: [(Vec<u8>, Result<&str, &str>); 5] = [
            ([gzip(b"MK"), gzip(b"TV")].concat(), Ok("MKTV")),
            (
                [gzip(b"MK"), gzip(b""), gzip(b"TV"), zeros.to_vec()].concat(),
                Ok("MKTV"),
            ),
            (
                [gzip(b"MK"), zeros.to_vec(), b"x".to_vec()].concat(),
                Err("101 bytes behind its end"),
            ),
            (
                [gzip(b"MK"), b"rest".to_vec()].concat(),
                Err("4 bytes behind its end"),
            ),
            (zeros.to_vec(), Err("not valid gzip")),
        ];
        for (bytes, expected) in cases {
            match (
                unpack(Coding::Gzip, &bytes, 1000, &mut |_| Ok(())),
                expected,
            ) {
                (Ok(plain), Ok(text)) => assert_eq!(plain, text.as_bytes()),
                (Err(failure), Err(words)) => {
                    assert!(failure.message.contains(words), "{}", failure.message);
                }
                (found, _) => panic!("{expected:?}: {found:?}"),
            }
        }
    }

    #[test]
    fn codings_are_named_or_refused() {
        for (text, expected) in [
            ("gzip", Ok(Some(Coding::Gzip))),
            ("X-GZIP", Ok(Some(Coding::Gzip))),
            ("identity, zstd", Ok(Some(Coding::Zstd))),
            ("identity", Ok(None)),
            ("", Ok(None)),
            ("br", Err("`br` is not supported (one of gzip, zstd")),
            ("gzip, gzip", Err("`gzip, gzip` is not supported")),
        ] {
            match (of(&headers(header::CONTENT_ENCODING, text)), expected) {
                (Ok(found), Ok(expected)) => assert_eq!(found, expected, "{text}"),
                (Err(failure), Err(words)) => {
                    assert!(failure.message.contains(words), "{}", failure.message);
                }
                (found, _) => panic!("{text}: {found:?}"),
            }
        }
        for (text, expected) in [
            ("gzip, deflate", Some(Coding::Gzip)),
            ("deflate, gzip;q=0", None),
            ("gzip;q=1.0, zstd;q=0.5, br", Some(Coding::Zstd)),
            ("br, identity", None),
            ("*", None),
        ] {
            let found = wanted(&headers(header::ACCEPT_ENCODING, text));
            assert_eq!(found, expected, "{text}");
        }
    }
}
