#!/usr/bin/env python3
"""The runner with servers of a line of shell: nothing is built, installed or measured. Seconds; `.ci/run` does it."""

import contextlib
import importlib.machinery
import importlib.util
import io
import json
import os
import signal
import subprocess
import sys
import tempfile
import time
import unittest
from pathlib import Path
from unittest import mock

sys.dont_write_bytecode = True
HERE = Path(__file__).resolve().parent
sys.path.insert(0, str(HERE))

import setup  # noqa: E402
import table  # noqa: E402
from rows import Row  # noqa: E402
from turns import Server, first_line  # noqa: E402

loader = importlib.machinery.SourceFileLoader("run", str(HERE / "run"))
run = importlib.util.module_from_spec(importlib.util.spec_from_loader("run", loader))
loader.exec_module(run)


def stub(answer):
    """A server that always answers so, or does so in shell."""
    return ["sh", "-c", f"while read work; do {answer if answer.endswith(';') else f'echo {answer!r};'} done"]


GOOD, SLOW, DEAD, LATE = stub("10.0 100.0"), stub("30.0 200.0"), stub("exit 1;"), stub("exec sleep 100;")
ROWS = [
    Row("resnet18 infer 1", "f32", ["onnxruntime", "openvino", "torch"], ("openvino default", "candle", "tract"), 1.1),
    Row("resnet18 train 2", "f32", ["torch"], ["burn"], 1.1),
    Row("resnet18 train 2", "bf16", ["torch"], (), 1.1),
]


def ended(pid):
    """Whether the process is gone, or is about to be, within seconds."""
    for _ in range(100):
        try:
            if Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] == "Z":
                return True
        except (FileNotFoundError, ProcessLookupError):
            return True
        time.sleep(0.05)
    return False


class Turns(unittest.TestCase):
    def ask(self, command, limit=20):
        with Server("stub", command) as server:
            milliseconds = server.ask("work", limit)
        self.assertTrue(ended(server.process.pid))
        return milliseconds, server.megabytes, server.error

    def test_answers(self):
        self.assertEqual(self.ask(GOOD), (10, 100, None))
        self.assertEqual(self.ask(stub("error: no such work")), (None, None, "no such work"))
        self.assertEqual(self.ask(DEAD), (None, None, "it ended"))
        self.assertEqual(self.ask(LATE, 0.3), (None, None, "not ready within 0.3 s"))

    def test_the_limit_is_of_one_run(self):
        with Server("stub", GOOD) as server:
            self.assertEqual(server.ask("work", 0.5), 10)
            time.sleep(0.7)
            self.assertEqual(server.ask("work", 20), 10)

    def test_first_lines(self):
        milliseconds, error = first_line("stub", ["echo", "7"], 2, 20)
        self.assertTrue(milliseconds > 0 and error is None)
        self.assertEqual(first_line("stub", ["sh", "-c", "echo one >&2; echo two >&2; exit 1"], 2, 20), (None, "two"))
        self.assertEqual(first_line("stub", ["true"], 2, 20), (None, "it said nothing"))
        self.assertEqual(first_line("stub", ["sleep", "100"], 2, 0.3), (None, "not ready within 0.3 s"))

    def test_who_cannot_be_started_is_named(self):
        with self.assertRaisesRegex(RuntimeError, "cannot start stub"):
            Server("stub", ["/absent"])

    @staticmethod
    def as_in_a_terminal():
        """In a new process: nothing is ignored that nohup or a shell's & made this one ignore."""
        for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
            signal.signal(number, signal.SIG_DFL)

    def left_by(self, number):
        """The exit code of a process that is sent the signal while its server works; the server must go with it."""
        script = "from turns import *; end_as_by_interrupt()\n"
        script += "with Server('stub', ['sleep', '100']) as s: print(s.process.pid, flush=True); s.ask('work', 60)"
        start = time.monotonic()
        with subprocess.Popen([sys.executable, "-B", "-c", script], cwd=HERE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True, preexec_fn=self.as_in_a_terminal) as parent:
            server = int(parent.stdout.readline())
            time.sleep(0.3)
            parent.send_signal(number)
            code = parent.wait()
        self.assertTrue(ended(server), f"{signal.Signals(number).name} leaves the server")
        self.assertLess(time.monotonic() - start, 30)
        return code

    def test_signals_end_all_at_once(self):
        for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGKILL):
            self.assertNotEqual(self.left_by(number), 0)

    def test_paired_leaves_nobody(self):
        with tempfile.TemporaryDirectory() as folder:
            server, pids = Path(folder) / "server", Path(folder) / "pids"
            server.write_text(f"#!/bin/sh\necho $$ >>{pids}\nwhile read work; do echo 'error: no work'; done\n")
            server.chmod(0o755)
            done = subprocess.run([HERE / "paired", "--binary", server, "--python", server, "nonsense"], capture_output=True, text=True)
            self.assertEqual(done.returncode, 1)
            self.assertIn("paired: torch answered 'no work' to 'nonsense'", done.stderr)
            self.assertTrue(all(ended(int(pid)) for pid in pids.read_text().split()))


class Runner(unittest.TestCase):
    def setUp(self):
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        self.root = Path(folder.name)
        (self.root / "docs").mkdir()
        self.docs = self.root / "docs" / "performance.md"

    def main(self, *flags, missing={}, **servers):
        """Exit code, what was said, and the JSON; servers other than `GOOD` by name."""

        def built(names, exports, compiles, threads):
            self.exports = exports
            there = [name for name in names if name not in missing]
            return {name: servers.get(name, GOOD) for name in ("ukulele", *there)}, missing

        told = self.root / "told.json"
        told.unlink(missing_ok=True)
        said = io.StringIO()
        with contextlib.ExitStack() as stack:
            for target, name, value in [
                (run, "rows", lambda: ROWS),
                (run, "ROOT", self.root),
                (run, "first_predictions", lambda servers, arguments: []),
                (setup, "servers", built),
                (setup, "versions", lambda found: "versions"),
                (setup, "machine", lambda: "a machine"),
                (sys, "argv", ["run", "--quick", "--json", str(told), *flags]),
            ]:
                stack.enter_context(mock.patch.object(target, name, value))
            stack.enter_context(contextlib.redirect_stdout(said))
            stack.enter_context(contextlib.redirect_stderr(said))
            try:
                code = run.main()
            except SystemExit as left:
                code = left.code
            except RuntimeError as error:
                code = str(error)
        return code, said.getvalue(), json.loads(told.read_text()) if told.exists() else None

    def test_the_fastest(self):
        self.assertEqual(run.fastest(10, {"a": 30, "b": 20}), ("b", 20, 2))
        self.assertEqual(run.fastest(None, {"a": 30}), ("a", 30, None))
        self.assertEqual(run.fastest(10, {}), (None, None, None))

    def test_turns(self):
        arguments = mock.Mock(quick=False, threads=2)
        servers = {"ukulele": GOOD, "onnxruntime": SLOW, "openvino": GOOD, "torch": DEAD}
        with mock.patch.object(run, "LIMIT", 20):
            medians, megabytes, turns, errors = run.measure(ROWS[0], servers, arguments, True)
            self.assertEqual((turns, medians), (25, {"ukulele": 10, "onnxruntime": 30, "openvino": 10}))
            self.assertEqual((megabytes["onnxruntime"], errors), (200, {"torch": "it ended"}))
            # In a hurry half a second is enough.
            _, _, turns, _ = run.measure(ROWS[0], {"ukulele": SLOW, "openvino": SLOW}, mock.Mock(quick=True, threads=2), True)
            self.assertEqual(turns, 9)
            _, _, turns, errors = run.measure(ROWS[0], {"ukulele": GOOD}, arguments, False)
        self.assertEqual((turns, errors), (25, {}))

    def test_flags_are_checked_before_anything_is_built(self):
        for flags, word in [
            (["--peers", "pytorch"], "no 'pytorch'"),
            (["--threads", "0"], "'0'"),
            (["--threads", "-3"], "'-3'"),
            (["--json", "/absent/x.json"], "/absent/x.json"),
            (["--json", str(self.root)], "cannot write"),
            (["--only", "nosuchrow"], "nosuchrow"),
            (["--only", "resnet18 infer", "--docs"], "--only"),
        ]:
            with mock.patch.object(setup, "call", side_effect=AssertionError("something was built")):
                code, said, told = self.main(*flags)
            self.assertEqual((code, told), (2, None), flags)
            self.assertIn(word, said)
        self.assertFalse(self.docs.exists())

    def test_all_rows_are_written(self):
        self.docs.write_text("old" + table.NOTES + "notes\n")
        code, _, told = self.main("--docs", "--threads", "1", openvino=SLOW)
        text = self.docs.read_text()
        self.assertEqual(code, 0)
        self.assertIn("Written by `benches/peers/run --quick --threads 1 --docs` on a machine, 1 threads: versions.", text)
        self.assertIn("| resnet18 infer 1 | f32 | 10.0 | onnxruntime | 10.0 | 1.00 (missed) | 1.1 |", text)
        self.assertIn("| resnet18 train 2 memory | f32 | 100.0 | torch | 100.0 | 1.00 (missed) | 1.6 |", text)
        self.assertIn("Against candle and tract rows in f32", text)
        self.assertTrue(text.endswith("notes\n"), text)
        self.assertEqual([row["work"].split(" ", 1)[1] for row in told["rows"]], ["infer 1", "infer 1", "train 2", "train 2 memory"] + ["train 2", "train 2 memory"])
        self.assertEqual(set(told["rows"][0]["peers_ms"]), {"onnxruntime", "openvino", "openvino default", "candle", "tract"})

    def test_peers_that_are_absent_are_not_spoken_of(self):
        code, said, _ = self.main("--docs", "--peers", "onnxruntime,openvino")
        text = self.docs.read_text()
        self.assertEqual(code, 0)
        self.assertIn("left out, for no peer is measured in them: resnet18 train 2 f32, resnet18 train 2 bf16", said)
        self.assertIn("--peers onnxruntime,openvino --docs`", text)
        self.assertFalse("torch runs" in text or "candle" in text or "train" in text, text)
        self.main("--docs", "--peers", "torch")
        text = self.docs.read_text()
        self.assertTrue("torch runs" in text and "OpenVINO" not in text, text)

    def test_a_named_peer_is_measured_though_quick(self):
        code, _, told = self.main("--peers", "torch", "--only", "infer")
        self.assertEqual((code, told["rows"][0]["peer"], len(told["rows"])), (0, "torch", 1))
        # Only further peers: no line against those that count.
        code, _, told = self.main("--peers", "tract")
        self.assertEqual((code, [(row["peer"], row["goal"]) for row in told["rows"]]), (0, [("tract", 1.5)]))
        self.assertEqual(told["rows"][0]["peers_ms"], {"tract": 10})
        code, _, told = self.main("--peers", "burn")
        self.assertEqual((code, [(row["work"], row["peer"], row["goal"]) for row in told["rows"]]), (0, [("resnet18 train 2", "burn", 1.5)]))
        self.assertEqual(self.exports, ["resnet18 infer 1"])

    def test_missing_peers_are_said(self):
        code, said, _ = self.main("--peers", "tract", missing={"tract": "does not build here"})
        self.assertEqual(code, "no row has a peer to measure")
        self.assertIn("tract: does not build here", said)

    def test_our_failures_are_said(self):
        learns = "case $work in *bf16) echo 'error: `x`: networks learn in f32';; *) echo 10 100;; esac;"
        code, said, _ = self.main("--docs", ukulele=stub(learns))
        self.assertEqual(code, 0)
        self.assertIn("| resnet18 train 2 | bf16 | - | torch | 10.0 | not there yet | 1.1 |", self.docs.read_text())
        code, said, _ = self.main("--docs", ukulele=DEAD, torch=stub("error: no torch"))
        text = self.docs.read_text()
        self.assertEqual(code, 1)
        self.assertIn("| resnet18 infer 1 | f32 | - | onnxruntime | 10.0 | failed | 1.1 |", text)
        self.assertIn("- ukulele, resnet18 infer 1 f32, resnet18 train 2 f32, resnet18 train 2 bf16: it ended.", text)
        self.assertIn("- torch, resnet18 train 2 f32, resnet18 train 2 bf16: no torch.", text)

    def test_a_file_that_fails_does_not_take_the_other_along(self):
        self.docs.mkdir()
        code, said, told = self.main("--docs")
        self.assertEqual((code, len(told["rows"])), (1, 6))
        self.assertIn("cannot write", said)

    def test_who_fails_in_first_is_said(self):
        arguments = mock.Mock(quick=True, threads=2)
        (self.root / "release" / "examples").mkdir(parents=True)
        ours = self.root / "release" / "examples" / "peer_first"
        ours.write_text("#!/bin/sh\necho 7\n")
        ours.chmod(0o755)
        servers = {"ukulele": GOOD, "torch": ["echo"], "openvino": ["false"]}
        with mock.patch.multiple(setup, call=lambda *command, **more: "x\n", judges_python=lambda: "python", TARGET=self.root):
            torch, openvino = run.first_predictions(servers, arguments)
        self.assertTrue(torch["ratio"] > 0 and torch["errors"] == {} and torch["goal"] == 10)
        self.assertEqual((openvino["peer"], openvino["peer_ms"], openvino["errors"]), ("openvino", None, {"openvino": "it said nothing"}))


class Setup(unittest.TestCase):
    def test_a_failing_command_says_why(self):
        with self.assertRaisesRegex(RuntimeError, "sh -c .* failed: second"):
            setup.call("sh", "-c", "echo first >&2; echo second >&2; exit 3", quiet=True)
        self.assertEqual(setup.call("echo", "yes", stdout=subprocess.PIPE), "yes\n")

    def test_rows_that_torch_compiles_may_take_longer(self):
        todo = [(None, ["torch"]), (None, ["torch", "torch compile"]), (None, ["openvino"])]
        self.assertEqual([run.share(todo, done) for done in range(4)], [0, 0.2, 0.8, 1])

    def test_a_compilation_holds_for_its_torch_and_threads(self):
        with tempfile.TemporaryDirectory() as folder, contextlib.redirect_stderr(io.StringIO()) as said:
            compiled = Path(folder) / "not" / "there"
            for version, threads in (("torch 1", 2), ("torch 1", 2), ("torch 2", 2), ("torch 2", 4)):
                with mock.patch.multiple(setup, COMPILED=compiled, versions_of=lambda *_: version):
                    setup.compile_once(GOOD, ["resnet18 train 2"], threads)
            with mock.patch.multiple(setup, COMPILED=compiled, versions_of=lambda *_: "torch 3"):
                setup.compile_once(stub("error: no compiler"), ["resnet18 train 2"], 2)
            self.assertEqual(len(os.listdir(compiled)), 3)
        self.assertEqual(said.getvalue().count("torch.compile: resnet18 train 2\n"), 4)
        self.assertIn("resnet18 train 2: no compiler", said.getvalue())


if __name__ == "__main__":
    unittest.main()
