//! Faults planted in the kernels' sources: each must be found by the checks. What is not found here
//! would not be found in a kernel either.

mod emulation;
#[path = "operations/mod.rs"]
mod operations;

use std::path::PathBuf;
use std::process::{Command, Stdio};
use std::sync::Mutex;

use emulation::{Change, Machine, build};

/// Names the driver that [`one_planted_fault`] runs over, and the source that is checked.
const LIBRARY: &str = "PLANTED_LIBRARY";
const SOURCE: &str = "PLANTED_SOURCE";

const fn change(file: &'static str, from: &'static str, to: &'static str) -> Change<'static> {
    Change { file, from, to }
}

const FAULTS: [Change<'static>; 32] = [
    // Keys are read before they have come.
    change(
        "attention.cu",
        "        copies_wait<0>();\n        barrier();\n    }",
        "        copies_wait<1>();\n        barrier();\n    }",
    ),
    // A warp that is ahead overwrites what another one reads.
    change(
        "attention.cu",
        "        copies_wait<0>();\n        barrier();\n    }",
        "        copies_wait<0>();\n    }",
    ),
    // Sums are not scaled to the new maximum.
    change("attention.cu", "sum[m][h] *= shrink;", ""),
    // One key too many.
    change("attention.cu", "len - 1) - first_key", "len) - first_key"),
    // The window is one too narrow.
    change(
        "attention.cu",
        "least = query - window - first_key",
        "least = query - window + 1 - first_key",
    ),
    // The first tile of a window is left out.
    change(
        "attention.cu",
        "(first - window) / TILE : 0;",
        "(first - window) / TILE + 1 : 0;",
    ),
    // A warp leaves out a tile that its last query sees.
    change(
        "attention.cu",
        "apart - (16 * M - 1) <= window",
        "apart <= window",
    ),
    // The end of a sequence is not masked.
    change(
        "attention.cu",
        "if (t * TILE + TILE > len || ",
        "if (t * TILE > len || ",
    ),
    // The edge of a window is not masked.
    change("attention.cu", " || apart + (TILE - 1) > window", ""),
    // Another layout for writing than for reading.
    change(
        "attention.cu",
        "u8* to = tile + place<D>(r, c);",
        "u8* to = tile + (r * chunks + c) * 16;",
    ),
    // The next chunk is sought behind this one, not in its place.
    change(
        "attention.cu",
        "(value_at ^ (i * 32))",
        "(value_at + i * 32)",
    ),
    // The bias of the next distance.
    change(
        "attention.cu",
        "ROWS - 1 + column - (row - first)",
        "ROWS + column - (row - first)",
    ),
    // Queries that are read again each time are those of the first chunk.
    change(
        "attention.cu",
        "load_matrices(a[m][0], shared + (query_at ^ (i * 32))",
        "load_matrices(a[m][0], shared + query_at",
    ),
    // One bias for a tile that has several.
    change("attention.cu", "least >= reach ||", "least >= reach / 2 ||"),
    // The least score is taken for the largest.
    change("attention.cu", "*pair ^ 0x80008000u", "*pair"),
    // Pairs are written where heads have odd columns.
    change("attention.cu", "(dim & 1) == 0 && ", ""),
    // The rotation turns the other way.
    change(
        "heads.cu",
        "low * cosine - high * sine",
        "low * cosine + high * sine",
    ),
    // And where eight columns are turned at once, and where a map's are.
    change("heads.cu", "x0 * c0 - y0 * s0", "x0 * c0 + y0 * s0"),
    change(
        "heads.cu",
        "x * cosine.at[e] - y * sine.at[e]",
        "x * cosine.at[e] + y * sine.at[e]",
    ),
    // All rows of a block have the first one's position.
    change(
        "heads.cu",
        "row - offsets[part_of(row, offsets, sequences)]",
        "row0 - offsets[part_of(row, offsets, sequences)]",
    ),
    // Scores of other threads are read before they are there.
    change(
        "heads.cu",
        "    sum = block_sum(sum, four);\n    for (u32 c = THREAD; c < dim",
        "    for (u32 c = THREAD; c < dim",
    ),
    // What lies behind a row's last column is multiplied too.
    change("linear.cu", "if (valid && col + 8 > k) {", "if (false) {"),
    // A stage is filled while others still read it.
    change(
        "linear.cu",
        "        copies_wait<STAGES - 2>();\n        // Everybody's copies are there, and everybody has done with the stage that is filled next.\n        barrier();",
        "        copies_wait<STAGES - 2>();",
    ),
    // Value and gate exchanged.
    change(
        "linear.cu",
        "low = gelu(low) * high;",
        "low = gelu(high) * low;",
    ),
    // The variance of a sample.
    change(
        "norm.cu",
        "/ (float)cols + epsilon",
        "/ (float)(cols - 1) + epsilon",
    ),
    // Each thread adds the shift of its first columns to all.
    change(
        "norm.cu",
        "((const Floats*)shift)[at]",
        "((const Floats*)shift)[THREAD]",
    ),
    // An index is not looked at.
    change(
        "rows.cu",
        "id = checked(ids[row], table_rows, what, fault);",
        "id = ids[row] % table_rows;",
    ),
    // The bias of the neighbour.
    change(
        "rows.cu",
        "add[e / 2].at[e % 2 * 2 + 1]",
        "add[e / 2].at[e % 2 * 2]",
    ),
    // A wrong place in a constant.
    change("rows.cu", "1.421413741f", "1.431413741f"),
    // Two values exchanged.
    change(
        "rows.cu",
        "T::pack(v.at[2], v.at[3])",
        "T::pack(v.at[3], v.at[2])",
    ),
    // The last row is pooled that should be left out.
    change(
        "sequences.cu",
        "end > skip_last ? end - skip_last : 0;",
        "end;",
    ),
    // A tap reaches into the next sequence.
    change(
        "sequences.cu",
        "if (from >= start && from < end)",
        "if (from >= start)",
    ),
];

/// Not a test by itself: what runs over each planted fault, in a process of its own, as the
/// emulator ends the process when threads do what they must not.
#[test]
#[ignore = "runs over the faults that `every_planted_fault_is_found` plants"]
fn one_planted_fault() {
    let (Some(library), Ok(source)) = (std::env::var_os(LIBRARY), std::env::var(SOURCE)) else {
        return;
    };
    let machine = Machine::open(PathBuf::from(library));
    // Activations are kernels by themselves where the library makes the products.
    let device = machine.device(0, source == "rows.cu");
    for (name, check) in operations::checks(&source) {
        if let Err(error) = check(&device) {
            panic!("found by {name}: {error}");
        }
    }
    machine.check_memory();
}

/// Whether the checks of a source are content with a driver.
fn is_content(library: &std::path::Path, source: &str) -> bool {
    Command::new(std::env::current_exe().unwrap())
        .args([
            "--exact",
            "one_planted_fault",
            "--ignored",
            "--test-threads=1",
        ])
        .env(LIBRARY, library)
        .env(SOURCE, source)
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .status()
        .unwrap()
        .success()
}

#[test]
fn every_planted_fault_is_found() {
    let faults = Mutex::new(FAULTS.iter());
    let missed = Mutex::new(Vec::new());
    std::thread::scope(|scope| {
        for _ in 0..2 {
            scope.spawn(|| {
                loop {
                    let Some(fault) = faults.lock().unwrap().next() else {
                        break;
                    };
                    if is_content(&build(Some(fault)), fault.file) {
                        missed
                            .lock()
                            .unwrap()
                            .push(format!("{}: {}", fault.file, fault.to));
                    }
                }
            });
        }
    });
    let missed = missed.into_inner().unwrap();
    assert!(missed.is_empty(), "not found:\n{}", missed.join("\n"));
}

/// Without a fault the same way is content: what is found above is the fault.
#[test]
fn sound_sources_pass() {
    assert!(is_content(&build(None), "norm.cu"));
}
