//! What happens to a tile when it is computed: the epilogue, and its way into memory as f32 or as bf16.

use super::tile::{Product, Sink, Sums};
use super::{Activation, Epilogue, MixedEpilogue};
use crate::math::{gelu_erf, gelu_erf_short, gelu_tanh};
use crate::numbers::{Numbers, NumbersMut};
use crate::simd::Simd;
use std::marker::PhantomData;

/// Where the result goes, and what happens to it before.
#[derive(Clone, Copy)]
pub(crate) struct Target<'a> {
    /// First number of the result.
    pub(crate) c: *mut f32,
    /// Add to what is there?
    pub(crate) accumulate: bool,
    /// Done before storing.
    pub(crate) epilogue: Epilogue<'a, f32>,
    /// Is the result likely to be far from the first-level cache?
    pub(crate) far: bool,
    /// Does the result consist of bf16? Then `c` points to the first of these.
    pub(crate) bf16: bool,
    /// A residual of bf16, in place of the epilogue's; such results are not added to what is there.
    pub(crate) residual: Option<&'a [u16]>,
}

impl<'a> Target<'a> {
    /// A result of f32 somewhere in memory.
    pub(crate) fn new(c: &mut [f32], accumulate: bool, epilogue: Epilogue<'a, f32>) -> Self {
        Self::to(NumbersMut::F32(c), accumulate, epilogue)
    }

    /// A result that lies in either way.
    pub(crate) fn to(c: NumbersMut, accumulate: bool, epilogue: Epilogue<'a, f32>) -> Self {
        let (c, bf16) = match c {
            NumbersMut::F32(c) => (c.as_mut_ptr(), false),
            NumbersMut::Bf16(c) => (c.as_mut_ptr().cast(), true),
        };
        Target { c, accumulate, epilogue, far: true, bf16, residual: None }
    }

    /// A result that lies in either way, and perhaps its residual.
    pub(crate) fn of(c: NumbersMut, epilogue: &'a MixedEpilogue<'a>) -> Self {
        let MixedEpilogue { bias, residual, activation } = *epilogue;
        let (wide, narrow) = match residual {
            Some(Numbers::F32(residual)) => (Some(residual), None),
            Some(Numbers::Bf16(residual)) => (None, Some(residual)),
            None => (None, None),
        };
        let epilogue = Epilogue { bias, residual: wide, activation };
        Target { residual: narrow, ..Self::to(c, false, epilogue) }
    }

    /// The same from number `at` on.
    pub(crate) fn from(self, at: usize) -> Self {
        let c = if self.bf16 { self.c.cast::<u16>().wrapping_add(at).cast() } else { self.c.wrapping_add(at) };
        let residual = self.epilogue.residual.map(|residual| &residual[at..]);
        let epilogue = Epilogue { residual, ..self.epilogue };
        Target { c, epilogue, residual: self.residual.map(|residual| &residual[at..]), ..self }
    }

    /// Asks for the lines of two vectors of the result and the residual.
    #[inline(always)]
    pub(super) fn prefetch<S: Simd>(&self, s: S, at: usize) {
        // Two vectors of bf16 are a line at most.
        if self.bf16 {
            s.prefetch(self.c.cast::<u16>().wrapping_add(at).cast());
        } else {
            s.prefetch(self.c.wrapping_add(at));
            s.prefetch(self.c.wrapping_add(at + S::LANES));
        }
        if let Some(residual) = self.epilogue.residual {
            s.prefetch(residual.as_ptr().wrapping_add(at));
            s.prefetch(residual.as_ptr().wrapping_add(at + S::LANES));
        }
        if let Some(residual) = self.residual {
            s.prefetch_read(residual.as_ptr().wrapping_add(at).cast());
        }
    }
}

// SAFETY: tasks write to different elements of the result through `c`; whoever makes a `Target` sees to it.
unsafe impl Send for Target<'_> {}
// SAFETY: as above.
unsafe impl Sync for Target<'_> {}

/// Does a tile have so many rows that code which stores them out of registers is worth its length?
pub(super) const fn is_direct<S: Simd>(rows: usize) -> bool {
    2 * rows >= S::ROWS
}

/// Rows of whole vectors: those of a tile stored out of registers, if [`is_direct`] and the product is so, and the activation a
/// maximum at most; all others kept for [`store_tile`].
pub(super) struct Writer<'a, S: Simd, P> {
    target: &'a Target<'a>,
    out: &'a [usize],
    column: usize,
    /// Where the rows are kept instead.
    keep: Option<&'a mut Sums<S>>,
    product: PhantomData<P>,
}

impl<'a, S: Simd, P> Writer<'a, S, P> {
    /// Without `keep` the tile must be [`is_direct`] and the product [`Product::DIRECT`], else nothing is written.
    ///
    /// # Safety
    /// Unless rows are kept, the places `out + column`, for two vectors, must lie inside the result and belong to the caller.
    #[inline(always)]
    pub(super) unsafe fn new(
        target: &'a Target<'a>,
        out: &'a [usize],
        column: usize,
        keep: Option<&'a mut Sums<S>>,
    ) -> Self {
        Writer { target, out, column, keep, product: PhantomData }
    }
}

impl<S: Simd, P: Product<S>> Sink<S> for Writer<'_, S, P> {
    #[inline(always)]
    fn take<const R: usize>(self, s: S, mut rows: [[S::V; 2]; R]) {
        let Writer { target, out, column, keep, .. } = self;
        if !P::DIRECT || !is_direct::<S>(R) || keep.is_some() {
            if let Some(keep) = keep {
                keep[..R].copy_from_slice(&rows);
            }
            return;
        }
        let Epilogue { bias, residual, activation } = target.epilogue;
        let out: &[usize; R] = out.try_into().expect("a place for each row");
        let floor = s.splat(if activation == Activation::Relu { 0.0 } else { f32::NEG_INFINITY });
        let bias = whole_bias(s, bias, column);
        for row in &mut rows {
            *row = [s.add(row[0], bias[0]), s.add(row[1], bias[1])];
        }
        if target.accumulate {
            for (row, out) in rows.iter_mut().zip(out) {
                // SAFETY: promised to `new`.
                let c = unsafe { there(s, target, out + column) };
                *row = [s.add(row[0], c[0]), s.add(row[1], c[1])];
            }
        }
        if let Some(residual) = residual {
            for (row, out) in rows.iter_mut().zip(out) {
                let residual = &residual[out + column..][..2 * S::LANES];
                *row = [s.add(row[0], s.load(residual)), s.add(row[1], s.load(&residual[S::LANES..]))];
            }
        }
        if let Some(residual) = target.residual {
            for (row, out) in rows.iter_mut().zip(out) {
                let residual = &residual[out + column..][..2 * S::LANES];
                *row = [s.add(row[0], s.load_bf16(residual)), s.add(row[1], s.load_bf16(&residual[S::LANES..]))];
            }
        }
        if target.bf16 {
            for (row, out) in rows.iter().zip(out) {
                let c = target.c.cast::<u16>().wrapping_add(out + column);
                // SAFETY: as above.
                unsafe { P::store_bf16(s, c, [s.max(floor, row[0]), s.max(floor, row[1])]) };
            }
        } else {
            for (row, out) in rows.iter().zip(out) {
                let c = target.c.wrapping_add(out + column);
                // SAFETY: as above.
                unsafe {
                    s.store_ptr(c, s.max(floor, row[0]));
                    s.store_ptr(c.add(S::LANES), s.max(floor, row[1]));
                }
            }
        }
    }
}

/// The bias of two vectors of columns.
#[inline(always)]
fn whole_bias<S: Simd>(s: S, bias: Option<&[f32]>, column: usize) -> [S::V; 2] {
    match bias {
        Some(bias) => [s.load(&bias[column..]), s.load(&bias[column + S::LANES..])],
        None => [s.zero(); 2],
    }
}

/// Two vectors of what is in the result.
///
/// # Safety
/// They must lie inside it and belong to the caller.
#[inline(always)]
unsafe fn there<S: Simd>(s: S, target: &Target, at: usize) -> [S::V; 2] {
    // SAFETY: the caller's promise.
    unsafe {
        if target.bf16 {
            let c = target.c.cast::<u16>().add(at);
            [s.load_bf16_ptr(c), s.load_bf16_ptr(c.add(S::LANES))]
        } else {
            let c = target.c.add(at);
            [s.load_ptr(c), s.load_ptr(c.add(S::LANES))]
        }
    }
}

/// Applies the epilogue to rows in memory and writes `cols` columns from `column` on.
///
/// # Safety
/// The places `out + column`, for `cols` numbers, must lie inside the result and the residual and belong to the caller.
#[inline(always)]
pub(super) unsafe fn store_tile<S: Simd, P: Product<S>>(
    s: S,
    sums: &Sums<S>,
    out: &[usize],
    column: usize,
    cols: usize,
    target: &Target,
) {
    let Epilogue { bias, residual: wide, activation } = target.epilogue;
    let narrow = target.residual;
    if cols == 2 * S::LANES {
        let bias = whole_bias(s, bias, column);
        for (sums, out) in sums.iter().zip(out) {
            let at = out + column;
            let mut v = [s.add(sums[0], bias[0]), s.add(sums[1], bias[1])];
            if target.accumulate {
                // SAFETY: the caller's promise.
                let c = unsafe { there(s, target, at) };
                v = [s.add(v[0], c[0]), s.add(v[1], c[1])];
            }
            if let Some(residual) = wide {
                let residual = &residual[at..at + 2 * S::LANES];
                v = [s.add(v[0], s.load(residual)), s.add(v[1], s.load(&residual[S::LANES..]))];
            }
            if let Some(residual) = narrow {
                let residual = &residual[at..at + 2 * S::LANES];
                v = [s.add(v[0], s.load_bf16(residual)), s.add(v[1], s.load_bf16(&residual[S::LANES..]))];
            }
            // SAFETY: the caller's promise.
            unsafe {
                if target.bf16 {
                    v = [activate_short(s, activation, v[0]), activate_short(s, activation, v[1])];
                    P::store_bf16(s, target.c.cast::<u16>().add(at), v);
                } else {
                    s.store_ptr(target.c.add(at), activate(s, activation, v[0]));
                    s.store_ptr(target.c.add(at + S::LANES), activate(s, activation, v[1]));
                }
            }
        }
        return;
    }
    for half in 0..cols.div_ceil(S::LANES) {
        let column = column + half * S::LANES;
        let cols = S::LANES.min(cols - half * S::LANES);
        let bias = bias.map_or(s.zero(), |bias| load(s, &bias[column..column + cols]));
        for (sums, out) in sums.iter().zip(out) {
            let at = out + column;
            let mut v = s.add(sums[half], bias);
            // SAFETY: the caller's promise.
            let (wide_c, narrow_c): (&mut [f32], &mut [u16]) = unsafe {
                if target.bf16 {
                    (&mut [], std::slice::from_raw_parts_mut(target.c.cast::<u16>().add(at), cols))
                } else {
                    (std::slice::from_raw_parts_mut(target.c.add(at), cols), &mut [])
                }
            };
            if target.accumulate {
                v = s.add(v, if target.bf16 { s.load_bf16(narrow_c) } else { load(s, wide_c) });
            }
            if let Some(residual) = wide {
                v = s.add(v, load(s, &residual[at..at + cols]));
            }
            if let Some(residual) = narrow {
                v = s.add(v, s.load_bf16(&residual[at..at + cols]));
            }
            if target.bf16 {
                s.store_bf16(narrow_c, activate_short(s, activation, v));
            } else {
                store(s, wide_c, activate(s, activation, v));
            }
        }
    }
}

/// As [`activate`], as precisely as results of bf16 need: GELU by [`gelu_erf_short`].
#[inline(always)]
pub(crate) fn activate_short<S: Simd>(s: S, activation: Activation, v: S::V) -> S::V {
    match activation {
        Activation::GeluErf => gelu_erf_short(s, v),
        other => activate(s, other, v),
    }
}

/// The activation of each lane.
#[inline(always)]
pub(crate) fn activate<S: Simd>(s: S, activation: Activation, v: S::V) -> S::V {
    match activation {
        Activation::None => v,
        Activation::Relu => s.max(s.zero(), v),
        Activation::GeluErf => gelu_erf(s, v),
        Activation::GeluTanh => gelu_tanh(s, v),
    }
}

/// A whole vector if the slice has one, else what it has.
#[inline(always)]
pub(crate) fn load<S: Simd>(s: S, x: &[f32]) -> S::V {
    if x.len() >= S::LANES { s.load(x) } else { s.load_partial(x) }
}

/// Writes a whole vector if the slice has room for one, else what it has room for.
#[inline(always)]
pub(crate) fn store<S: Simd>(s: S, x: &mut [f32], v: S::V) {
    if x.len() >= S::LANES { s.store(x, v) } else { s.store_partial(x, v) }
}
