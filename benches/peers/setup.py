"""What the runner installs and builds before it measures."""

import os
import platform
import re
import shutil
import subprocess
import sys
from pathlib import Path

from rows import RUST
from turns import HERE, ROOT, Server, judges_python, surroundings

FILES = ROOT / ".cache" / "bench"
TARGET = Path(os.environ.get("CARGO_TARGET_DIR", ROOT / "target"))


def call(*command, **more):
    """Runs a command to its end; its output if it is piped."""
    done = subprocess.run(command, env=surroundings(2), text=True, **more)
    if done.returncode:
        raise RuntimeError(f"{Path(command[0]).name} {' '.join(str(word) for word in command[1:4])} failed")
    return done.stdout


def openvino_python():
    """The python of the environment with OpenVINO, made if need be."""
    folder, wanted = ROOT / ".cache" / "peers", HERE / "peers.txt"
    stamp = folder / "made-from.txt"
    if not stamp.exists() or stamp.read_text() != wanted.read_text():
        call(sys.executable, "-m", "venv", "--clear", folder)
        call(folder / "bin" / "python", "-m", "pip", "install", "--quiet", "--no-deps", "--requirement", wanted)
        stamp.write_text(wanted.read_text())
    return folder / "bin" / "python"


def compile_once(command, works):
    """Fills torch.compile's cache: minutes of C++, which later processes do not spend again."""
    for work in works:
        stamp = FILES / "inductor" / f"{work.replace(' ', '-')}.done"
        if not stamp.exists():
            print(f"torch.compile: {work}", file=sys.stderr, flush=True)
            server = Server("torch compile", command)
            try:
                if server.ask(work) is not None:
                    stamp.touch()
            finally:
                server.close()


def servers(names, exports, compiles):
    """How each peer's server is started, and why those that are missing are. `exports` are works that need an ONNX file, and
    `compiles` those that torch.compile does."""
    call("cargo", "build", "--release", "--quiet", "--example", "peer_bench", "--example", "peer_first", cwd=ROOT)
    found, missing = {"ukulele": [TARGET / "release" / "examples" / "peer_bench"]}, {}
    judges = judges_python()
    # int8 files too: a server that makes one would be charged with the memory for it.
    call(judges, HERE / "models.py", *exports, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    for name in names:
        peer, _, how = name.partition(" ")
        if peer == "torch":
            found[name] = [judges, HERE / "torch_bench.py", how or "default"]
        elif peer == "onnxruntime":
            found[name] = [judges, HERE / "onnx_bench.py"]
        elif peer == "openvino":
            found[name] = [openvino_python(), HERE / "openvino_bench.py", *how.split()]
    if any(name in RUST for name in names):
        print("building candle, burn and tract (minutes, the first time)", file=sys.stderr, flush=True)
        try:
            # Together: apart, Cargo would build what they share with other features.
            call("cargo", "build", "--release", "--quiet", "--locked", "--keep-going", "--target-dir", TARGET / "peers", cwd=HERE / "rust")
        except RuntimeError:
            pass  # below: who is there
    for name in RUST:
        server = TARGET / "peers" / "release" / f"{name}-peer"
        if name in names and server.exists():
            found[name] = [server]
        elif name in names:
            missing[name] = "does not build here"
    if "torch compile" in found and not any(shutil.which(name) for name in (os.environ.get("CXX", "g++"), "clang++", "c++")):
        missing["torch compile"] = "needs a C++ compiler, and this machine has none"
        del found["torch compile"]
    if "torch compile" in found:
        compile_once(found["torch compile"], compiles)
    return found, missing


def machine():
    lines = Path("/proc/cpuinfo").read_text().splitlines()
    cpu = next((line.split(":")[1].strip() for line in lines if line.startswith("model name")), platform.processor())
    flags = next((line.split() for line in lines if line.startswith("flags")), [])
    wide = [flag for flag in ("avx2", "avx512f", "avx512_vnni", "avx512_bf16", "amx_bf16") if flag in flags]
    return f"{cpu} ({' '.join(wide)}), {os.cpu_count()} cores"


def versions(found):
    """Of the peers that are there."""

    def of(python, packages):
        return call(python, "-c", f"from importlib.metadata import version; print(', '.join(p + ' ' + version(p) for p in {packages!r}))", stdout=subprocess.PIPE).strip()

    said = [of(judges_python(), ["torch", "torchvision", "transformers", "onnxruntime"])]
    if "openvino" in found:
        said.append(of(openvino_python(), ["openvino"]))
    locked = dict(re.findall(r'name = "(.*)"\nversion = "(.*)"', (HERE / "rust" / "Cargo.lock").read_text()))
    said += [f"{peer} {locked[package]}" for peer, package in (("candle", "candle-core"), ("burn", "burn"), ("tract", "tract-onnx")) if peer in found]
    return ", ".join(said)
