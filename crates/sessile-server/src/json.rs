//! JSON from strangers: looked over before it is parsed, and complained about as Python does.

pub(crate) mod guard;
pub(crate) mod python;
pub(crate) mod whole;

/// What some programs write before UTF-8.
pub(crate) const BYTE_ORDER_MARK: &[u8] = "\u{feff}".as_bytes();
