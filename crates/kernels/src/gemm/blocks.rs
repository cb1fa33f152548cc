//! Cutting a product into tasks of fixed size, so that the result does not depend on the number of threads.

use super::store::Target;
use super::tile::{Block, Job, Panels, TOGETHER, run};
use crate::isa::Isa;
use crate::team::{each, each_result};
use std::ops::Range;

/// Numbers of A that one task works on: three eighths of a typical second-level cache of 1 MiB.
const BLOCK: usize = 96 * 1024;
/// Numbers of A that may be one block where B is deep.
const WHOLE: usize = 4 * BLOCK;
/// Tasks that are enough to keep some cores busy.
const TASKS: usize = 16;
/// Multiplications below which a task is not worth starting.
const SMALL: usize = 1 << 20;
/// Tiles of rows whose products take so long that all of B may come from memory for each thread.
const MANY: usize = 32;
/// Rows in the time that a weight takes to come from memory.
const FEW: usize = 4;

/// Rows of a tile and columns of a panel on this instruction set.
pub(crate) fn tile_size(isa: Isa) -> (usize, usize) {
    match isa {
        Isa::Scalar => (4, 8),
        Isa::Avx2 => (6, 16),
        Isa::Avx512 => (12, 32),
    }
}

/// Cuts `rows` into pieces of nearly equal size, at most `most` each.
pub(crate) fn pieces(rows: Range<usize>, most: usize) -> impl Iterator<Item = Range<usize>> {
    let count = rows.len().div_ceil(most);
    (0..count).map(move |i| rows.start + rows.len() * i / count..rows.start + rows.len() * (i + 1) / count)
}

/// At most `most` of `count` things in a piece, and the number of pieces one that some cores can share evenly.
pub(crate) fn shared(count: usize, most: usize) -> usize {
    let pieces = count.div_ceil(most);
    count.div_ceil(if pieces > 2 { pieces.next_multiple_of(4) } else { pieces }.max(1)).max(1)
}

/// Computes `rows` rows of a result. `block` makes the tiles of some rows, at most `tile_size` rows each; `footprint`
/// says how many numbers a row draws in.
///
/// # Safety
/// The sources of all tiles must be readable for `b.depth` numbers while the block lives; no two tiles may write
/// to the same place, and all must write inside the result.
pub(crate) unsafe fn run_blocks(
    isa: Isa,
    serial: bool,
    rows: usize,
    footprint: usize,
    b: Panels,
    target: Target,
    block: impl Fn(Range<usize>) -> Block + Sync,
) {
    let (tile_rows, width) = tile_size(isa);
    let panels = b.cols.div_ceil(width);
    let most = (BLOCK / footprint.max(1)).clamp(tile_rows, 20 * tile_rows) / tile_rows * tile_rows;
    // All rows as one block, if it costs less that they come again for every few panels than that all of B does for each block, and
    // panels alone are tasks enough.
    let size = b.taps * b.depth * width;
    let again = panels.div_ceil((TOGETHER / size.max(1)).max(1)).max(TASKS);
    let all = rows * footprint;
    let whole = panels >= TASKS && all <= WHOLE && all * again < rows.div_ceil(most).saturating_sub(1) * panels * size;
    let most = if whole { rows } else { most };
    // The weight of a few rows takes as long to come from memory as some rows more to compute.
    let small = serial || rows.max(FEW) * b.cols * b.depth * b.taps < SMALL;
    let blocks: Vec<_> = pieces(0..rows, if small { most } else { shared(rows, most) }).collect();
    let chunks = if small { 1 } else { TASKS.div_ceil(blocks.len().max(1)).min(panels) };
    let task = |block: &Block, chunk: usize| {
        let panels = panels * chunk / chunks..panels * (chunk + 1) / chunks;
        // SAFETY: the caller's promise; tasks differ in their tiles or in their panels.
        run(isa, &unsafe { Job::new(block, b, panels, target) });
    };
    if small {
        blocks.into_iter().for_each(|rows| task(&block(rows), 0));
    } else if chunks == 1 {
        each(blocks.len(), |i| task(&block(blocks[i].clone()), 0));
    } else {
        // Made once for all tasks.
        let blocks = each_result(blocks.len(), |i| block(blocks[i].clone()));
        let many = rows >= MANY * tile_rows;
        each(blocks.len() * chunks, |i| {
            // Many rows stay with the thread that has them in its cache, from layer to layer. Few have all blocks meet some panels
            // before the next ones come from memory.
            let (block, chunk) = if many { (i / chunks, i % chunks) } else { (i % blocks.len(), i / blocks.len()) };
            task(&blocks[block], chunk);
        });
    }
}
