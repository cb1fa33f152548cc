//! Tensors: a shape, strides, and shared memory. `cargo run --release --example 01_tensor`

use ukulele::{Result, Tensor};

fn main() -> Result<()> {
    // Elements are given in row-major order.
    let x = Tensor::from_vec(&[2, 3], vec![1., 2., 3., 4., 5., 6.])?;
    println!("x            {x:?} with strides {:?}", x.strides());

    // A view is another way to read the same memory: nothing is copied.
    let t = x.transpose(0, 1)?;
    println!("transposed   {t:?} with strides {:?}", t.strides());
    println!("last column  {:?}", x.narrow(1, 2, 1)?);

    // An image has the shape (N, C, H, W), but lies in memory as N, H, W, C: the channels of a pixel are neighbours, as
    // convolutions want them. Only the strides tell.
    let image = Tensor::from_vec(&[1, 2, 2, 2], vec![1., 2., 3., 4., 10., 20., 30., 40.])?;
    let last = image.channels_last();
    println!("image        {image:?} with strides {:?}", image.strides());
    println!("as channels last in memory: {:?}", last.memory()?);
    assert_eq!(last.to_vec(), image.to_vec());

    // Writing never reaches a view that someone else holds.
    let mut copy = x.clone();
    copy.memory_mut()[0] = 100.;
    println!("copy changed to {copy:?}, x is still {x:?}");

    // What does not fit is an error that names both shapes.
    println!("error: {}", x.reshape(&[4, 2]).unwrap_err());
    Ok(())
}
