//! tract, a side of the speed tests: runs the ONNX files that benches/peers/models.py exports, named by ONNX_FILES.

#[path = "../../serve.rs"]
mod serve;

use serve::{Result, Run, images, serve, texts};
use tract_linalg::multithread::{Executor, set_default_executor};
use tract_onnx::prelude::*;

fn build(model: &str, kind: &str, size: &str) -> Result<Run> {
    if kind != "infer" {
        return Err(format!("tract does not train: no {kind}").into());
    }
    let path = std::path::Path::new(&std::env::var("ONNX_FILES")?).join(format!("{model}-{size}.onnx"));
    let inputs: TVec<TValue> = if size.contains('x') {
        let (shape, ids, mask) = texts(size)?;
        tvec!(Tensor::from_shape(&shape, &ids)?.into(), Tensor::from_shape(&shape, &mask)?.into())
    } else {
        let (shape, data) = images(model, size.parse()?);
        tvec!(Tensor::from_shape(&shape, &data)?.into())
    };
    let plan = tract_onnx::onnx().model_for_path(&path)?.into_optimized()?.into_runnable()?;
    Ok(Box::new(move || {
        std::hint::black_box(plan.run(inputs.clone())?);
        Ok(())
    }))
}

fn main() {
    let threads = std::env::var("RAYON_NUM_THREADS").ok().and_then(|n| n.parse().ok()).unwrap_or(2);
    set_default_executor(Executor::multithread(threads));
    serve(build);
}
