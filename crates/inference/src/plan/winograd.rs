//! How far Winograd's algorithm is off, layer by layer, and what is computed without it where that is too far.

use super::run::Ran;
use super::{Plan, PlanOptions, Ready, TOLERANCE, Weight, packed_conv, relative};
use crate::step::{Kernel, Step};
use rayon::prelude::*;
use ukulele_kernels::conv::{Algorithm, Conv2d, conv2d};
use ukulele_kernels::gemm::{Epilogue, Precision};
use ukulele_layers::{Pass, Result, Tensor, Value};

/// Channels that tell which layers are worse than others.
const SAMPLE: usize = 8;

impl Plan {
    /// How far the layers that Winograd's algorithm computes in a plan in f32, before any of them falls back ([`Plan::compile`]), are
    /// from the sums in f64 of the same inputs, with bias, residual and activation: each as [`super::StepProfile::what`] has it, and
    /// the error relative in norm, over the first two images of the example (of one, and of half its numbers). The sums are plain
    /// loops: they take far longer than a run.
    ///
    /// ```
    /// use ukulele_inference::Plan;
    /// use ukulele_layers::{Conv2d, Conv2dOptions, Init, Tensor};
    /// let conv = Conv2d::new(32, 32, 3, Conv2dOptions::default(), &mut Init::new(0));
    /// let errors = Plan::winograd_errors(|x, pass| conv.forward(x, pass), &Tensor::ones(&[2, 32, 18, 18])?)?;
    /// assert!(errors[0].0.starts_with("conv 3x3/1 32 -> 32 winograd") && errors[0].1 < 2e-6);
    /// # Ok::<(), ukulele_layers::Error>(())
    /// ```
    ///
    /// # Errors
    /// As [`Plan::compile`].
    pub fn winograd_errors(
        forward: impl FnOnce(&Value, &mut Pass) -> Result<Value>,
        example: &Tensor,
    ) -> Result<Vec<(String, f64)>> {
        let (plan, images, _) = Self::recorded(forward, example, PlanOptions::default())?;
        let errors = plan.own_errors(&images, usize::MAX)?;
        Ok(errors.into_iter().map(|(at, error)| (plan.describe(&plan.steps[at]).what, error)).collect())
    }

    /// Computes directly what is to be, until the plan is near enough to `y`, what the pass makes of these images: the layer that
    /// Winograd's algorithm is worst at, then twice as many each time.
    pub(super) fn fall_back(&mut self, images: &Tensor, y: &Tensor) -> Result<()> {
        if self.error <= TOLERANCE {
            return Ok(());
        }
        let mut worst = self.own_errors(images, SAMPLE)?;
        worst.sort_by(|a, b| b.1.total_cmp(&a.1));
        let mut direct = 0;
        while self.error > TOLERANCE && direct < worst.len() {
            let until = worst.len().min(2 * direct + 1);
            for &(at, _) in &worst[direct..until] {
                let Ready { step, weight: packed } = &mut self.steps[at];
                if let Kernel::Conv { g, weight, .. } = &step.kernel {
                    let conv = packed_conv(&mut Vec::new(), Vec::new(), g, weight, Algorithm::Direct, Precision::F32);
                    *packed = Weight::Conv(conv);
                }
            }
            direct = until;
            self.error = relative(&self.run(images)?, y);
        }
        Ok(())
    }

    /// The steps that Winograd's algorithm computes, and the errors of so many of their channels at most.
    fn own_errors(&self, images: &Tensor, channels: usize) -> Result<Vec<(usize, f64)>> {
        let mut sums: Vec<Option<[f64; 2]>> = vec![None; self.steps.len()];
        self.run_with(images, &[], &mut |ran| {
            if let Some(squares) = self.squares(ran, channels) {
                let sum = sums[ran.at].get_or_insert_default();
                *sum = add(*sum, squares);
            }
        })?;
        let error = |[off, all]: [f64; 2]| match (off / all.max(f64::MIN_POSITIVE)).sqrt() {
            error if error.is_nan() => f64::INFINITY,
            error => error,
        };
        Ok(sums.into_iter().enumerate().filter_map(|(at, sum)| Some((at, error(sum?)))).collect())
    }

    /// The sums of squares of the differences from the sums in f64, and of these, in evenly spread channels.
    fn squares(&self, ran: &Ran, channels: usize) -> Option<[f64; 2]> {
        let Ready {
            step: Step { kernel: Kernel::Conv { g, weight, bias, activation }, .. },
            weight: Weight::Conv(packed),
        } = &self.steps[ran.at]
        else {
            return None;
        };
        if packed.algorithm() != Algorithm::Winograd {
            return None;
        }
        let x: Vec<f64> = self.input_of(ran, 0)?.iter().map(|&x| f64::from(x)).collect();
        let (residual, (y, stride)) = (self.input_of(ran, 1), self.output_of(ran)?);
        let one = Conv2d { n: ran.count, cout: 1, ..*g };
        let channel = |numbers: &[f32], stride: usize, at: usize| -> Vec<f64> {
            numbers[at..].iter().step_by(stride).take(one.y_len()).map(|&x| f64::from(x)).collect()
        };
        let spread: Vec<usize> = (0..g.cout).step_by(g.cout.div_ceil(channels).max(1)).collect();
        Some(weight.with(&mut Vec::new(), |weight| {
            let of = spread.par_iter().map(|&at| {
                let w: Vec<f64> = weight[at * one.w_len()..][..one.w_len()].iter().map(|&w| f64::from(w)).collect();
                let residual = residual.map(|residual| channel(residual, g.cout, at));
                let bias = [f64::from(bias[at])];
                let epilogue = Epilogue { bias: Some(&bias), residual: residual.as_deref(), activation: *activation };
                let mut exact = vec![0.0; one.y_len()];
                conv2d(&one, &x, &w, &mut exact, &epilogue);
                let off = channel(y, stride, at).iter().zip(&exact).map(|(y, exact)| (y - exact).powi(2)).sum();
                [off, exact.iter().map(|exact| exact * exact).sum()]
            });
            of.reduce(|| [0.0; 2], add)
        }))
    }
}

fn add(a: [f64; 2], b: [f64; 2]) -> [f64; 2] {
    [a[0] + b[0], a[1] + b[1]]
}
