//! Freezing is pruning: what is frozen costs no tape. `cargo run --release --example 03_freezing`

use ukulele::{Module, Pass, ResNet, Result, Role, Tensor};

fn main() -> Result<()> {
    let mut net = ResNet::resnet18(3);
    let images = Tensor::full(&[2, 3, 64, 64], 0.5)?.into();

    let show = |net: &mut ResNet, what: &str| -> Result<()> {
        let (all, trainable) = net.parameter_count();
        let mut pass = Pass::train(1);
        let loss = net.forward(&images, &mut pass)?.cross_entropy(&[0, 2])?;
        net.audit(&pass, &loss)?;
        let records = pass.tape().map_or(0, |tape| tape.len());
        let gradients = pass.backward(&loss)?;
        let mut moving = 0;
        net.each("", &mut |_, p| moving += usize::from(gradients.statistic(p).is_some()));
        println!("{what:28} {trainable:10} of {all} trainable, {records:3} records, {moving:2} statistics move");
        Ok(())
    };

    show(&mut net, "nothing frozen")?;
    // Names are checkpoint names. Freezing sets all three axes: weights, batch-norm statistics, dropout.
    net.freeze(|name| name.starts_with("conv1.") || name.starts_with("bn1.") || name.starts_with("layer1."));
    show(&mut net, "stem and layer1 frozen")?;
    net.freeze(|name| !name.starts_with("fc."));
    show(&mut net, "all but the classifier")?;
    // Each axis can be set alone: frozen weights, but statistics that follow the new data.
    net.set_frozen(&[Role::Statistic], false, |_| true);
    show(&mut net, "... with moving statistics")
}
