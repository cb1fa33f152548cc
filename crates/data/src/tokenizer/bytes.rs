//! GPT-2's alphabet: a character that can be seen for each byte.

use std::sync::LazyLock;

/// The character of each byte: itself if it is printable Latin-1, else one from U+0100 on.
pub(crate) static CHARS: LazyLock<[char; 256]> = LazyLock::new(|| {
    let mut next = 0x100;
    std::array::from_fn(|byte| {
        let c = match byte as u32 {
            seen @ (0x21..=0x7E | 0xA1..=0xAC | 0xAE..=0xFF) => seen,
            _ => {
                next += 1;
                next - 1
            }
        };
        char::from_u32(c).unwrap_or('?')
    })
});

/// The byte of a character of the alphabet.
pub(crate) fn byte(c: char) -> Option<u8> {
    match u32::from(c) {
        seen @ (0x21..=0x7E | 0xA1..=0xAC | 0xAE..=0xFF) => Some(seen as u8),
        0x100..=0x143 => CHARS.iter().position(|&char| char == c).map(|at| at as u8),
        _ => None,
    }
}
