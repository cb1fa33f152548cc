"""Trains tokenizers as BERT and its relatives have them, and writes what the `tokenizers` package makes of many texts.

    judge.py make FOLDER     vocabularies, texts, and ids, offsets, words of each text
    judge.py check FOLDER    what ours saved, read by `tokenizers` and `transformers`, gives the same ids
"""
import collections, contextlib, json, os, random, struct, sys, sysconfig, unicodedata
from pathlib import Path

import numpy
from tokenizers import AddedToken, Regex, Tokenizer, decoders, models, normalizers, pre_tokenizers, processors, trainers

LINES = 100_000
ERROR = 0xFFFFFFFF

# Ranges of code points, and how often lines come from them.
SCRIPTS = [
    (30, [(0x61, 0x7A)]), (8, [(0x41, 0x5A), (0x61, 0x7A)]), (6, [(0xC0, 0x17F)]), (3, [(0x180, 0x24F), (0x1E00, 0x1EFF)]),
    (5, [(0x370, 0x3FF), (0x1F00, 0x1FFF)]), (6, [(0x400, 0x52F)]), (5, [(0x600, 0x6FF)]), (4, [(0x590, 0x5F4)]),
    (5, [(0x900, 0x97F)]), (4, [(0xE01, 0xE5B)]), (6, [(0x4E00, 0x9FFF)]), (3, [(0x3040, 0x30FF)]), (5, [(0xAC00, 0xD7A3)]),
    (2, [(0x1100, 0x11FF)]), (4, [(0x1F300, 0x1FAFF), (0x200D, 0x200D), (0xFE0F, 0xFE0F), (0x1F1E6, 0x1F1FF)]),
    (4, [(0x61, 0x7A), (0x300, 0x36F)]), (2, [(0, 0x1F), (0x7F, 0xA0), (0x2000, 0x206F), (0x61, 0x65)]),
    (2, [(0xE000, 0xE0FF), (0xF0000, 0xF00FF), (0xD7F0, 0xD7FF), (0xFFF0, 0xFFFD)]), (2, [(0x2100, 0x24FF), (0xFF00, 0xFFEF)]),
    (2, [(0xF900, 0xFAFF), (0x20000, 0x2A6DF), (0x2F800, 0x2FA1D)]), (2, [(0x980, 0xDFF)]), (1, [(0xE80, 0x109F)]),
    (3, [(0x1, 0x2FFF)]), (2, [(0xA000, 0xD7FF), (0xE000, 0xFFFF)]), (2, [(0x10000, 0x1FFFF)]), (1, [(0x20000, 0x10FFFF)]),
]
ODD = ["https://example.org/a?b=c&d=%20#e", "don't I'll we've it's 'tis they're I'm he'd", "def f(x):\n\treturn x**2 # _a_b",
       "``quoted''", "a" * 130, "x" * 300 + "yz" * 90, "don\u2019t", "  two  blanks ", "\r\n", "12345.678,90", "\u00bd\u2167\u0663",
       "[MASK]", " [MASK] ", "<mask>", " <mask> .", "<|endoftext|>", "</s>", "<s>", "[UNK]", "[CLS][SEP]", "Yesterday", "yesterday",
       "yesterdays", "AB", "ab", "e\u0301\u0323 e\u0323\u0301", "\ufb01\u01c4\u3392", "\u2581a\u2581 b", "do not .", "\u0e33\u0eb3",
       "\U0001f468\u200d\U0001f469\u200d\U0001f467", "\u1100\u1161\u11a8", "\uac00\u11a8", "\u0130\u0131\u00df\u1e9e", "\u03a3\u03c2", "\u00a0\u3000\u2003"]


def texts():
    rng = random.Random(20240229)
    folder = Path(sysconfig.get_paths()["purelib"])
    files = sorted(p for p in folder.glob("*.dist-info/**/*") if p.name.startswith(("LICENSE", "METADATA", "README", "NOTICE")))
    prose = []
    for path in files:
        prose += [line for line in path.read_text(errors="ignore").splitlines() if line.strip()]
    rng.shuffle(prose)
    weights = [w for w, _ in SCRIPTS]

    def word():
        ranges = rng.choices(SCRIPTS, weights)[0][1]
        out = []
        for _ in range(min(1 + int(rng.expovariate(0.25)), 40)):
            c = rng.randint(*rng.choice(ranges))
            out.append(chr(c if not 0xD800 <= c < 0xE000 else 0xD7FF))
        return "".join(out)

    # Words come again, as in languages.
    words = [word() for _ in range(6000)]
    lines = ["", " ", "\t\n", "a"]
    while len(lines) < LINES:
        kind = rng.random()
        if kind < 0.35 and prose:
            line = prose[len(lines) % len(prose)][:300]
        else:
            parts = []
            for _ in range(rng.randint(1, 12)):
                pick = rng.random()
                parts.append(rng.choice(ODD) if pick < 0.12 else word() if pick < 0.3 else words[int(6000 * rng.random() ** 3)])
                parts.append(rng.choice(["", " ", " ", " ", " ", "  ", ", ", ". ", "-", "\n"]))
            line = "".join(parts)
        lines.append(line)
    return lines


def charsmap():
    """A table like SentencePiece's nmt_nfkc: NFKC, control characters away, white space to blanks."""
    table = {}
    for c in list(range(1, 0xD800)) + list(range(0xF900, 0x10000)) + list(range(0x1D400, 0x1D480)) + list(range(0x2F800, 0x2F900)):
        c = chr(c)
        for form in ("NFD", "NFKC"):
            other = unicodedata.normalize(form, c)
            if other != c:
                key, value = (other, unicodedata.normalize("NFKC", c)) if form == "NFD" else (c, other)
                if "\0" not in key and key != value:
                    table.setdefault(key, value)
        if unicodedata.category(c) in ("Cc", "Cf"):
            table[c] = " " if c in "\t\n\r" else ""
        elif c != " " and c.isspace():
            table[c] = " "
    blob, places = bytearray(), {}
    for value in sorted(set(table.values())):
        places[value] = len(blob)
        blob += value.encode() + b"\0"
    root = {}
    for key, value in table.items():
        node = root
        for byte in key.encode():
            node = node.setdefault(byte, {})
        node[0] = places[value]
    units, used, bases = {0: 0}, {0}, set()
    free, todo = 1, [(0, root)]
    while todo:
        at, node = todo.pop()
        labels = sorted(node)
        while free in used:
            free += 1
        place = free
        while True:
            base = place ^ labels[0]
            if base not in bases and base != at and not any(base ^ label in used for label in labels):
                break
            place += 1
        # Where many places did not do, none is looked for again.
        free = max(free, place - 100)
        bases.add(base)
        units[at] |= (at ^ base) << 10 | (0x100 if 0 in node else 0)
        for label in labels:
            used.add(base ^ label)
            if label == 0:
                units[base] = 0x80000000 | node[0]
            else:
                units[base ^ label] = label
                todo.append((base ^ label, node[label]))
    assert max(units) < 1 << 21
    size = (max(units) | 0xFF) + 1
    array = b"".join(struct.pack("<I", units.get(at, 0)) for at in range(size))
    return struct.pack("<I", len(array)) + array + bytes(blob)


def bert(lines, lowercase):
    out = Tokenizer(models.WordPiece(unk_token="[UNK]", max_input_chars_per_word=100))
    out.normalizer = normalizers.BertNormalizer(lowercase=lowercase)
    out.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    special = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"]
    out.train_from_iterator(lines, trainers.WordPieceTrainer(vocab_size=4000, special_tokens=special, show_progress=False, limit_alphabet=1500))
    ids = [(t, out.token_to_id(t)) for t in ("[CLS]", "[SEP]")]
    out.post_processor = processors.TemplateProcessing("[CLS]:0 $A:0 [SEP]:0", "[CLS]:0 $A:0 [SEP]:0 $B:1 [SEP]:1", ids)
    out.decoder = decoders.WordPiece()
    return out


def added(out):
    """Tokens that users add, of every kind."""
    out.add_tokens([AddedToken("yesterday", single_word=True), AddedToken("AB", lstrip=True, rstrip=True),
                    AddedToken("ing", normalized=False), AddedToken("\u0394", normalized=True), AddedToken("th", single_word=True, normalized=False)])
    out.add_special_tokens([AddedToken("<mask>", lstrip=True), AddedToken("[MASK]", rstrip=True, single_word=True)])
    return out


def byte_bpe(lines, prefix, roberta):
    out = Tokenizer(models.BPE())
    out.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=prefix)
    special = ["<s>", "<pad>", "</s>", "<unk>"] if roberta else ["<|endoftext|>"]
    alphabet = pre_tokenizers.ByteLevel.alphabet()
    out.train_from_iterator(lines, trainers.BpeTrainer(vocab_size=5000, special_tokens=special, initial_alphabet=alphabet, show_progress=False))
    out.decoder = decoders.ByteLevel()
    if roberta:
        out.add_special_tokens([AddedToken("<mask>", lstrip=True)])
        out.post_processor = processors.RobertaProcessing(("</s>", 2), ("<s>", 0), trim_offsets=True, add_prefix_space=prefix)
    else:
        out.post_processor = processors.ByteLevel(trim_offsets=prefix, add_prefix_space=prefix)
    return out


@contextlib.contextmanager
def silent():
    """What the original panics about is not shown: such inputs are refused, here and there."""
    kept, nothing = os.dup(2), os.open(os.devnull, os.O_WRONLY)
    os.dup2(nothing, 2)
    try:
        yield
    finally:
        os.dup2(kept, 2)
        os.close(kept), os.close(nothing)


def common(lines, count=1200):
    """The lines without rare characters: a unigram vocabulary holds every character it is trained on."""
    counts = collections.Counter(c for line in lines for c in line)
    keep = {c for c, _ in counts.most_common(count)}
    return ["".join(c for c in line if c in keep) for line in lines]


def unigram(lines, normalizer, pre, special, unknown, fallback=False, size=4000):
    out = Tokenizer(models.Unigram())
    out.normalizer, out.pre_tokenizer = normalizer, pre
    out.decoder = decoders.Metaspace()
    extra = special + [f"<0x{b:02X}>" for b in range(256)] if fallback else special
    out.train_from_iterator(common(lines), trainers.UnigramTrainer(vocab_size=size, special_tokens=extra, unk_token=unknown, show_progress=False))
    if fallback:
        whole = json.loads(out.to_str())
        whole["model"]["byte_fallback"] = True
        whole["added_tokens"] = [t for t in whole["added_tokens"] if not t["content"].startswith("<0x")]
        whole["decoder"] = {"type": "Sequence", "decoders": [
            {"type": "Replace", "pattern": {"String": "\u2581"}, "content": " "}, {"type": "ByteFallback"}, {"type": "Fuse"},
            {"type": "Strip", "content": " ", "start": 1, "stop": 0}]}
        out = Tokenizer.from_str(json.dumps(whole))
    return out


def xlmr(lines, normalizer, pre, fallback=False):
    out = unigram(lines, normalizer, pre, ["<s>", "<pad>", "</s>", "<unk>"], "<unk>", fallback)
    out.add_special_tokens([AddedToken("<mask>", lstrip=True)])
    ids = [(t, out.token_to_id(t)) for t in ("<s>", "</s>")]
    out.post_processor = processors.TemplateProcessing("<s> $A </s>", "<s> $A </s> </s> $B </s>", ids)
    return out


def albert(lines, blob):
    steps = [normalizers.Replace("``", '"'), normalizers.Replace("''", '"'), normalizers.NFKD(), normalizers.StripAccents(),
             normalizers.Lowercase(), normalizers.Precompiled(blob), normalizers.Replace(Regex(" {2,}"), " ")]
    special = ["<pad>", "<unk>", "[CLS]", "[SEP]"]
    out = unigram(lines, normalizers.Sequence(steps), pre_tokenizers.Metaspace(), special, "<unk>")
    out.add_special_tokens([AddedToken("[MASK]", lstrip=True)])
    ids = [(t, out.token_to_id(t)) for t in ("[CLS]", "[SEP]")]
    out.post_processor = processors.TemplateProcessing("[CLS]:0 $A:0 [SEP]:0", "[CLS]:0 $A:0 [SEP]:0 $B:1 [SEP]:1", ids)
    return out


def char_bpe(lines):
    """BPE over characters with byte fallback, as SentencePiece has it, and suffixes of words, as CLIP has them."""
    out = Tokenizer(models.BPE(unk_token="<unk>", end_of_word_suffix="</w>", fuse_unk=True))
    out.normalizer = normalizers.Sequence([normalizers.NFC(), normalizers.Strip(), normalizers.Lowercase()])
    out.pre_tokenizer = pre_tokenizers.Sequence([pre_tokenizers.Whitespace(), pre_tokenizers.Digits(individual_digits=True)])
    trainer = trainers.BpeTrainer(vocab_size=3000, special_tokens=["<unk>", "<pad>"], limit_alphabet=600, end_of_word_suffix="</w>", show_progress=False)
    out.train_from_iterator(lines, trainer)
    out.decoder = decoders.BPEDecoder()
    return out


def all_tokenizers(lines):
    blob = charsmap()
    sample = lines[4::5]
    space = normalizers.Replace(Regex(" {2,}"), "\u2581")
    sp = normalizers.Sequence([normalizers.Precompiled(blob), normalizers.Strip(left=False, right=True), space])
    meta = pre_tokenizers.Metaspace
    nfkc = normalizers.Sequence([normalizers.NFKC(), normalizers.Replace(Regex(" {2,}"), " ")])
    split = pre_tokenizers.Sequence([pre_tokenizers.WhitespaceSplit(), meta()])
    yield "bert-uncased", bert(sample, True), 1
    yield "roberta", byte_bpe(sample, False, True), 1
    yield "xlm-roberta", xlmr(sample, sp, meta()), 1
    yield "bert-cased", bert(sample, False), 4
    yield "bert-added", added(bert(sample, True)), 4
    yield "roberta-prefix", byte_bpe(sample, True, True), 4
    yield "roberta-added", added(byte_bpe(sample, False, True)), 4
    yield "gpt2", byte_bpe(sample, False, False), 4
    yield "gpt2-prefix", byte_bpe(sample, True, False), 4
    yield "xlm-roberta-nfkc", xlmr(sample, nfkc, split), 4
    yield "unigram-first", xlmr(sample, normalizers.NFD(), meta(prepend_scheme="first"), True), 4
    yield "albert", albert(sample, blob), 4
    yield "char-bpe", char_bpe(sample), 4


def rows(encoding, pair):
    none = lambda words: [ERROR if w is None else w for w in words]
    offsets = numpy.array(encoding.offsets, dtype=numpy.uint32).reshape(-1, 2)
    columns = [encoding.ids, offsets[:, 0], offsets[:, 1], none(encoding.word_ids)]
    if pair:
        columns += [encoding.type_ids, encoding.special_tokens_mask, encoding.attention_mask]
    return struct.pack("<I", len(encoding.ids)) + numpy.array(columns, dtype=numpy.uint32).T.tobytes()


def strings(path, texts):
    with open(path, "wb") as file:
        for text in texts:
            file.write(struct.pack("<I", len(text.encode())) + text.encode())


def pairs(name, out, lines, folder):
    """Pairs and single texts, cut and filled in many ways, in groups of 20."""
    rng = random.Random(name)
    groups, data = [], bytearray()
    for _ in range(20):
        texts = [(rng.choice(lines), rng.choice(lines) if rng.random() < 0.8 else None) for _ in range(20)]
        strategy = rng.choice(["longest_first", "longest_first", "only_first", "only_second"])
        length = rng.choice([8, 9, 12, 17, 32, 64])
        stride = rng.choice([0, 0, 1, length // 2 - 3])
        side, pad_side = rng.choice(["left", "right"]), rng.choice(["left", "right"])
        pad = rng.choice([None, "longest", length + 3])
        multiple = rng.choice([1, 8])
        batch = strategy == "longest_first" and stride < 2
        if not batch and pad == "longest":
            pad = None
        cut = rng.random() < 0.9
        out.no_truncation() or out.no_padding()
        if cut:
            out.enable_truncation(length, stride=stride, strategy=strategy, direction=side)
        if pad is not None:
            out.enable_padding(direction=pad_side, pad_id=1, pad_type_id=3, length=None if pad == "longest" else pad, pad_to_multiple_of=multiple)
        numbers = []
        for a, b in texts:
            numbers.append([lines.index(a), None if b is None else lines.index(b)])
        groups.append({"texts": numbers, "strategy": strategy, "length": length if cut else None, "stride": stride, "side": side,
                       "pad": None if pad is None else {"length": None if pad == "longest" else pad, "side": pad_side, "multiple": multiple}})
        inputs = [a if b is None else (a, b) for a, b in texts]
        results = []
        if batch:
            results = out.encode_batch(inputs)
            inputs = []
        with silent():
            for one in inputs:
                try:
                    results.append(out.encode(*one) if isinstance(one, tuple) else out.encode(one))
                except BaseException as error:
                    if isinstance(error, KeyboardInterrupt):
                        raise
                    results.append(None)
        for encoding in results:
            if encoding is None:
                data += struct.pack("<I", ERROR)
                continue
            parts = [encoding] + encoding.overflowing
            data += struct.pack("<I", len(parts))
            for part in parts:
                data += rows(part, True)
    out.no_truncation() or out.no_padding()
    (folder / f"{name}.pairs").write_bytes(data)
    return groups


def every_character(folder):
    """What normalisation makes of each code point, one after another with a line end between: as one text each."""
    for name, step in [("nfd", normalizers.NFD()), ("nfkd", normalizers.NFKD()), ("nfc", normalizers.NFC()), ("nfkc", normalizers.NFKC()),
                       ("lowercase", normalizers.Lowercase()), ("strip-accents", normalizers.StripAccents())]:
        every = [chr(c) for c in range(0x110000) if not 0xD800 <= c < 0xE000]
        strings(folder / f"{name}.every", [step.normalize_str(c) for c in every])


def make(folder):
    lines = texts()
    strings(folder / "lines", lines)
    few = list(dict.fromkeys(lines[4:1500]))
    index = []
    for name, out, step in all_tokenizers(lines):
        out.save(str(folder / f"{name}.json"))
        # As users have it: scores as they were read from the file.
        out = Tokenizer.from_file(str(folder / f"{name}.json"))
        with open(folder / f"{name}.rows", "wb") as file:
            encodings = out.encode_batch(lines[::step], add_special_tokens=True)
            for encoding in encodings:
                file.write(rows(encoding, False))
        decoded = [out.decode(e.ids, skip_special_tokens=i % 2 == 0) for i, e in enumerate(encodings[:3000])]
        strings(folder / f"{name}.decoded", decoded)
        index.append({"name": name, "step": step, "groups": pairs(name, out, few, folder), "size": out.get_vocab_size()})
        print(name, out.get_vocab_size(), flush=True)
    strings(folder / "few", few)
    (folder / "index.json").write_text(json.dumps(index))


def check(folder):
    from transformers import PreTrainedTokenizerFast

    few = texts()[4:1500]
    for entry in json.loads((folder / "index.json").read_text()):
        name = entry["name"]
        theirs = Tokenizer.from_file(str(folder / f"{name}.json"))
        saved = folder / f"{name}.saved" / "tokenizer.json"
        ours, fast = Tokenizer.from_file(str(saved)), PreTrainedTokenizerFast(tokenizer_file=str(saved))
        for line in few:
            a, b = theirs.encode(line), ours.encode(line)
            assert (a.ids, a.offsets, a.word_ids) == (b.ids, b.offsets, b.word_ids), (name, line)
        assert fast(few)["input_ids"] == [e.ids for e in theirs.encode_batch(few)], name
        assert theirs.get_vocab() == ours.get_vocab(), name


{"make": make, "check": check}[sys.argv[1]](Path(sys.argv[2]))
