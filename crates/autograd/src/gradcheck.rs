//! Proof of gradients: the derivative of every op against central differences, in f64.
//!
//! For a random probe P of the output's shape, L = Σ P·f(x) has ∂L/∂xᵢ ≈ (L(x + h eᵢ) − L(x − h eᵢ)) / 2h. [`check`]
//! compares this for every element of every input, and further asks that the result does not depend on the layout of
//! the inputs, that each input alone gets the gradient it gets among all, and that f32 (the fast kernels) agrees.

use crate::{Element, Error, Result, Tape, Tensor, Value};

/// The output, and the gradient of each input that got one.
type Derivative<T> = (Tensor<T>, Vec<Option<Tensor<T>>>);

type Function<T> = Box<dyn Fn(&[Value<T>]) -> Result<Value<T>>>;

/// Inputs at which an op is proven.
pub struct Example<T: Element> {
    /// What is special in this one.
    pub label: &'static str,
    /// The inputs that get gradients.
    pub inputs: Vec<Tensor<T>>,
    /// The op, applied to values of the inputs.
    pub run: Function<T>,
}

impl<T: Element> Example<T> {
    /// An example.
    pub fn new(
        label: &'static str,
        inputs: Vec<Tensor<T>>,
        run: impl Fn(&[Value<T>]) -> Result<Value<T>> + 'static,
    ) -> Self {
        Self { label, inputs, run: Box::new(run) }
    }
}

/// Numbers spread over (-1, 1), different for every seed, the same in f32 and f64.
///
/// # Panics
/// Too large a shape.
pub fn numbers<T: Element>(seed: u64, shape: &[usize]) -> Tensor<T> {
    let mut state = seed.wrapping_mul(0x9E37_79B9_7F4A_7C15) ^ 0xD1B5_4A32_D192_ED03;
    let data = (0..shape.iter().product::<usize>()).map(|_| {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        T::from_f32((state >> 41) as f32 / (1u32 << 22) as f32 - 1.0)
    });
    Tensor::from_vec(shape, data.collect()).expect("a shape of a test")
}

/// Examples for an op of one input of any shape.
pub fn elementwise<T: Element>(run: impl Fn(&[Value<T>]) -> Result<Value<T>> + Clone + 'static) -> Vec<Example<T>> {
    [
        ("matrix", vec![3, 4]),
        ("scalar", vec![]),
        ("image", vec![2, 3, 2, 2]),
        ("one", vec![1, 1]),
        ("empty", vec![0, 3]),
    ]
    .into_iter()
    .map(|(label, shape)| Example::new(label, vec![numbers(1, &shape)], run.clone()))
    .collect()
}

/// Examples for an op of two inputs whose shapes broadcast.
pub fn broadcasting<T: Element>(
    run: impl Fn(&Value<T>, &Value<T>) -> Result<Value<T>> + Copy + 'static,
) -> Vec<Example<T>> {
    let shapes: [(&str, &[usize], &[usize]); 11] = [
        ("matrices", &[3, 4], &[3, 4]),
        ("row", &[3, 4], &[4]),
        ("column", &[3, 4], &[3, 1]),
        ("row and column", &[1, 4], &[3, 1]),
        ("row first", &[4], &[3, 4]),
        ("scalar", &[2, 3], &[]),
        ("channels", &[2, 3, 2, 2], &[3, 1, 1]),
        ("images", &[2, 3, 2, 2], &[1, 3, 2, 2]),
        ("middle", &[2, 1, 3], &[4, 1]),
        ("one", &[1], &[1, 1]),
        ("empty", &[0, 3], &[3]),
    ];
    let mut examples: Vec<_> = shapes
        .into_iter()
        .map(|(label, a, b)| Example::new(label, vec![numbers(1, a), numbers(2, b)], move |v| run(&v[0], &v[1])))
        .collect();
    examples.push(Example::new("the same twice", vec![numbers(1, &[2, 3])], move |v| run(&v[0], &v[0])));
    examples
}

/// The output and the gradients of Σ probe·output; `wants` names the inputs that are differentiated.
fn differentiate<T: Element>(
    example: &Example<T>,
    inputs: &[Tensor<T>],
    wants: &dyn Fn(usize) -> bool,
) -> Result<Derivative<T>> {
    let tape = Tape::new();
    let values: Vec<Value<T>> = inputs
        .iter()
        .enumerate()
        .map(|(i, t)| if wants(i) { tape.leaf(&format!("input {i}"), t.clone()) } else { t.clone().into() })
        .collect();
    let output = (example.run)(&values)?;
    let gradients = tape.backward_from(&output, numbers(77, output.shape()))?;
    let gradients = values.iter().map(|v| gradients.of(v).cloned()).collect();
    Ok((output.into_tensor(), gradients))
}

fn loss(example: &Example<f64>, inputs: &[Tensor<f64>]) -> Result<f64> {
    let values: Vec<Value<f64>> = inputs.iter().map(|t| t.clone().into()).collect();
    let output = (example.run)(&values)?.into_tensor();
    let probe = numbers::<f64>(77, output.shape()).to_vec();
    Ok(output.to_vec().iter().zip(probe).map(|(a, b)| a * b).sum())
}

/// The largest difference of two tensors, relative to the larger of 1 and the values.
fn difference<T: Element, U: Element>(a: &Tensor<T>, b: &Tensor<U>) -> f64 {
    assert_eq!(a.shape(), b.shape());
    a.to_vec()
        .iter()
        .zip(b.to_vec())
        .map(|(a, b)| (a.to_f64() - b.to_f64()).abs() / b.to_f64().abs().max(1.0))
        .fold(0.0, |worst, d| if d.is_nan() { f64::INFINITY } else { f64::max(worst, d) })
}

/// ∂L/∂xᵢ by central differences, of each element of each input.
fn differences(example: &Example<f64>) -> Result<Vec<Vec<f64>>> {
    let step = 1e-6;
    let slope = |i: usize, j: usize| {
        let input = &example.inputs[i];
        let at = |x: f64| {
            let mut moved = input.to_vec();
            moved[j] += x;
            let mut inputs = example.inputs.clone();
            inputs[i] = Tensor::from_vec(input.shape(), moved)?;
            loss(example, &inputs)
        };
        Ok((at(step)? - at(-step)?) / (2.0 * step))
    };
    (0..example.inputs.len()).map(|i| (0..example.inputs[i].numel()).map(|j| slope(i, j)).collect()).collect()
}

/// Whether a gradient is what differences say; the message says where it is not.
fn compare(example: &Example<f64>, i: usize, analytic: &[f64], numeric: &[f64]) -> std::result::Result<(), String> {
    for (j, (analytic, numeric)) in analytic.iter().zip(numeric).enumerate() {
        let error = (numeric - analytic).abs() / numeric.abs().max(1.0);
        if error.is_nan() || error > 1e-6 {
            let found = format!("backward gives {analytic}, differences give {numeric}");
            return Err(format!("{}: input {i} element {j}: {found}", example.label));
        }
    }
    Ok(())
}

/// Proves one example against central differences. Returns, for each input, whether a gradient that is wrong by 1 %
/// would have been found.
///
/// # Errors
/// The message says which input and element differ, and by how much.
pub fn prove(example: &Example<f64>) -> std::result::Result<Vec<bool>, String> {
    let fail = |e: Error| format!("{}: {e}", example.label);
    let (_, gradients) = differentiate(example, &example.inputs, &|_| true).map_err(fail)?;
    let differences = differences(example).map_err(fail)?;
    let mut sensitive = vec![false; gradients.len()];
    for (i, (gradient, numeric)) in gradients.iter().zip(&differences).enumerate() {
        match gradient {
            Some(gradient) => {
                let analytic = gradient.to_vec();
                compare(example, i, &analytic, numeric)?;
                let wrong: Vec<f64> = analytic.iter().map(|g| g * 1.01).collect();
                sensitive[i] = compare(example, i, &wrong, numeric).is_err();
            }
            None if numeric.is_empty() => {}
            None => return Err(format!("{}: input {i} got no gradient", example.label)),
        }
    }
    Ok(sensitive)
}

/// The same elements, lying in memory in the opposite order of dimensions.
fn turned<T: Element>(tensor: &Tensor<T>) -> Tensor<T> {
    let order: Vec<usize> = (0..tensor.rank()).rev().collect();
    let turn = |t: &Tensor<T>| t.permute(&order).expect("a permutation");
    turn(&turn(tensor).contiguous())
}

/// Proves an op at its examples: see the module. And that the examples prove something: each input has one that a wrong
/// gradient fails.
///
/// # Panics
/// With the op's example and element, if anything differs.
pub fn check(examples: &[Example<f64>], fast: &[Example<f32>]) {
    assert!(!examples.is_empty(), "an op without examples is not proven");
    assert_eq!(examples.len(), fast.len());
    let mut sensitive = vec![];
    for (example, fast) in examples.iter().zip(fast) {
        let found = prove(example).unwrap_or_else(|e| panic!("{e}"));
        sensitive.resize(found.len().max(sensitive.len()), false);
        found.iter().zip(&mut sensitive).for_each(|(found, any)| *any |= found);
        let label = example.label;
        let (output, gradients) = run(example, &example.inputs, &|_| true);
        let (other, others) = run(example, &example.inputs.iter().map(turned).collect::<Vec<_>>(), &|_| true);
        assert!(difference(&other, &output) < 1e-12, "{label}: the result depends on the layout");
        let (quick, quicks) = run(fast, &fast.inputs, &|_| true);
        let (quick_turned, quicks_turned) = run(fast, &fast.inputs.iter().map(turned).collect::<Vec<_>>(), &|_| true);
        for quick in [quick, quick_turned] {
            assert!(difference(&quick, &output) < 2e-5, "{label}: f32 differs by {}", difference(&quick, &output));
        }
        for (i, want) in gradients.iter().enumerate() {
            let Some(want) = want else { continue };
            let missing = || panic!("{label}: no gradient of input {i}");
            let other = others[i].as_ref().unwrap_or_else(missing);
            assert!(difference(other, want) < 1e-12, "{label}: gradient {i} depends on the layout");
            let (_, alone) = run(example, &example.inputs, &|j| j == i);
            let alone = alone[i].as_ref().unwrap_or_else(missing);
            assert!(difference(alone, want) < 1e-12, "{label}: gradient {i} depends on the others");
            for quick in [&quicks[i], &quicks_turned[i]] {
                let quick = quick.as_ref().unwrap_or_else(|| panic!("{label}: no f32 gradient of input {i}"));
                let error = difference(quick, want);
                assert!(error < 5e-5, "{label}: f32 gradient {i} differs by {error}");
            }
        }
    }
    assert!(sensitive.iter().all(|&s| s), "no example would find a wrong gradient of some input: {sensitive:?}");
}

/// [`differentiate`], or a panic that names the example.
fn run<T: Element>(example: &Example<T>, inputs: &[Tensor<T>], wants: &dyn Fn(usize) -> bool) -> Derivative<T> {
    differentiate(example, inputs, wants).unwrap_or_else(|e| panic!("{}: {e}", example.label))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Keeps, Kept, Op, Slots};

    /// f(x) = x², with the derivative 3x.
    #[derive(Debug)]
    struct Wrong;

    impl<T: Element> Op<T> for Wrong {
        fn name(&self) -> &'static str {
            "wrong"
        }
        fn keeps(&self, _: &[bool]) -> Keeps {
            Keeps::inputs(&[0])
        }
        fn forward(&mut self, inputs: &[&Tensor<T>], _: bool) -> Result<Tensor<T>> {
            Tensor::from_vec(inputs[0].shape(), inputs[0].to_vec().iter().map(|&x| x * x).collect())
        }
        fn backward(&self, kept: &Kept<T>, grad: Tensor<T>, slots: &mut Slots<T>) -> Result<()> {
            let x = kept.input(0)?.to_vec();
            let wrong = x.iter().zip(grad.to_vec()).map(|(&x, g)| T::from_f64(3.0) * x * g);
            slots.add(0, Tensor::from_vec(grad.shape(), wrong.collect())?)
        }
    }

    #[test]
    fn a_wrong_derivative_is_found() {
        let example = Example::new("wrong", vec![numbers(1, &[3])], |v| Value::apply(Wrong, &[&v[0]]));
        let error = prove(&example).unwrap_err();
        assert!(error.contains("wrong: input 0 element 0"), "{error}");
    }

    #[test]
    #[should_panic(expected = "no example would find a wrong gradient")]
    fn examples_that_prove_nothing_are_found() {
        fn nothing<T: Element>() -> [Example<T>; 1] {
            [Example::new("nothing", vec![numbers(1, &[3])], |v| v[0].scale(0.0))]
        }
        check(&nothing(), &nothing());
    }

    #[test]
    #[should_panic(expected = "got no gradient")]
    fn a_missing_gradient_is_found() {
        let example = Example::new("detached", vec![numbers(1, &[3]), numbers(2, &[3])], |v| v[0].detach().add(&v[1]));
        prove(&example).unwrap_or_else(|e| panic!("{e}"));
    }
}
