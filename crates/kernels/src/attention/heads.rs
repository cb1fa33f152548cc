//! What attention's ways share: where the tokens of a head lie, whose results its task alone writes, and a task for each head.

use super::{Attention, Inputs, Layout};
use crate::gemm::Mat;
use crate::team::each;

/// Some tokens of one head.
#[derive(Clone, Copy)]
pub(super) struct Place {
    pub(super) b: usize,
    pub(super) h: usize,
    pub(super) first: usize,
    pub(super) count: usize,
}

/// The rows (tokens) from `first` on of one head, as a matrix.
pub(super) fn tokens(x: &[f32], layout: Layout, p: Place, dim: usize) -> Mat<'_, f32> {
    let data = if p.count == 0 { &[] } else { &x[layout.at(p.b, p.first, p.h)..] };
    Mat { data, rows: p.count, cols: dim, row_stride: layout.token, col_stride: 1 }
}

/// A result that tasks write to, each its own head.
pub(super) struct Shared {
    data: *mut f32,
    layout: Layout,
    dim: usize,
}

// SAFETY: `token` is the only access, and its callers use different ones.
unsafe impl Send for Shared {}
// SAFETY: as above.
unsafe impl Sync for Shared {}

impl Shared {
    /// # Panics
    /// Unless the tokens of all heads lie within x and do not overlap.
    pub(super) fn new(x: &mut [f32], layout: Layout, g: &Attention, tokens: usize, what: &str) -> Self {
        layout.check(g, tokens, x.len(), what);
        layout.check_apart(g, tokens, what);
        Shared { data: x.as_mut_ptr(), layout, dim: g.dim }
    }

    /// The numbers of one token of the place's head.
    ///
    /// # Safety
    /// The token must exist in the sizes given to `new`, and no one else may use it at the same time.
    #[allow(clippy::mut_from_ref)]
    pub(super) unsafe fn token(&self, p: Place, token: usize) -> &mut [f32] {
        // SAFETY: `new` checked that every token of the sizes lies inside and overlaps no other.
        unsafe { std::slice::from_raw_parts_mut(self.data.add(self.layout.at(p.b, token, p.h)), self.dim) }
    }

    /// Writes rows of `dim` numbers to the tokens of the place.
    ///
    /// # Safety
    /// The place must exist in the sizes given to `new`, and no one else may write to it at the same time.
    pub(super) unsafe fn write(&self, p: Place, rows: &[f32]) {
        for (i, row) in rows.chunks_exact(self.dim).take(p.count).enumerate() {
            // SAFETY: the caller's promise.
            unsafe { self.token(p, p.first + i).copy_from_slice(row) };
        }
    }
}

/// What is added to the scores of the keys of one batch element. Keys at its end that are masked by -1e9 or less are left
/// out, unless all are: e^score would round to 0.
pub(super) fn live_mask<'a>(g: &Attention, x: &Inputs<'a, f32>, b: usize, no_mask: &'a [f32]) -> &'a [f32] {
    let mask = x.mask.map_or(no_mask, |mask| &mask[b * g.tk..(b + 1) * g.tk]);
    // NaN is no padding.
    #[allow(clippy::neg_cmp_op_on_partial_ord)]
    let live = mask.iter().rposition(|&m| !(m <= -1e9)).map_or(g.tk, |last| last + 1);
    &mask[..live]
}

/// Takes the first `len` numbers of a head's memory.
pub(super) fn take<'a>(memory: &mut &'a mut [f32], len: usize) -> &'a mut [f32] {
    memory.split_off_mut(..len).expect("the caller counted them")
}

/// Calls `f(b, h)` for each head, on all threads.
pub(super) fn each_head(g: &Attention, f: impl Fn(usize, usize) + Send + Sync) {
    each(g.batch * g.heads, |i| f(i / g.heads, i % g.heads));
}
