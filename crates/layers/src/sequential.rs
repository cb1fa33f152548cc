//! Layers one after the other.

use crate::{Module, ModuleId, Param, Pass, Result, Value, join};

/// A module that maps one value to one value.
pub trait Layer: Module + Send {
    /// The layer's result for x.
    ///
    /// # Errors
    /// Those of the layer.
    fn forward(&self, x: &Value, pass: &mut Pass) -> Result<Value>;
}

macro_rules! layers {
    ($($type:ident),*) => {
        $(impl Layer for crate::$type {
            fn forward(&self, x: &Value, pass: &mut Pass) -> Result<Value> {
                Self::forward(self, x, pass)
            }
        })*
    };
}

layers!(Linear, Conv2d, BatchNorm2d, LayerNorm, Dropout, MaxPool2d, AvgPool2d, AdaptiveAvgPool2d);

/// Layers one after the other, named by their place: `0.weight`, `1.weight`, ...
#[derive(Default)]
pub struct Sequential {
    layers: Vec<Box<dyn Layer>>,
}

impl Sequential {
    /// No layers: y = x.
    pub fn new() -> Self {
        Self::default()
    }

    /// The same with one more layer at the end.
    #[must_use]
    pub fn with(mut self, layer: impl Layer + 'static) -> Self {
        self.layers.push(Box::new(layer));
        self
    }
}

impl Module for Sequential {
    fn each(&mut self, path: &str, f: &mut dyn FnMut(&str, &mut Param)) {
        for (i, layer) in self.layers.iter_mut().enumerate() {
            layer.each(&join(path, &i.to_string()), f);
        }
    }

    fn modules(&self, path: &str, f: &mut dyn FnMut(&str, ModuleId)) {
        f(path, ModuleId::of(self));
        for (i, layer) in self.layers.iter().enumerate() {
            layer.modules(&join(path, &i.to_string()), f);
        }
    }
}

impl Layer for Sequential {
    fn forward(&self, x: &Value, pass: &mut Pass) -> Result<Value> {
        let y = self.layers.iter().try_fold(x.clone(), |x, layer| layer.forward(&x, pass))?;
        Ok(pass.tap(self, y))
    }
}
