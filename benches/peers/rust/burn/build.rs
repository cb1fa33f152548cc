//! Rust code for the ONNX files in ONNX_FILES that benches/peers/models.py exported: networks of images of batch 1, whose code
//! takes any batch, and models of texts with texts of one length.

use std::fmt::Write;
use std::path::PathBuf;

const WANTED: [&str; 10] = [
    "resnet18-1",
    "resnet50-1",
    "vgg16-1",
    "googlenet-1",
    "inception_v3-1",
    "bert-base-1x128",
    "bert-base-8x128",
    "minilm-1x128",
    "minilm-8x128",
    "minilm-32x128",
];

fn main() -> Result<(), Box<dyn std::error::Error>> {
    println!("cargo::rerun-if-env-changed=ONNX_FILES");
    println!("cargo::rerun-if-changed=build.rs");
    let files = PathBuf::from(std::env::var("ONNX_FILES")?);
    let (mut modules, mut arms) = (String::new(), String::new());
    for name in WANTED {
        let path = files.join(format!("{name}.onnx"));
        println!("cargo::rerun-if-changed={}", path.display());
        if !path.exists() {
            continue;
        }
        // The names of module and file are that of the ONNX file in lower case with `_`.
        let module = name.replace('-', "_");
        let copy = PathBuf::from(std::env::var("OUT_DIR")?).join(format!("{module}.onnx"));
        std::fs::copy(&path, &copy)?;
        burn_onnx::ModelGen::new()
            .input(&copy.to_string_lossy())
            .out_dir("model/")
            // Simplified, the code for one text names a constant it does not define.
            .simplify(!name.ends_with("-1x128"))
            .run_from_script();
        std::fs::remove_file(copy)?;
        writeln!(
            modules,
            "#[allow(dead_code)] mod {module} {{ include!(concat!(env!(\"OUT_DIR\"), \"/model/{module}.rs\")); }}"
        )?;
        let run = if name.contains('x') && !name.starts_with("inception") { "run_texts" } else { "run_images" };
        writeln!(arms, "        {name:?} => Ok({run}!({module}, kind, size)),")?;
    }
    std::fs::write(
        PathBuf::from(std::env::var("OUT_DIR")?).join("models.rs"),
        format!(
            "{modules}\nfn made(name: &str, kind: &str, size: &str) -> Result<Run> {{\n    match name {{\n{arms}        _ => Err(format!(\"no code was made for {{name}}\").into()),\n    }}\n}}\n"
        ),
    )?;
    Ok(())
}
