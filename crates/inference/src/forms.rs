//! Which values lie as bf16 between the steps of a plan in bf16.

use crate::lower::Program;
use crate::step::{Kernel, Step};

/// Of each value, whether it does: where the step that makes it and all that read it can, and its channels are pairs. The input and
/// the result are f32.
pub(crate) fn bf16_values(program: &Program) -> Vec<bool> {
    let Program { values, steps, output } = program;
    let mut made = vec![false; values.len()];
    let mut all: Vec<bool> = values.iter().map(|value| value.channels() > 0 && value.channels() % 2 == 0).collect();
    all[*output] = false;
    for step in steps {
        made[step.output] = true;
        if !takes(step, values[step.output].numel()) {
            step.reads().chain([step.output]).for_each(|id| all[id] = false);
        }
    }
    all.iter_mut().zip(&made).for_each(|(all, made)| *all &= made);
    // Attention has both or none.
    for step in steps.iter().filter(|step| matches!(step.kernel, Kernel::Attention { .. })) {
        let both = step.reads().chain([step.output]).all(|id| all[id]);
        step.reads().chain([step.output]).for_each(|id| all[id] = both);
    }
    all
}

/// Can this step read and write bf16? Its result has so many numbers.
fn takes(step: &Step, numel: usize) -> bool {
    match step.kernel {
        Kernel::Conv { .. } | Kernel::Linear { .. } | Kernel::LayerNorm { .. } | Kernel::Concat { .. } => true,
        Kernel::MaxPool(_) | Kernel::AvgPool(_) | Kernel::Bins(_) => true,
        Kernel::Attention { heads, .. } => (numel / heads.max(1)).is_multiple_of(2),
        _ => false,
    }
}
