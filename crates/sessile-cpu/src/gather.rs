//! Rows by their numbers, and copies of rows.

use crate::bf16;
use crate::rows::{Rows, RowsMut};
use crate::team::Team;

/// Rows of a task: enough that meeting costs less than copying.
const CHUNK: usize = 64;

/// `out[i] = from[ids[i]] × scale[i]`.
pub(crate) fn gather(
    team: &mut Team,
    from: Rows<'_>,
    ids: &[u32],
    scale: Option<Rows<'_>>,
    out: RowsMut<'_>,
) {
    assert!(ids.len() == out.rows() && from.cols() == out.cols());
    assert!(scale.is_none_or(|scale| scale.rows() == ids.len()));
    each_row(team, out, |index, to| {
        let from = from.row(ids[index] as usize);
        match scale {
            Some(scale) => {
                let factor = scale.row(index)[0];
                to.iter_mut().zip(from).for_each(|(to, x)| *to = x * factor);
            }
            None => to.copy_from_slice(from),
        }
    });
}

/// `out[i] = from[ids[i]] × scale[i]`, of a table in bf16.
pub(crate) fn gather_bf16(
    team: &mut Team,
    from: Rows<'_, u16>,
    ids: &[u32],
    scale: Option<Rows<'_>>,
    out: RowsMut<'_>,
) {
    assert!(ids.len() == out.rows() && from.cols() == out.cols());
    assert!(scale.is_none_or(|scale| scale.rows() == ids.len()));
    each_row(team, out, |index, to| {
        let factor = scale.map_or(1.0, |scale| scale.row(index)[0]);
        bf16::rows::widen(from.row(ids[index] as usize), factor, to);
    });
}

/// `out = x`.
pub(crate) fn copy(team: &mut Team, x: Rows<'_>, out: RowsMut<'_>) {
    assert!(x.rows() == out.rows() && x.cols() == out.cols());
    each_row(team, out, |index, to| to.copy_from_slice(x.row(index)));
}

/// `out = out + x`.
pub(crate) fn add(team: &mut Team, x: Rows<'_>, out: RowsMut<'_>) {
    assert!(x.rows() == out.rows() && x.cols() == out.cols());
    each_row(team, out, |index, to| {
        to.iter_mut().zip(x.row(index)).for_each(|(to, x)| *to += x);
    });
}

/// `out[rows[i]] = x[i]`. Of two equal row numbers the later one holds.
pub(crate) fn scatter<T: Copy>(x: Rows<'_, T>, rows: &[u32], out: RowsMut<'_, T>) {
    assert!(x.rows() == rows.len() && x.cols() == out.cols());
    for (index, &row) in rows.iter().enumerate() {
        // SAFETY: this is the only reference to the row, one after the other.
        unsafe { out.row(row as usize) }.copy_from_slice(x.row(index));
    }
}

/// `x = 0`.
pub(crate) fn zero(team: &mut Team, x: RowsMut<'_>) {
    each_row(team, x, |_, to| to.fill(0.0));
}

fn each_row(team: &mut Team, out: RowsMut<'_>, write: impl Fn(usize, &mut [f32]) + Sync) {
    team.share(out.rows().div_ceil(CHUNK), |chunk, _| {
        let first = chunk * CHUNK;
        for index in first..out.rows().min(first + CHUNK) {
            // SAFETY: this row is this task's alone.
            write(index, unsafe { out.row(index) });
        }
    });
}
