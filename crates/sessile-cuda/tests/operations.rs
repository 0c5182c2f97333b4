//! Every operation of a lane on the emulated GPU, against its definition in f64.

mod emulation;
#[path = "operations/mod.rs"]
mod operations;

use emulation::Machine;

/// Runs the checks of a source on a machine of its own. Returns how many products were the library's.
fn check(source: &str, by_library: bool) -> u64 {
    let machine = Machine::alone("operations");
    let device = machine.device(0, by_library);
    let failures: Vec<String> = operations::checks(source)
        .into_iter()
        .filter_map(|(name, check)| check(&device).err().map(|error| format!("{name}: {error}")))
        .collect();
    assert!(failures.is_empty(), "{source}:\n{}", failures.join("\n"));
    machine.check_memory();
    machine.count(0, 1)
}

#[test]
fn attention_on_tensor_cores() {
    check("attention.cu", false);
}

#[test]
fn attention_in_f32() {
    check("attention_f32.cu", false);
}

#[test]
fn what_is_around_attention() {
    check("heads.cu", false);
}

#[test]
fn own_products() {
    check("linear.cu", false);
}

#[test]
fn products_by_the_library() {
    // Odd addresses have no algorithm there, and own kernels take them; most are the library's.
    assert!(check("linear.cu", true) > 100);
}

#[test]
fn norms() {
    check("norm.cu", false);
}

#[test]
fn rows() {
    check("rows.cu", true);
}

#[test]
fn sequences() {
    check("sequences.cu", false);
}
