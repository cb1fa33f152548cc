//! The components of a pixel to red, green and blue, in libjpeg's and Pillow's fixed point.

/// What the components are.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Model {
    Grey,
    Rgb,
    YCbCr,
    Cmyk,
    Ycck,
}

/// Brightness and two colours (T.871): 16 bits after the point.
fn rgb(y: u8, cb: u8, cr: u8) -> [u8; 3] {
    const fn fixed(value: f64) -> i32 {
        (value * 65_536.0 + 0.5) as i32
    }
    const HALF: i32 = 1 << 15;
    let (y, cb, cr) = (i32::from(y), i32::from(cb) - 128, i32::from(cr) - 128);
    let red = y + ((fixed(1.402) * cr + HALF) >> 16);
    let green = y + ((HALF - fixed(0.344_14) * cb - fixed(0.714_14) * cr) >> 16);
    let blue = y + ((fixed(1.772) * cb + HALF) >> 16);
    [red, green, blue].map(|c| c.clamp(0, 255) as u8)
}

/// What ink lets through: `ink` and `black` are stored upside down, 255 is none.
fn through(ink: u8, black: u8) -> u8 {
    let product = u32::from(255 - ink) * u32::from(black) + 128;
    black - (((product >> 8) + product) >> 8) as u8
}

/// One row of `out` from one row of each component.
pub(super) fn row(model: Model, rows: &[Vec<u8>], out: &mut [u8]) {
    let pixels = out.as_chunks_mut::<3>().0.iter_mut();
    match (model, rows) {
        (Model::Grey, [grey]) => pixels.zip(grey).for_each(|(pixel, &g)| *pixel = [g; 3]),
        (Model::Rgb | Model::YCbCr, [a, b, c]) => {
            for (((pixel, &a), &b), &c) in pixels.zip(a).zip(b).zip(c) {
                *pixel = if model == Model::Rgb { [a, b, c] } else { rgb(a, b, c) };
            }
        }
        (_, [a, b, c, k]) => {
            for ((((pixel, &a), &b), &c), &k) in pixels.zip(a).zip(b).zip(c).zip(k) {
                // Of YCCK, the colours come out as what is left of white.
                let inks = if model == Model::Ycck { rgb(a, b, c).map(|c| 255 - c) } else { [a, b, c] };
                *pixel = inks.map(|ink| through(ink, k));
            }
        }
        _ => {}
    }
}
