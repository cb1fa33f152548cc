//! Which instruction set to use: found at run time, or forced by the environment variable `UKULELE_ISA`.

use std::sync::OnceLock;

/// An instruction set that kernels are compiled for, from narrow to wide.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Isa {
    /// Plain Rust over groups of 4 floats, on any processor.
    Scalar,
    /// x86-64 with AVX2 and FMA: 8 floats a vector, 16 registers.
    Avx2,
    /// x86-64 with AVX-512F: 16 floats a vector, 32 registers.
    Avx512,
}

impl Isa {
    /// All of them, narrow first.
    pub const ALL: [Isa; 3] = [Isa::Scalar, Isa::Avx2, Isa::Avx512];

    /// The name that `UKULELE_ISA` uses.
    pub fn name(self) -> &'static str {
        match self {
            Isa::Scalar => "scalar",
            Isa::Avx2 => "avx2",
            Isa::Avx512 => "avx512",
        }
    }

    /// Can this processor run it?
    #[inline]
    pub fn is_available(self) -> bool {
        match self {
            Isa::Scalar => true,
            #[cfg(target_arch = "x86_64")]
            Isa::Avx2 => is_x86_feature_detected!("avx2") && is_x86_feature_detected!("fma"),
            #[cfg(target_arch = "x86_64")]
            Isa::Avx512 => Isa::Avx2.is_available() && is_x86_feature_detected!("avx512f"),
            #[cfg(not(target_arch = "x86_64"))]
            _ => false,
        }
    }
}

/// The instruction sets of this processor, narrow first.
pub fn available() -> Vec<Isa> {
    Isa::ALL.into_iter().filter(|isa| isa.is_available()).collect()
}

/// What `UKULELE_ISA` asks for, else the widest available one.
///
/// # Errors
/// The variable names no instruction set, or one that this processor lacks.
pub fn requested() -> Result<Isa, String> {
    let names = || available().iter().map(|isa| isa.name()).collect::<Vec<_>>().join(", ");
    match std::env::var("UKULELE_ISA") {
        Err(_) => Ok(available().into_iter().max().unwrap_or(Isa::Scalar)),
        Ok(name) => available()
            .into_iter()
            .find(|isa| isa.name() == name)
            .ok_or_else(|| format!("UKULELE_ISA={name}: this processor has {}", names())),
    }
}

/// The instruction set that kernels use, fixed at the first call. If the requested one is missing, a line on the
/// standard error says so and the widest available one is taken.
pub fn current() -> Isa {
    static CURRENT: OnceLock<Isa> = OnceLock::new();
    *CURRENT.get_or_init(|| {
        requested().unwrap_or_else(|error| {
            eprintln!("{error}");
            available().into_iter().max().unwrap_or(Isa::Scalar)
        })
    })
}

/// Compiles a function that is generic over [`crate::simd::Simd`] once per instruction set, and makes a function of
/// the given name that takes the [`Isa`] as first argument and calls the right one.
///
/// The body, and every function over `Simd` that it calls, must be `#[inline(always)]`: only what is inlined into the
/// outer function is compiled for its instruction set.
///
/// ```text
/// #[inline(always)]
/// fn double_body<S: Simd>(s: S, x: &mut [f32]) { /* s.add(v, v) ... */ }
/// dispatch!(fn double_with(x: &mut [f32]) = double_body);
/// double_with(isa::current(), &mut x);
/// ```
macro_rules! dispatch {
    ($(#[$meta:meta])* $vis:vis fn $name:ident($($arg:ident: $ty:ty),* $(,)?) $(-> $ret:ty)? = $body:ident) => {
        $(#[$meta])*
        $vis fn $name(isa: $crate::isa::Isa, $($arg: $ty),*) $(-> $ret)? {
            #[cfg(target_arch = "x86_64")]
            #[target_feature(enable = "avx2,fma")]
            fn avx2(s: $crate::simd::avx2::Avx2, $($arg: $ty),*) $(-> $ret)? {
                $body(s, $($arg),*)
            }
            #[cfg(target_arch = "x86_64")]
            #[target_feature(enable = "avx512f,avx2,fma")]
            fn avx512(s: $crate::simd::avx512::Avx512, $($arg: $ty),*) $(-> $ret)? {
                $body(s, $($arg),*)
            }
            assert!(isa.is_available(), "this processor has no {}", isa.name());
            match isa {
                // SAFETY: the processor has the instruction set, checked above.
                #[cfg(target_arch = "x86_64")]
                $crate::isa::Isa::Avx2 => unsafe { avx2($crate::simd::avx2::Avx2::assume(), $($arg),*) },
                // SAFETY: the processor has the instruction set, checked above.
                #[cfg(target_arch = "x86_64")]
                $crate::isa::Isa::Avx512 => unsafe { avx512($crate::simd::avx512::Avx512::assume(), $($arg),*) },
                _ => $body($crate::simd::scalar::Scalar, $($arg),*),
            }
        }
    };
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_requested_isa_is_the_one_in_use() {
        assert_eq!(requested(), Ok(current()));
        assert!(available().contains(&current()));
    }
}
