"""Golden ids and offsets of the `tokenizers` package for WordPiece: lines.json.gz and golden.json.gz (see README.md).

    "$(scripts/judges | tail -n 1)" tests/data/tokenizer/generator.py
"""

import gzip
import json
import random
import unicodedata
from pathlib import Path

import tokenizers
from tokenizers import AddedToken, Tokenizer
from tokenizers.models import WordPiece
from tokenizers.normalizers import BertNormalizer
from tokenizers.pre_tokenizers import BertPreTokenizer

HERE = Path(__file__).resolve().parent
ASSETS = HERE.parents[2] / "assets"
SPECIAL = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"]

SPACES = "\t\n\v\f\r\x1c\x1d\x1e\x1f \x85\xa0\u1680\u2000\u2001\u2002\u2003\u2004\u2005\u2006\u2007\u2008\u2009\u200a\u2028\u2029\u202f\u205f\u3000"
INVISIBLE = "\u00ad\u034f\u061c\u115f\u17b4\u180e\u200b\u200c\u200d\u200e\u200f\u202a\u202b\u202c\u202d\u202e\u2060\u2061\u2064\u2066\u2069\u206a\ufeff\ufff9\U000e0001\U000e0041"
ODD = "\x00\ufffd\ufffe\uffff\ufdd0\ud7ff\ue000\uf8ff\U0001fffe\U000f0000\U0010ffff"
EMOJI = (
    "😀 😭 ❤️ ❤ 👍🏽 👩‍👩‍👧‍👦 👨🏿‍💻 🇩🇪 🇯🇵🇧🇷 1️⃣ #️⃣ ☺ ☺️ 🏴󠁧󠁢󠁥󠁮󠁧󠁿 🏳️‍🌈 🤷‍♀️ ✌🏻 🫠 🥹 © ® ™ ♥ ★ ☃ ✓ → ⇒ ∞ 🀄 🃏 𓀀".split(" ")
)
CASES = [
    "İstanbul ISPARTA ıspanak İİ iı", "Straße STRASSE ẞ GROẞ ß", "ΟΔΟΣ ΣΊΣΥΦΟΣ Σ σς Σ. ΑΣ'Σ ΌΣΟΣ", "ǅ ǆ Ǆ ǈ ŉ ǰ ΐ ΰ և ﬁ ﬃ ﬅ",
    "K Å Ω K Å Ω", "Ⅷ ⅷ Ⓐ ⓐ Ａ ａ", "𐐀𐐨 𞤀𞤢 Ა ა Ⴀ ⴀ", "Ꭰ ꭰ Ᏸ ᏸ ᏣᎳᎩ ꮳꮃꭹ", "Ω̈ Ǻ ǻ Ấ ấ Ệ ệ", "ﬀ ﬂ Ĳ ĳ Ǳ ǲ ǳ",
    "Ä Ö Ü ä ö ü Ä Ö Ü", "Ł ł Ø ø Đ đ Ħ ħ Ŧ ŧ Æ œ Þ ð", "ПРИВЕТ Ёлка ЙОД Й й Ї ї", "ՀԱՅԱՍՏԱՆ Հայաստան", "ΆΈΉΊΌΎΏ ΪΫ ᾳ ᾼ ῼ Ἀ ᾈ",
]
PLAIN = "the quick brown fox isn't unbelievable; transformers' tokenization of antidisestablishmentarianism costs $3.50 (about 2.99€) at 5:30pm on 12/31/99".split(" ")
SCRIPTS = {
    "latin": (0xC0, 0x24F), "vietnamese": (0x1EA0, 0x1EF9), "ipa": (0x250, 0x2AF), "greek": (0x386, 0x3CE), "greek extended": (0x1F00, 0x1FFE), "cyrillic": (0x400, 0x4FF),
    "armenian": (0x531, 0x587), "hebrew": (0x5B0, 0x5EA), "arabic": (0x610, 0x66F), "devanagari": (0x900, 0x96F), "bengali": (0x985, 0x9CC), "tamil": (0xB85, 0xBCD),
    "thai": (0xE01, 0xE5B), "lao": (0xE81, 0xEDD), "tibetan": (0xF00, 0xFBC), "georgian": (0x10A0, 0x10FF), "jamo": (0x1100, 0x11FF), "ethiopic": (0x1200, 0x135A),
    "cherokee": (0x13A0, 0x13FD), "khmer": (0x1780, 0x17DD), "hiragana": (0x3041, 0x3096), "katakana": (0x30A1, 0x30FF), "half width": (0xFF61, 0xFFDC), "full width": (0xFF01, 0xFF5E),
    "cjk": (0x4E00, 0x9FFF), "cjk a": (0x3400, 0x4DBF), "cjk b": (0x20000, 0x2A6DF), "cjk later": (0x2A700, 0x2CEAF), "cjk compatible": (0xF900, 0xFAFF), "cjk supplement": (0x2F800, 0x2FA1F),
    "hangul": (0xAC00, 0xD7A3), "mathematical": (0x1D400, 0x1D7FF), "enclosed": (0x2460, 0x24FF), "arrows": (0x2190, 0x22FF), "pictures": (0x1F300, 0x1F6FF),
    "marks": (0x300, 0x36F), "more marks": (0x1AB0, 0x1ACE), "marks for symbols": (0x20D0, 0x20F0), "presentation forms": (0xFB00, 0xFDFF), "letterlike": (0x2100, 0x214F),
}


def block_lines(first, last, per_line=64):
    """Every code point of a range once, between two letters: shows its class (space, control, punctuation, CJK, mark, other)."""
    points = [chr(c) for c in range(first, last + 1) if not 0xD800 <= c <= 0xDFFF]
    return [" ".join(f"a{c}b" for c in points[i : i + per_line]) for i in range(0, len(points), per_line)]


def made_lines(rng):
    lines = list(CASES)
    lines += [unicodedata.normalize(form, c) for c in CASES for form in ("NFC", "NFD", "NFKD")]
    for low, high in SCRIPTS.values():
        for k in range(18):
            words = []
            for _ in range(rng.randint(1, 9)):
                word = "".join(chr(rng.randint(low, high)) for _ in range(rng.randint(1, 7)))
                words.append(rng.choice([word, word, rng.choice(PLAIN) + word, word + rng.choice(PLAIN), rng.choice(PLAIN)]))
            line = " ".join(words)
            lines.append([line, unicodedata.normalize("NFD", line), unicodedata.normalize("NFC", line)][k % 3])
    for group in (SPACES, INVISIBLE, ODD, "".join(map(chr, range(0x20))) + "".join(map(chr, range(0x7F, 0xA0)))):
        for c in group:
            lines += [f"one{c}two", f"{c}one {c} two{c}", f"über{c}{c}{c}[MASK]{c}", c]
    for _ in range(120):
        lines.append("".join(rng.choice([rng.choice(PLAIN), rng.choice(SPACES), rng.choice(INVISIBLE), rng.choice(ODD), rng.choice(EMOJI), " "]) for _ in range(rng.randint(2, 20))))
    for _ in range(100):
        lines.append(rng.choice(["", " "]).join(rng.choice([rng.choice(EMOJI), rng.choice(PLAIN)]) for _ in range(rng.randint(1, 8))))
    for unit in ("a", "é", "é", "ǖ", "中", "ß", "un", "İ", "1", "ab\u200b", "ｗ", "가", "각", "𝕏", "!", "ab-"):
        for count in (49, 50, 51, 99, 100, 101, 199, 200, 201, 400):
            lines += [unit * count, f"so {unit * count}, yes"]
    punctuation = [chr(c) for c in range(0x110000) if not 0xD800 <= c <= 0xDFFF and unicodedata.category(chr(c))[0] == "P"]
    symbols = [chr(c) for c in range(0x110000) if unicodedata.category(chr(c)) in ("Sc", "Sk", "Sm")]
    for group in (punctuation, symbols, [chr(c) for c in range(33, 127)]):
        for _ in range(60):
            lines.append("".join(rng.choice([rng.choice(group), rng.choice(group), rng.choice(PLAIN), " "]) for _ in range(rng.randint(3, 24))))
    pieces = SPECIAL + ["[mask]", "[Sep]", "[ MASK ]", "[MASK", "MASK]", "[[MASK]]", "##ing", "##", "#", "[unused1]", "[unused993]", "<s>", "[ UNK]", "[ＭＡＳＫ]", "[MÁSK]"]
    for piece in pieces:
        lines += [piece, f"a{piece}b", f" {piece} ", f"é {piece}{piece} é", f"say {piece}."]
    for _ in range(120):
        lines.append("".join(rng.choice([rng.choice(pieces), rng.choice(PLAIN), " ", " ", "é", "中", "\u0301"]) for _ in range(rng.randint(2, 14))))
    for _ in range(150):
        mark = lambda: chr(rng.choice([rng.randint(0x300, 0x36F), rng.randint(0x300, 0x36F), 0x903, 0x93E, 0x20DD, 0x488, 0x1D165, 0x1E8D0, 0x5B0, 0x64B, 0xE31, 0x3099]))
        lines.append("".join(rng.choice([rng.choice("aeiouAEIOU中 ."), mark()]) + "".join(mark() for _ in range(rng.randint(0, 3))) for _ in range(rng.randint(1, 20))))
    for _ in range(200):
        lines.append("".join(chr(rng.choice([rng.randint(0, 0xD7FF), rng.randint(0xE000, 0xFFFF), rng.randint(0x10000, 0x1FFFF), rng.randint(0x20000, 0x10FFFF)])) for _ in range(rng.randint(1, 30))))
    lines += ["", " ", "   ", "\n", "a", "A", " a ", "a" * 5000, "word " * 600]
    for low, high in ((0, 0x33FF), (0x4DC0, 0x4DFF), (0x9FC0, 0xABFF), (0xD780, 0xFFFF), (0x10000, 0x11FFF), (0x16A00, 0x16FFF), (0x1B000, 0x1BCFF), (0x1CF00, 0x1EFFF), (0x1F000, 0x1FBFF), (0x2F780, 0x2FA7F), (0xE0000, 0xE01FF)):
        lines += block_lines(low, high)
    return lines


def tokenizer(lowercase):
    vocabulary = {token: i for i, token in enumerate((ASSETS / "bert-tiny" / "vocab.txt").read_text("utf-8").split("\n")[:-1])}
    made = Tokenizer(WordPiece(vocabulary, unk_token="[UNK]", continuing_subword_prefix="##", max_input_chars_per_word=100))
    made.normalizer = BertNormalizer(clean_text=True, handle_chinese_chars=True, strip_accents=None, lowercase=lowercase)
    made.pre_tokenizer = BertPreTokenizer()
    made.add_special_tokens([AddedToken(t, single_word=False, lstrip=False, rstrip=False, normalized=False, special=True) for t in SPECIAL])
    assert made.get_vocab_size() == len(vocabulary)
    return made


def pack(path, value):
    text = json.dumps(value, ensure_ascii=False, separators=(",", ":")).encode("utf-8")
    path.write_bytes(gzip.compress(text, 9, mtime=0))
    print(f"{path.name}: {path.stat().st_size:,} bytes")


def main():
    rng = random.Random(2)
    tweets = [line.split("\t")[2] for line in (ASSETS / "tweets" / "tweets.tsv").read_text("utf-8").splitlines()]
    lines = tweets[::2] + made_lines(rng)
    rng.shuffle(lines)
    golden = {"made by": {"tokenizers": tokenizers.__version__}, "lines": len(lines)}
    for name, lowercase in (("uncased", True), ("cased", False)):
        encodings = tokenizer(lowercase).encode_batch(lines, add_special_tokens=False)
        golden[name] = []
        for encoding in encodings:
            # Offsets ascend, so each is stored as the gap after the token before it, and the token's length.
            row, end = [], 0
            for number, (start, stop) in zip(encoding.ids, encoding.offsets):
                row += [number, start - end, stop - start]
                end = stop
            golden[name].append(row)
        print(name, "tokens", sum(len(e.ids) for e in encodings), "negative gaps", sum(g < 0 for r in golden[name] for g in r[1::3]), "empty", sum(g <= 0 for r in golden[name] for g in r[2::3]))
    print(len(lines), "lines")
    pack(HERE / "lines.json.gz", lines)
    pack(HERE / "golden.json.gz", golden)


if __name__ == "__main__":
    main()
