#!/usr/bin/env python3
"""Writes src/unicode.rs: the character classes that BERT tokenization rests on.

The classes are those of the `tokenizers` package (0.23.3), which carries older Unicode tables than a current Rust
toolchain: about Unicode 8 for categories, Unicode 12 for decomposition. They are asked of the package itself, one
code point after another, so that a vocabulary is used as it was when the model was trained.

    pip install tokenizers==0.23.3
    crates/data/scripts/unicode.py > crates/data/src/unicode.rs
"""
from tokenizers.normalizers import NFD, BertNormalizer
from tokenizers.pre_tokenizers import BertPreTokenizer


def bert(**on):
    options = dict(clean_text=False, handle_chinese_chars=False, strip_accents=False, lowercase=False)
    return BertNormalizer(**(options | on)).normalize_str


clean, strip, nfd, split = bert(clean_text=True), bert(strip_accents=True), NFD().normalize_str, BertPreTokenizer()
OVERLAY, IOTA = "\u0334", "\u0345"  # combining classes 1 and 240, the lowest and the highest


def is_reordered(c):
    return nfd(c + OVERLAY) == OVERLAY + c or nfd(IOTA + c) == c + IOTA


points = [chr(c) for c in range(0x110000) if not 0xD800 <= c < 0xE000]
tables = {
    "CONTROL": ("What cleaning removes: categories Cc, Cf, Co, and U+FFFD.", [c for c in points if clean(c) == ""]),
    "PUNCTUATION": (
        "What stands alone as a word: category P and all of ASCII's symbols.",
        [c for c in points if len(split.pre_tokenize_str(f"a{c}a")) == 3],
    ),
    "NONSPACING": (
        "What stripping accents removes: category Mn.",
        [c for c in points if strip(c) == "" and nfd(c) == c or strip("a" + c) == "a" and nfd(c) == c],
    ),
    "REORDERED": (
        "What canonical ordering may move: a combining class above zero.",
        [c for c in points if nfd(c) == c and is_reordered(c)],
    ),
}

print("//! Character classes of BERT tokenization, as inclusive ranges. Made by `scripts/unicode.py`; do not edit.")
print("""
/// Whether a sorted table of inclusive ranges holds this character.
pub(crate) fn holds(table: &[(u32, u32)], c: char) -> bool {
    let c = u32::from(c);
    let at = table.partition_point(|&(_, last)| last < c);
    table.get(at).is_some_and(|&(first, _)| first <= c)
}""")
for name, (doc, chars) in tables.items():
    ranges = []
    for c in map(ord, chars):
        if ranges and ranges[-1][1] == c - 1:
            ranges[-1][1] = c
        else:
            ranges.append([c, c])
    print(f"\n/// {doc}\n#[rustfmt::skip]\npub(crate) const {name}: &[(u32, u32)] = &[")
    line = "   "
    for first, last in ranges:
        cell = f" (0x{first:X}, 0x{last:X}),"
        if len(line) + len(cell) > 118:
            print(line)
            line = "   "
        line += cell
    print(line + "\n];")
