//! Where values lie: parts of a concatenation in their places, the others in slots that are used again.

use crate::lower::Program;
use crate::step::{Id, Kernel, Source};
use std::ops::Range;

/// Where a value lies in its slot: runs of channels, `stride` apart, from `offset` on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Place {
    pub(crate) slot: usize,
    pub(crate) offset: usize,
    pub(crate) stride: usize,
    /// Whether the slot holds all images, not only those that are being computed.
    pub(crate) whole: bool,
    /// Whether its numbers are bf16; offset and stride count these.
    pub(crate) bf16: bool,
}

/// f32 in whose memory what is computed at a time of a value lies, about: they are still in the cache when the next step reads
/// them.
const CHUNK: usize = 1 << 20;

/// Steps that take the same images at a time.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Group {
    pub(crate) steps: Range<usize>,
    /// How many images that is; `None` for all at once.
    pub(crate) images: Option<usize>,
}

/// The plan of memory.
#[derive(Debug)]
pub(crate) struct Memory {
    pub(crate) groups: Vec<Group>,
    /// Of each value but the input, which stays where the caller has it.
    pub(crate) places: Vec<Option<Place>>,
    /// f32 per image of each slot, and for how many images; `None` for all.
    pub(crate) slots: Vec<(usize, Option<usize>)>,
}

impl Memory {
    /// The plan of these groups, some values lying as bf16.
    pub(crate) fn plan(program: &Program, groups: Vec<Group>, bf16: &[bool]) -> Self {
        let mut group_of = vec![0; program.steps.len()];
        groups.iter().enumerate().for_each(|(g, group)| group_of[group.steps.clone()].fill(g));
        let count = program.values.len();
        let (mut made, mut readers) = (vec![None; count], vec![Vec::new(); count]);
        for (at, step) in program.steps.iter().enumerate() {
            made[step.output] = Some(at);
            step.reads().for_each(|id| readers[id].push(at));
        }
        let parents = parents(program, &made, &readers, &group_of, bf16);
        // The value whose slot it shares, and where its channels begin there.
        let root = |mut id: Id| {
            let mut offset = 0;
            while let Some((parent, at)) = parents[id] {
                (id, offset) = (parent, offset + at);
            }
            (id, offset)
        };
        // Of roots: the first step that writes and the last that reads them or a part of them.
        let mut lives: Vec<Option<(usize, usize)>> = vec![None; count];
        for id in 0..count {
            if let Some(first) = made[id] {
                let last = readers[id].iter().copied().max().unwrap_or(first);
                let life = &mut lives[root(id).0];
                *life = Some(life.map_or((first, last), |(f, l)| (f.min(first), l.max(last))));
            }
        }
        let (mut slots, mut all) = (Vec::<(usize, Option<usize>)>::new(), vec![None; count]);
        let mut busy: Vec<usize> = Vec::new();
        let mut order: Vec<(usize, Id)> =
            lives.iter().enumerate().filter_map(|(id, life)| life.map(|(first, _)| (first, id))).collect();
        order.sort_unstable();
        for (first, id) in order {
            let value = &program.values[id];
            let last = lives[id].map_or(first, |(_, last)| last);
            let whole =
                id == program.output || group_of[first] != group_of[last] || groups[group_of[first]].images.is_none();
            // The smallest free slot that is large enough, or the largest, which grows. A slot is free after the step that
            // reads it last.
            let images = if whole { None } else { groups[group_of[first]].images };
            // What all images have is free for another such value in a later group, or if the group takes all at once.
            let later = |last: usize| {
                images.is_some() || group_of[last] < group_of[first] || groups[group_of[first]].images.is_none()
            };
            // What few images have at a time is free for the values of any later group.
            let free =
                |&slot: &usize| slots[slot].1.is_some() == images.is_some() && busy[slot] < first && later(busy[slot]);
            let size = |slot: &usize| slots[*slot].0 * slots[*slot].1.unwrap_or(1);
            let needed = self::size(program, bf16, id) * images.unwrap_or(1);
            let candidates: Vec<usize> = (0..slots.len()).filter(free).collect();
            let fitting = candidates.iter().copied().filter(|slot| size(slot) >= needed).min_by_key(size);
            let slot = match fitting.or_else(|| candidates.into_iter().max_by_key(size)) {
                Some(slot) => slot,
                None => {
                    slots.push((0, images));
                    busy.push(0);
                    slots.len() - 1
                }
            };
            let (size, most) = slots[slot];
            let (room, most) = (needed.max(size * most.unwrap_or(1)), most.min(images));
            // Of the fewest images of those that share it, so that a run of fewer has room as well.
            slots[slot] = (room.div_ceil(most.unwrap_or(1)), most);
            busy[slot] = last;
            all[id] = Some(Place { slot, offset: 0, stride: value.channels(), whole, bf16: bf16[id] });
        }
        for id in 0..count {
            let (root, offset) = root(id);
            if root != id {
                all[id] = all[root].map(|place| Place { offset, ..place });
            }
        }
        Self { groups, places: all, slots }
    }
}

/// f32 in whose memory a value of one image lies.
fn size(program: &Program, bf16: &[bool], id: Id) -> usize {
    let numel = program.values[id].numel();
    if bf16[id] { numel.div_ceil(2) } else { numel }
}

/// Runs of steps that take all images at once, or a few: as many as have values in the memory of [`CHUNK`] f32, but no step more than
/// a later one, so that the images of a network whose values shrink are joined a few times on their way.
pub(crate) fn groups(program: &Program, bf16: &[bool]) -> Vec<Group> {
    let mut images = vec![None; program.steps.len()];
    let mut least = usize::MAX;
    for (at, step) in program.steps.iter().enumerate().rev() {
        if !step.kernel.is_dense(program.values[step.output].pixels()) {
            let largest = step.reads().chain([step.output]).map(|id| size(program, bf16, id)).max().unwrap_or(1);
            least = least.min((CHUNK / largest.max(1)).max(1));
            // Powers of two, so that groups fit into each other.
            images[at] = Some(1 << least.ilog2());
        }
    }
    let mut groups: Vec<Group> = Vec::new();
    for (at, &images) in images.iter().enumerate() {
        match groups.last_mut() {
            Some(group) if group.images == images => group.steps.end = at + 1,
            _ => groups.push(Group { steps: at..at + 1, images }),
        }
    }
    groups
}

/// The concatenations that values are written straight into, and at which channel. Such a value is read by nothing else, lies as the
/// whole does, and is made by a step that can leave gaps: a convolution without residual, or another concatenation.
fn parents(
    program: &Program,
    made: &[Option<usize>],
    readers: &[Vec<usize>],
    group_of: &[usize],
    bf16: &[bool],
) -> Vec<Option<(Id, usize)>> {
    let mut parents = vec![None; program.values.len()];
    for (at, step) in program.steps.iter().enumerate() {
        let Kernel::Concat { outer } = step.kernel else { continue };
        let whole = &program.values[step.output];
        if outer != whole.pixels() || whole.dims.len() != 3 {
            continue;
        }
        let mut channel = 0;
        for input in &step.inputs {
            match input {
                Source::Constant(numbers) => channel += numbers.len() / outer,
                Source::Value(id) => {
                    let writes = |made: usize| match program.steps[made].kernel {
                        Kernel::Conv { .. } => program.steps[made].inputs.len() == 1,
                        Kernel::Concat { outer } => outer == whole.pixels(),
                        _ => false,
                    };
                    let near = |made: &usize| group_of[*made] == group_of[at] && writes(*made);
                    let alike = bf16[*id] == bf16[step.output];
                    if alike && readers[*id].len() == 1 && made[*id].filter(near).is_some() && *id != program.output {
                        parents[*id] = Some((step.output, channel));
                    }
                    channel += program.values[*id].channels();
                }
            }
        }
    }
    parents
}
