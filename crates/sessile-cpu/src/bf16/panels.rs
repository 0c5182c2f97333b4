//! Weights as a product reads them: `[panel of 32 outputs][step of 32 inputs][2][16 pairs][16][2]`.
//!
//! Each innermost `[16 pairs of inputs][16 outputs][2]` is one AMX tile in VNNI order. Outputs and
//! inputs beyond the last are zero. In a gated weight, panel *j* holds 16 gates and then the 16
//! values that belong to them, so that one block of the product has both.

use std::sync::{Mutex, PoisonError};

use sessile_device::{DeviceError, RowSource};

use crate::bf16::operand::{STEP, steps};
use crate::bf16::to_bf16;

/// Outputs of a panel.
pub(crate) const PANEL: usize = 32;

/// Outputs of a tile.
const TILE: usize = 16;

/// Elements of one step of one panel.
pub(crate) const BLOCK: usize = PANEL * STEP;

/// Panels of a weight with `n` rows, gate and value together.
pub(crate) const fn panels(n: usize, gated: bool) -> usize {
    if gated {
        (n / 2).div_ceil(TILE)
    } else {
        n.div_ceil(PANEL)
    }
}

/// Elements of a packed weight of `n` rows (gate and value together) and `k` columns.
pub(crate) const fn len(n: usize, k: usize, gated: bool) -> usize {
    panels(n, gated) * steps(k) * BLOCK
}

/// Bytes of a packed weight; as many as there can be where it fits no address space.
pub(crate) const fn bytes(n: usize, k: usize, gated: bool) -> usize {
    panels(n, gated)
        .saturating_mul(steps(k))
        .saturating_mul(BLOCK * 2)
}

/// Packs `parts`, stacked along their rows, into `out` ([`len`] elements), by `threads` threads
/// that each hold 32 rows at a time beside the result.
///
/// # Errors
///
/// The first error of a source.
pub(crate) fn pack(
    parts: &[&dyn RowSource],
    gated: bool,
    threads: usize,
    out: &mut [u16],
) -> Result<(), DeviceError> {
    let k = parts.first().map_or(0, |part| part.cols());
    let n: usize = parts.iter().map(|part| part.rows()).sum();
    let panel_len = steps(k) * BLOCK;
    if panel_len == 0 || n == 0 {
        return Ok(());
    }
    let panels = out.len() / panel_len;
    let share = panels.div_ceil(threads.max(1)).max(1);
    let chunks = Mutex::new(out.chunks_mut(share * panel_len).enumerate());
    let next = || {
        let mut chunks = chunks.lock().unwrap_or_else(PoisonError::into_inner);
        chunks.next()
    };
    let work = || {
        let mut rows = vec![0.0; PANEL * k];
        while let Some((worker, chunk)) = next() {
            for (i, panel) in chunk.chunks_exact_mut(panel_len).enumerate() {
                let panel_index = worker * share + i;
                read_panel(parts, n, k, gated, panel_index, &mut rows)?;
                pack_panel(&rows, k, panel);
            }
        }
        Ok(())
    };
    std::thread::scope(|scope| {
        // Threads that the system does not give are missed by nobody: the others do the work.
        let others: Vec<_> = (1..threads)
            .filter_map(|_| std::thread::Builder::new().spawn_scoped(scope, work).ok())
            .collect();
        let own = work();
        others.into_iter().fold(own, |result, other| {
            let other = other.join();
            result.and(other.unwrap_or_else(|panic| std::panic::resume_unwind(panic)))
        })
    })
}

/// Reads the 32 rows of one panel; rows beyond the last are zero.
fn read_panel(
    parts: &[&dyn RowSource],
    n: usize,
    k: usize,
    gated: bool,
    panel: usize,
    rows: &mut [f32],
) -> Result<(), DeviceError> {
    if gated {
        let half = n / 2;
        let (gates, values) = rows.split_at_mut(TILE * k);
        read_stacked(parts, k, panel * TILE, half, gates)?;
        read_stacked(parts, k, half + panel * TILE, n, values)
    } else {
        read_stacked(parts, k, panel * PANEL, n, rows)
    }
}

/// Reads rows from `first` on, up to row `end` of the stack, and zeros after it.
fn read_stacked(
    parts: &[&dyn RowSource],
    k: usize,
    first: usize,
    end: usize,
    mut rows: &mut [f32],
) -> Result<(), DeviceError> {
    let wanted = (rows.len() / k).min(end.saturating_sub(first));
    let (mut first, mut left) = (first, wanted);
    for part in parts {
        if first >= part.rows() {
            first -= part.rows();
            continue;
        }
        let count = left.min(part.rows() - first);
        let (now, later) = rows.split_at_mut(count * k);
        if count > 0 {
            part.read_rows(first, now)?;
        }
        rows = later;
        left -= count;
        first = 0;
    }
    rows.fill(0.0);
    Ok(())
}

/// Rounds 32 rows to bf16 and puts them into tile order.
fn pack_panel(rows: &[f32], k: usize, panel: &mut [u16]) {
    for (step, block) in panel.chunks_exact_mut(BLOCK).enumerate() {
        let inputs = STEP.min(k - step * STEP);
        for (half, tile) in block.chunks_exact_mut(TILE * STEP).enumerate() {
            for output in 0..TILE {
                let start = (half * TILE + output) * k + step * STEP;
                let row = &rows[start..start + inputs];
                let mut rounded = [0_u16; STEP];
                for (to, &from) in rounded.iter_mut().zip(row) {
                    *to = to_bf16(from);
                }
                for (pair, values) in rounded.chunks_exact(2).enumerate() {
                    tile[pair * 2 * TILE + output * 2..][..2].copy_from_slice(values);
                }
            }
        }
    }
}

/// Where the weight from `input` to `output` is. For a gated weight, `output` counts within the
/// packed order (16 gates, 16 values, 16 gates…).
#[cfg(test)]
pub(crate) const fn index(output: usize, input: usize, steps: usize) -> usize {
    (output / PANEL * steps + input / STEP) * BLOCK
        + output % PANEL / TILE * (TILE * STEP)
        + input % STEP / 2 * (2 * TILE)
        + output % TILE * 2
        + input % 2
}

#[cfg(test)]
mod tests {
    use sessile_device::HostTensor;

    use super::{index, len, pack};
    use crate::bf16::from_bf16;
    use crate::bf16::operand::steps;

    /// A matrix whose values tell their place and are exact in bf16.
    fn matrix(n: usize, k: usize, first: usize) -> HostTensor {
        let data = (0..n * k).map(|i| ((i + first) % 256) as f32).collect();
        HostTensor::new(vec![n, k], data)
    }

    #[test]
    fn stacks_parts_and_pads_with_zeros() {
        let (k, parts) = (48, [matrix(20, 48, 0), matrix(7, 48, 5), matrix(6, 48, 9)]);
        let n = 33;
        let mut packed = vec![7; len(n, k, false)];
        let sources = parts.each_ref().map(|part| part as &dyn super::RowSource);
        pack(&sources, false, 2, &mut packed).unwrap();
        let all: Vec<f32> = parts.iter().flat_map(|part| part.data.clone()).collect();
        for output in 0..64 {
            for input in 0..64 {
                let want = if output < n && input < k {
                    all[output * k + input]
                } else {
                    0.0
                };
                let got = from_bf16(packed[index(output, input, steps(k))]);
                assert_eq!(got, want, "{output} {input}");
            }
        }
    }

    #[test]
    fn gates_lie_beside_their_values() {
        let (k, half) = (33, 17);
        let weight = matrix(2 * half, k, 3);
        let mut packed = vec![7; len(2 * half, k, true)];
        pack(&[&weight], true, 3, &mut packed).unwrap();
        for output in 0..64 {
            let (column, is_value) = (output / 32 * 16 + output % 16, output % 32 / 16);
            for input in 0..64 {
                let want = if column < half && input < k {
                    weight.data[(is_value * half + column) * k + input]
                } else {
                    0.0
                };
                let got = from_bf16(packed[index(output, input, steps(k))]);
                assert_eq!(got, want, "{output} {input}");
            }
        }
    }
}
