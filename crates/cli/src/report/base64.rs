//! Files inside a page.

const LETTERS: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";

/// The `data:` address of these bytes. Source: RFC 2397, RFC 4648.
pub(crate) fn data_uri(media_type: &str, bytes: &[u8]) -> String {
    let mut out = format!("data:{media_type};base64,");
    for chunk in bytes.chunks(3) {
        let three = [chunk[0], chunk.get(1).copied().unwrap_or(0), chunk.get(2).copied().unwrap_or(0)];
        let bits = three.iter().fold(0u32, |bits, &b| bits << 8 | u32::from(b));
        for i in 0..4 {
            let letter = LETTERS[(bits >> (18 - 6 * i) & 63) as usize];
            out.push(if i <= chunk.len() { char::from(letter) } else { '=' });
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::data_uri;

    /// The examples of RFC 4648, section 10.
    #[test]
    fn padding_is_right() {
        let pairs =
            [("", ""), ("f", "Zg=="), ("fo", "Zm8="), ("foo", "Zm9v"), ("foob", "Zm9vYg=="), ("foobar", "Zm9vYmFy")];
        for (text, want) in pairs {
            assert_eq!(data_uri("text/plain", text.as_bytes()), format!("data:text/plain;base64,{want}"));
        }
    }
}
