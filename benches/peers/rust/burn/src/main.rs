//! burn on its flex backend, a side of the speed tests: the code that burn-onnx makes out of the exported ONNX files.

#[path = "../../serve.rs"]
mod serve;

use burn::tensor::{Device, Int, Tensor, TensorData};
use serve::{Result, Run, images, serve, texts};

macro_rules! run_images {
    ($module:ident, $size:expr) => {{
        let net = $module::Model::default();
        let (shape, data) = images(stringify!($module), $size.parse()?);
        let x = Tensor::<4>::from_data(TensorData::new(data, shape), &Device::default());
        Box::new(move || {
            std::hint::black_box(net.forward(x.clone()));
            Ok(())
        })
    }};
}

macro_rules! run_texts {
    ($module:ident, $size:expr) => {{
        let net = $module::Model::default();
        let (shape, ids, mask) = texts($size)?;
        let ids = Tensor::<2, Int>::from_data(TensorData::new(ids, shape), &Device::default());
        let mask = Tensor::<2, Int>::from_data(TensorData::new(mask, shape), &Device::default());
        Box::new(move || {
            std::hint::black_box(net.forward(ids.clone(), mask.clone()));
            Ok(())
        })
    }};
}

include!(concat!(env!("OUT_DIR"), "/models.rs"));

fn build(model: &str, size: &str) -> Result<Run> {
    match size.split_once('x') {
        // The code of a model of texts is for one number of texts and the longest length.
        Some((batch, tokens)) => {
            made(&format!("{model}-{batch}x{}", tokens.rsplit('-').next().unwrap_or(tokens)), size)
        }
        None => made(&format!("{model}-1"), size),
    }
}

fn main() {
    serve(build);
}
