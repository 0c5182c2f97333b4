//! What the machine could do at best, measured: the number that every rate is a fraction of.

mod f32;

pub use self::f32::f32_flops;
