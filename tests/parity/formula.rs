//! Weights by formula: the twin of `formula.py`, which states it.

use ukulele::{Module, Role, Tensor};

fn fnv1a(name: &str) -> u64 {
    name.bytes().fold(0xCBF2_9CE4_8422_2325, |h, b| (h ^ u64::from(b)).wrapping_mul(0x0100_0000_01B3))
}

/// u in [0, 1) for element 0, 1, ... of the tensor called `name`.
fn uniform(name: &str) -> impl Iterator<Item = f64> {
    let hash = fnv1a(name);
    (1u64..).map(move |i| {
        let mut z = hash.wrapping_add(i.wrapping_mul(0x9E37_79B9_7F4A_7C15));
        z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        z ^= z >> 31;
        (z >> 40) as f64 / f64::from(1 << 24)
    })
}

/// v in [-1, 1): inputs and probes.
pub(crate) fn signed(name: &str) -> impl Iterator<Item = f64> {
    uniform(name).map(|u| 2.0 * u - 1.0)
}

/// An input.
pub(crate) fn input(name: &str, shape: &[usize]) -> Tensor {
    let data = signed(name).take(shape.iter().product()).map(|v| v as f32).collect();
    Tensor::from_vec(shape, data).unwrap()
}

/// Whole numbers below `below`.
pub(crate) fn integers(name: &str, count: usize, below: usize) -> Vec<usize> {
    uniform(name).take(count).map(|u| (u * below as f64) as usize).collect()
}

/// The parameter or statistic called `name`.
pub(crate) fn weight(name: &str, shape: &[usize]) -> Tensor {
    let (scale, offset) = if name.ends_with("running_var") {
        (0.5, 1.0)
    } else if name.ends_with("running_mean") {
        (0.1, 0.0)
    } else if shape.len() >= 2 {
        ((3.0 / shape[1..].iter().product::<usize>() as f64).sqrt(), 0.0)
    } else if name.rsplit('.').next() == Some("weight") {
        (0.1, 1.0)
    } else {
        (0.1, 0.0)
    };
    let data = signed(name).take(shape.iter().product()).map(|v| (offset + v * scale) as f32).collect();
    Tensor::from_vec(shape, data).unwrap()
}

/// Fills every parameter and statistic of a model.
pub(crate) fn fill(net: &mut impl Module) {
    net.each("", &mut |name, param| {
        if param.role != Role::Rate {
            param.value = weight(name, param.value.shape()).channels_last();
        }
    });
}

#[test]
fn the_formula_is_that_of_the_generators() {
    let golden = crate::golden("formula.json");
    let list = |v: &serde_json::Value| -> Vec<usize> { serde_json::from_value(v.clone()).unwrap() };
    for entry in golden["weights"].as_array().unwrap() {
        let name = entry["name"].as_str().unwrap();
        assert_eq!(format!("{:016x}", fnv1a(name)), entry["hash"].as_str().unwrap());
        let values = weight(name, &list(&entry["shape"])).to_vec();
        for (ours, want) in values.iter().zip(entry["first"].as_array().unwrap()) {
            assert_eq!(*ours, want.as_f64().unwrap() as f32, "{name}");
        }
        assert_eq!(*values.last().unwrap(), entry["last"].as_f64().unwrap() as f32, "{name}");
    }
    for entry in golden["integers"].as_array().unwrap() {
        let values = list(&entry["values"]);
        let below = entry["below"].as_u64().unwrap() as usize;
        assert_eq!(integers(entry["name"].as_str().unwrap(), values.len(), below), values);
    }
}
