"""What the runner installs and builds before it measures."""

import functools
import hashlib
import os
import platform
import re
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

import turns
from rows import NAMES, RUST
from turns import HERE, ROOT, Server, last_line, surroundings

FILES = ROOT / ".cache" / "bench"
# As Cargo takes it, which runs in ROOT.
TARGET = ROOT / os.environ.get("CARGO_TARGET_DIR", "target")
# Of the Python peers, and what they run with.
PACKAGES = {"torch": ("torch", "torchvision", "transformers"), "onnxruntime": ("onnxruntime",), "openvino": ("openvino",)}
CRATES = {"candle": "candle-core", "burn": "burn", "tract": "tract-onnx"}
# Those that read what models.py exports.
ONNX = ("onnxruntime", "openvino", "tract", "burn")


def processor():
    """What C++ that is compiled for this processor alone depends on, and more."""
    lines = Path("/proc/cpuinfo").read_text().splitlines()
    return "\n".join(sorted({line for line in lines if line.startswith(("vendor_id", "cpu family", "model", "stepping", "flags"))}))


# What torch.compile makes, for this processor alone.
COMPILED = Path(os.environ.setdefault("TORCHINDUCTOR_CACHE_DIR", str(FILES / f"inductor-{hashlib.sha256(processor().encode()).hexdigest()[:8]}")))
judges_python = functools.cache(turns.judges_python)


def call(*command, quiet=False, **more):
    """Runs a command to its end; its output if it is piped. What a quiet one says is only told, the end of it, if it fails."""
    with tempfile.TemporaryFile("w+") as said:
        if quiet:
            more["stderr"] = said
        done = subprocess.run(command, env=surroundings(2), text=True, **more)
        if done.returncode:
            said.seek(0)
            why = last_line(said.read())
            raise RuntimeError(f"{Path(command[0]).name} {' '.join(str(word) for word in command[1:4])} failed" + (f": {why}" if why else ""))
    return done.stdout


def versions_of(python, packages):
    return call(python, "-c", f"from importlib.metadata import version; print(', '.join(p + ' ' + version(p) for p in {packages!r}))", stdout=subprocess.PIPE).strip()


def peer_of(name):
    """The peer of a server such as `torch compile`."""
    return name.partition(" ")[0]


def openvino_python():
    """The python of the environment with OpenVINO, made if need be."""
    folder, wanted = ROOT / ".cache" / "peers", HERE / "peers.txt"
    stamp = folder / "made-from.txt"
    if not stamp.exists() or stamp.read_text() != wanted.read_text():
        call(sys.executable, "-m", "venv", "--clear", folder)
        call(folder / "bin" / "python", "-m", "pip", "install", "--quiet", "--no-deps", "--requirement", wanted)
        stamp.write_text(wanted.read_text())
    return folder / "bin" / "python"


def compile_once(command, works, threads):
    """Fills torch.compile's cache: minutes of C++, which later processes do not spend again. It holds for this torch and so many
    threads."""
    torch = versions_of(command[0], PACKAGES["torch"][:1]).replace(" ", "-")
    for work in works:
        stamp = COMPILED / f"{work.replace(' ', '-')}.{torch}.{threads}-threads.done"
        if stamp.exists():
            continue
        print(f"torch.compile: {work}", file=sys.stderr, flush=True)
        with Server("torch compile", command, threads) as server:
            if server.ask(work) is None:
                print(f"torch.compile: {work}: {server.error}", file=sys.stderr, flush=True)
                continue
        COMPILED.mkdir(parents=True, exist_ok=True)
        stamp.touch()


def servers(names, exports, compiles, threads):
    """How each peer's server is started, and why those that are missing are. `exports` are works that need an ONNX file, and
    `compiles` those that torch.compile does."""
    call("cargo", "build", "--release", "--quiet", "--example", "peer_bench", "--example", "peer_first", cwd=ROOT)
    found, missing = {"ukulele": [TARGET / "release" / "examples" / "peer_bench"]}, {}
    if exports and any(peer_of(name) in ONNX for name in names):
        # int8 files too: a server that makes one would be charged with the memory for it.
        call(judges_python(), HERE / "models.py", *exports, quiet=True, stdout=subprocess.DEVNULL)
    for name in names:
        peer, _, how = name.partition(" ")
        if peer == "torch":
            found[name] = [judges_python(), HERE / "torch_bench.py", how or "default"]
        elif peer == "onnxruntime":
            found[name] = [judges_python(), HERE / "onnx_bench.py"]
        elif peer == "openvino":
            found[name] = [openvino_python(), HERE / "openvino_bench.py", *how.split()]
    if any(name in RUST for name in names):
        print("building candle, burn and tract (minutes, the first time)", file=sys.stderr, flush=True)
        there = {name: TARGET / "peers" / "release" / f"{name}-peer" for name in RUST}
        for server in there.values():
            server.unlink(missing_ok=True)  # what no longer builds must not be measured; Cargo puts back what does
        try:
            # Together: apart, Cargo would build what they share with other features.
            call("cargo", "build", "--release", "--quiet", "--locked", "--keep-going", "--target-dir", TARGET / "peers", cwd=HERE / "rust")
        except RuntimeError:
            pass  # below: who is there
        for name in (name for name in RUST if name in names):
            if there[name].exists():
                found[name] = [there[name]]
            else:
                missing[name] = "does not build here"
    if "torch compile" in found and not any(shutil.which(name) for name in (os.environ.get("CXX", "g++"), "clang++", "c++")):
        missing["torch compile"] = "needs a C++ compiler, and this machine has none"
        del found["torch compile"]
    if "torch compile" in found:
        compile_once(found["torch compile"], compiles, threads)
    return found, missing


def machine():
    lines = Path("/proc/cpuinfo").read_text().splitlines()
    cpu = next((line.split(":")[1].strip() for line in lines if line.startswith("model name")), platform.processor())
    flags = next((line.split() for line in lines if line.startswith("flags")), [])
    wide = [flag for flag in ("avx2", "avx512f", "avx512_vnni", "avx512_bf16", "amx_bf16") if flag in flags]
    return f"{cpu} ({' '.join(wide)}), {os.cpu_count()} cores"


def versions(found):
    """Of the peers that are there."""
    peers = [peer for peer in NAMES if peer in map(peer_of, found)]
    said = []
    for peer in (peer for peer in peers if peer in PACKAGES):
        said.append(versions_of(openvino_python() if peer == "openvino" else judges_python(), PACKAGES[peer]))
    locked = dict(re.findall(r'name = "(.*)"\nversion = "(.*)"', (HERE / "rust" / "Cargo.lock").read_text()))
    said += [f"{peer} {locked[CRATES[peer]]}" for peer in peers if peer in CRATES]
    return ", ".join(said)
