//! JSON from strangers: looked over before it is parsed, and complained about as Python does.

pub(crate) mod guard;
pub(crate) mod python;
pub(crate) mod whole;
