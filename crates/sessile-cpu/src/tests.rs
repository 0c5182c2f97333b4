//! What the tests of kernels share.

use crate::isa::Isa;

/// Every instruction set that this machine can run.
pub(crate) fn isas() -> impl Iterator<Item = Isa> {
    Isa::ALL.into_iter().filter(|isa| isa.available())
}

/// Tests of kernels run at every level that the machine has. This says which ones those were, past
/// the capture of output, so that nobody takes a level that is missing for one that passed.
#[test]
fn levels_that_ran_are_told_from_those_that_could_not() {
    use std::io::Write;

    let (ran, missing): (Vec<Isa>, Vec<Isa>) = Isa::ALL.iter().partition(|isa| isa.available());
    let names = |list: &[Isa]| {
        list.iter()
            .map(Isa::to_string)
            .collect::<Vec<_>>()
            .join(", ")
    };
    writeln!(
        std::io::stderr(),
        "kernels of sessile-cpu ran at: {}; NOT RUN, this machine does not have them: {}",
        names(&ran),
        names(&missing)
    )
    .unwrap();
    assert!(ran.contains(&Isa::Portable));
}

/// The same values on every run: uniform in −1..1.
pub(crate) fn values(seed: u64, len: usize) -> Vec<f32> {
    let mut state = seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1;
    (0..len)
        .map(|_| {
            state ^= state << 13;
            state ^= state >> 7;
            state ^= state << 17;
            (state >> 40) as f32 / (1u64 << 23) as f32 - 1.0
        })
        .collect()
}
