//! The golden suite on the emulated GPU: every encoder against the reference outputs, in every number
//! format, with products by own kernels and by the library; and the same bytes in any company.
//!
//! The suite is that of `sessile-runtime`, which runs it on the processor and on a GPU where there is
//! one.

mod emulation;
#[path = "../../sessile-runtime/tests/golden/mod.rs"]
mod golden;

use emulation::Machine;
use golden::company::{self, CASES};
use golden::run::Place;
use golden::{bart, dnabert_s, esm2, families, modernbert, prostt5};
use sessile_device::DType;

const FORMATS: [DType; 3] = [DType::F32, DType::Bf16, DType::F16];

/// Around the tiles of 32 and 64, and one letter.
const LENGTHS: [usize; 5] = [1, 31, 64, 65, 129];

#[derive(Clone, Copy, Debug)]
enum Products {
    Own,
    Library,
}

/// Runs a part of the suite on a machine of its own, with sequences of up to `longest` tokens.
fn on(products: Products, longest: usize, check: impl FnOnce(&Place)) {
    let machine = Machine::alone("golden");
    let by_library = matches!(products, Products::Library);
    let device = machine.device(0, by_library);
    check(&Place::Emulated { device, longest });
    assert_eq!(machine.count(0, 1) > 0, by_library, "who multiplied");
    machine.check_memory();
}

#[test]
fn esm2_in_f32() {
    on(Products::Own, 260, |place| {
        esm2::in_f32("esm2/tiny_a", place)
    });
    on(Products::Library, 1026, |place| {
        esm2::in_f32("esm2/tiny_b", place)
    });
}

#[test]
fn esm2_in_16_bits() {
    on(Products::Own, 1026, |place| {
        esm2::in_16_bits("esm2/tiny_a", place, DType::Bf16)
    });
    on(Products::Library, 110, |place| {
        esm2::in_16_bits("esm2/tiny_b", place, DType::Bf16);
        esm2::in_16_bits("esm2/tiny_a", place, DType::F16);
    });
    on(Products::Own, 110, |place| {
        esm2::in_16_bits("esm2/tiny_b", place, DType::F16)
    });
}

#[test]
fn dnabert_s_in_f32() {
    let [a, b] = dnabert_s::MODELS;
    on(Products::Own, 1026, |place| dnabert_s::in_f32(a, a, place));
    on(Products::Library, 1026, |place| {
        dnabert_s::in_f32(b, b, place)
    });
}

#[test]
fn dnabert_s_in_16_bits() {
    let [a, b] = dnabert_s::MODELS;
    on(Products::Own, 1026, |place| {
        dnabert_s::in_16_bits(b, place, DType::Bf16);
        dnabert_s::in_16_bits(a, place, DType::F16);
    });
    on(Products::Library, 1026, |place| {
        dnabert_s::in_16_bits(a, place, DType::Bf16);
        dnabert_s::in_16_bits(b, place, DType::F16);
    });
}

#[test]
fn prostt5_in_every_format() {
    for products in [Products::Own, Products::Library] {
        on(products, 1026, |place| {
            prostt5::in_f32(place, prostt5::HEADS[2]);
            prostt5::in_16_bits(place, DType::Bf16);
            prostt5::in_16_bits(place, DType::F16);
        });
    }
}

#[test]
fn modernbert_in_every_format() {
    for products in [Products::Own, Products::Library] {
        on(products, 1026, |place| {
            modernbert::in_f32(place);
            modernbert::in_16_bits(place, DType::Bf16);
            modernbert::in_16_bits(place, DType::F16);
        });
    }
}

#[test]
fn families_in_every_format() {
    for products in [Products::Own, Products::Library] {
        on(products, 1026, |place| {
            for model in families::MODELS {
                families::in_f32(model, place);
                families::in_16_bits(model, place, DType::Bf16);
            }
        });
    }
    on(Products::Own, 1026, |place| {
        for model in families::MODELS {
            families::in_16_bits(model, place, DType::F16);
        }
    });
}

#[test]
fn bart_in_every_format() {
    on(Products::Own, 120, |place| {
        FORMATS
            .iter()
            .for_each(|&dtype| bart::states_and_scores_in(dtype, place));
    });
    on(Products::Library, 640, |place| {
        FORMATS[..2]
            .iter()
            .for_each(|&dtype| bart::states_and_scores_in(dtype, place));
    });
}

#[test]
fn bytes_do_not_depend_on_their_company_with_own_products() {
    on(Products::Own, 1026, |place| {
        for case in &CASES {
            FORMATS
                .iter()
                .for_each(|&dtype| company::check(case, place, dtype, &LENGTHS));
        }
    });
}

#[test]
fn bytes_do_not_depend_on_their_company_with_the_library() {
    // In f32 the library multiplies where graphs are looked at.
    on(Products::Library, 1026, |place| {
        for case in &CASES {
            company::check(case, place, DType::Bf16, &LENGTHS);
        }
    });
}

/// Ten tiles of keys, and distances far beyond the last bucket of T5 and every window.
#[test]
fn long_sequences_are_as_on_the_processor() {
    for dtype in [DType::F32, DType::Bf16] {
        on(Products::Library, 1026, |place| {
            for case in &CASES {
                company::check_long(case, place, dtype, 577);
            }
        });
    }
}

/// The third pass over as many tokens in as many sequences is started as a graph.
#[test]
fn bytes_are_the_same_from_graphs() {
    /// What graphs that were started are counted by.
    const STARTED: i32 = 3;
    for (by_library, dtype) in [(false, DType::Bf16), (true, DType::F32)] {
        let machine = Machine::alone("golden");
        let device = machine.device(0, by_library);
        let place = Place::Emulated {
            device,
            longest: 1026,
        };
        let mut started = 0;
        for case in &CASES {
            company::check_again(case, &place, dtype);
            let now = machine.count(0, STARTED);
            assert!(now >= started + 4, "{} in {dtype}: {now}", case.model);
            started = now;
        }
        machine.check_memory();
    }
}
