//! Pooling layers: no parameters, only shapes.

use crate::{Pass, Pool2d, Result, Value, module};

/// The largest value of each window of (N, C, H, W).
#[derive(Debug, Clone)]
pub struct MaxPool2d(pub Pool2d);

/// The mean of each window of (N, C, H, W).
#[derive(Debug, Clone)]
pub struct AvgPool2d(pub Pool2d);

/// The means of an even grid of windows, whatever the size of the image: (N, C, H, W) to (N, C, h, w).
#[derive(Debug, Clone)]
pub struct AdaptiveAvgPool2d(pub [usize; 2]);

module!(MaxPool2d {});
module!(AvgPool2d {});
module!(AdaptiveAvgPool2d {});

impl MaxPool2d {
    /// # Errors
    /// No image, or one smaller than the window.
    pub fn forward(&self, x: &Value, pass: &mut Pass) -> Result<Value> {
        let y = x.max_pool2d(&self.0)?;
        Ok(pass.tap(self, y))
    }
}

impl AvgPool2d {
    /// # Errors
    /// No image, or one smaller than the window.
    pub fn forward(&self, x: &Value, pass: &mut Pass) -> Result<Value> {
        let y = x.avg_pool2d(&self.0)?;
        Ok(pass.tap(self, y))
    }
}

impl AdaptiveAvgPool2d {
    /// # Errors
    /// No image, or an empty one.
    pub fn forward(&self, x: &Value, pass: &mut Pass) -> Result<Value> {
        let y = x.adaptive_avg_pool2d(self.0)?;
        Ok(pass.tap(self, y))
    }
}
