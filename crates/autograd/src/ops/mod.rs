//! The operations: one op, one file.
//!
//! A file holds the op's formula and derivative (as its documentation), its type, `forward`, `backward`, what backward
//! keeps, the examples at which it is proven, and the method of [`Value`](crate::Value). Its name in the list below
//! registers it, and generates its gradient check.

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
    relu,
}
