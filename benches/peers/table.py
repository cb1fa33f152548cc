"""docs/performance.md from the results."""

from rows import RUST

NOTES = "\n## What bounds the rows\n"
HEAD = """# Performance

Written by `{command}` on {machine}, {threads} threads: {versions}.

Medians of runs that take turns, one process at a time; the ratio is the fastest peer's figure by ours. The figure is the time of
a run in ms; for `memory`, the megabytes by which a fresh process grew at most in its steps; for `first`, the time from the start
of the process to the first prediction from disk. Peers pad texts of 8 to 128 tokens.
"""
TORCH = "torch runs eagerly, in both layouts of images"
COMPILED = ", and by torch.compile"
OTHERS = "Against {names} rows in f32 have one more line: the fastest of those that can do the work."
BURN = " What burn trains is the network as exported, with AdamW: norms within convolutions, no dropout, no further heads, and embeddings that stay as they are."
OPENVINO = " OpenVINO's default precision is bf16 where the processor has it, so that it does not count among f32."
# What benches/works/mod.rs says of a work that ukulele does not do as yet.
NOT_YET = "networks learn in f32"


def is_failure(error):
    """Whether the error of ukulele's, or `None`, is more than a work that is not done as yet."""
    return error is not None and not error.endswith(NOT_YET)


def is_measured(result, peer, steps):
    """Whether the peer has a figure in a training step, or else in inference."""
    rows = [row for row in result["rows"] if (" infer " not in row["work"]) == steps]
    return any(name.startswith(peer) for row in rows for name in row.get("peers_ms", {}))


def head(result, command):
    """What holds of the peers that are there."""
    said = []
    if any(name.startswith("torch") for name in result["peers"]):
        said.append(TORCH + (COMPILED if "torch compile" in result["peers"] else "") + ".")
    others = [name for name in RUST if name in result["peers"]]
    if others:
        more = BURN if is_measured(result, "burn", steps=True) else ""
        said.append(OTHERS.format(names=" and ".join([", ".join(others[:-1]), others[-1]] if others[1:] else others)) + more)
    return HEAD.format(command=command, **result) + "".join(f"{line}\n" for line in said)


def cell(value, form=".1f"):
    return "-" if value is None else format(value, form)


def document(result, command, path):
    """The text; the notes in the present file are kept."""
    lines = [head(result, command)]
    lines += ["| Work | precision | ours | fastest peer | its figure | ratio | goal |", "|---|---|---|---|---|---|---|"]
    for row in result["rows"]:
        unit = "mb" if "ours_mb" in row else "ms"
        ratio = cell(row["ratio"], ".2f")
        if row["ours_error"]:
            ratio = "failed" if is_failure(row["ours_error"]) else "not there yet"
        elif row["ratio"] is not None and row["ratio"] < row["goal"]:
            ratio += " (missed)"
        lines.append(f"| {row['work']} | {row['precision']} | {cell(row[f'ours_{unit}'])} | {row['peer'] or '-'} | {cell(row[f'peer_{unit}'])} | {ratio} | {row['goal']} |")
    measured = [row for row in result["rows"] if "peers_ms" in row]
    names = list(dict.fromkeys(name for row in measured for name in row["peers_ms"]))
    lines += ["", "All times in ms." + (OPENVINO if "openvino default" in names else ""), ""]
    lines += [f"| Work | precision | turns | ours | {' | '.join(names)} |", "|---" * (len(names) + 4) + "|"]
    for row in measured:
        times = " | ".join(cell(row["peers_ms"].get(name)) for name in names)
        lines.append(f"| {row['work']} | {row['precision']} | {row['turns']} | {cell(row['ours_ms'])} | {times} |")
    lines += ["", *(f"- {name}: {why}." for name, why in result["missing"].items())]
    errors = {}
    for row in result["rows"]:
        for name, error in row.get("errors", {}).items():
            if name != "ukulele" or is_failure(error):  # else the row says it
                errors.setdefault((name, error), {})[f"{row['work']} {row['precision']}"] = None
    lines += [f"- {name}, {', '.join(works)}: {error}." for (name, error), works in errors.items()]
    if result["quick"]:
        slow = [("torch", False), *((name, True) for name in RUST[:2])]
        out = [(name, steps) for name, steps in slow if any(peer.startswith(name) for peer in result["peers"]) and not is_measured(result, name, steps)]
        out = ", ".join(f"{name} out of {'training' if steps else 'inference'}" for name, steps in out)
        lines.append(f"- `--quick` {f'leaves {out}, and ' if out else ''}gives up on whoever takes over twice the fastest after one run.")
    old = path.read_text() if path.exists() else ""
    notes = old[old.index(NOTES) :] if NOTES in old else ""
    return "\n".join(lines).rstrip() + "\n" + notes
