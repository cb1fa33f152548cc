//! The operations: one op, one file.
//!
//! A file holds the op's formula and derivative (as its documentation), its type, `forward`, `backward`, what backward
//! keeps, the examples at which it is proven, and the method of [`Value`](crate::Value). Its name in the list below
//! registers it, and generates its gradient check.

mod elementwise;

macro_rules! ops {
    ($($name:ident),* $(,)?) => {
        $(pub mod $name;)*

        /// The names of all ops.
        pub const NAMES: &[&str] = &[$(stringify!($name)),*];

        #[cfg(test)]
        mod gradchecks {
            $(#[test]
            fn $name() {
                crate::gradcheck::check(&super::$name::examples(), &super::$name::examples());
            })*
        }
    };
}

ops! {
    adaptive_avg_pool2d,
    add,
    add_scalar,
    attention,
    avg_pool2d,
    batch_norm_eval,
    batch_norm_train,
    bce_with_logits,
    concat,
    conv2d,
    cross_entropy,
    div,
    dropout,
    embedding,
    exp,
    gelu,
    layer_norm,
    linear,
    ln,
    log_softmax,
    matmul,
    max_pool2d,
    mse,
    mul,
    narrow,
    permute,
    relu,
    reshape,
    scale,
    sigmoid,
    softmax,
    sqrt,
    square,
    sub,
    sum,
    sum_dims,
    tanh,
}
