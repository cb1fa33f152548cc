//! Clipping of gradients.

use ukulele_kernels::reduce;
use ukulele_layers::Gradients;

/// Shortens all gradients together so that their common Euclidean norm is at most `max`, and returns the norm they had.
/// A norm that is infinite or no number changes nothing: the step will say which gradient it came from. As
/// `torch.nn.utils.clip_grad_norm_`; summed in f64 in a fixed order.
pub fn clip_norm(gradients: &mut Gradients, max: f64) -> f64 {
    let squares = gradients.iter_mut().map(|g| reduce::sum_squares(g.dense().dense_memory()));
    let norm = squares.sum::<f64>().sqrt();
    let factor = max / (norm + 1e-6);
    if norm.is_finite() && factor < 1.0 {
        for gradient in gradients.iter_mut() {
            gradient.memory_mut().iter_mut().for_each(|g| *g *= factor as f32);
        }
    }
    norm
}
