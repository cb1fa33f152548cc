"""Golden pairs, truncation and decoding of the `tokenizers` package: pairs.json.

    "$(scripts/judges | tail -n 1)" crates/data/tests/pairs.py
"""

import json
from pathlib import Path

import tokenizers
from tokenizers import AddedToken, Tokenizer
from tokenizers.decoders import WordPiece as Decoder
from tokenizers.models import WordPiece
from tokenizers.normalizers import BertNormalizer
from tokenizers.pre_tokenizers import BertPreTokenizer
from tokenizers.processors import BertProcessing

HERE = Path(__file__).resolve().parent
vocabulary = (HERE.parents[2] / "assets/bert-tiny/vocab.txt").read_text("utf-8").split("\n")[:-1]
ids = {token: i for i, token in enumerate(vocabulary)}
made = Tokenizer(WordPiece(ids, unk_token="[UNK]", continuing_subword_prefix="##", max_input_chars_per_word=100))
made.normalizer, made.pre_tokenizer, made.decoder = BertNormalizer(), BertPreTokenizer(), Decoder()
made.add_special_tokens([AddedToken(t, normalized=False, special=True) for t in ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"]])
made.post_processor = BertProcessing(("[SEP]", ids["[SEP]"]), ("[CLS]", ids["[CLS]"]))

TEXTS = [
    "", "Hello, world!", "I don't think it's what they've said; we're fine.", "Unbelievably antidisestablishmentarian tokenization",
    "a [MASK] in the text", "naïve café 中文 costs $3.50?", "He said ' no ' and left ... now!?", "one two three four five six seven eight nine ten eleven twelve",
]
cases = []
for first in TEXTS:
    for second in [None, *TEXTS]:
        for length, strategy in [(None, None), (5, "longest_first"), (8, "longest_first"), (12, "longest_first"), (13, "longest_first"), (12, "only_first"), (12, "only_second")]:
            if second is None and strategy == "only_second":
                continue
            made.no_truncation()
            if length:
                made.enable_truncation(length, strategy=strategy)
            case = {"first": first, "second": second, "length": length, "strategy": strategy}
            try:
                e = made.encode(first, second)
                case |= {"ids": e.ids, "types": e.type_ids, "offsets": e.offsets, "special": e.special_tokens_mask}
                case |= {"text": made.decode(e.ids, skip_special_tokens=True), "all": made.decode(e.ids, skip_special_tokens=False)}
            except Exception:
                case["ids"] = None
            cases.append(case)
lines = ",\n".join(json.dumps(c, ensure_ascii=False, separators=(",", ":")) for c in cases)
(HERE / "pairs.json").write_text(f'{{"made by":{{"tokenizers":"{tokenizers.__version__}"}},"cases":[\n{lines}\n]}}\n', "utf-8")
print(len(cases), sum(c["ids"] is None for c in cases))
