//! Our side of the race from process start to the first prediction: opens the ResNet-50 of a file and prints the class of one
//! picture. One picture does not pay for the compilation of a plan. `benches/peers/first.py` has the peers' sides, and
//! writes the file.

use ukulele::training::argmax;
use ukulele::{ImageModel, Pass, Tensor};

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let path = std::env::args().nth(1).ok_or("a file of weights belongs there")?;
    let (net, _) = ImageModel::from_pretrained(path)?;
    let x = Tensor::from_vec(&[1, 3, 224, 224], (0..3 * 224 * 224).map(|i| (i % 255) as f32 / 255.0).collect())?;
    let logits = net.forward(&x.channels_last().into(), &mut Pass::eval())?.logits;
    println!("{}", argmax(&logits.into_tensor().to_vec()));
    Ok(())
}
