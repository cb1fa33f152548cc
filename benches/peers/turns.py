"""Servers that take turns: each works alone on the machine while the others are stopped."""

import contextlib
import os
import signal
import subprocess
import sys
import threading
from pathlib import Path

HERE = Path(__file__).resolve().parent
ROOT = HERE.parents[1]


def surroundings(threads):
    """The environment of a process with so many threads."""
    return {**os.environ, "RAYON_NUM_THREADS": str(threads), "OMP_NUM_THREADS": str(threads), "PYTHONWARNINGS": "ignore", "ONNX_FILES": str(ROOT / ".cache" / "bench")}


class Server:
    """A process that reads a work a line and answers with milliseconds and megabytes."""

    def __init__(self, name, command, threads=2):
        self.name, self.error = name, None
        try:
            self.process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True, env=surroundings(threads))
        except OSError as error:
            sys.exit(f"cannot start {name}: {error}")
        self.process.send_signal(signal.SIGSTOP)

    def ask(self, work, limit=600):
        """Milliseconds of one run; `None`, and why in `error`, if there are none within `limit` seconds."""
        # Threads that wait by spinning would take the time of the next server.
        self.process.send_signal(signal.SIGCONT)
        late = threading.Timer(limit, self.process.kill)
        late.start()
        try:
            self.process.stdin.write(work + "\n")
            self.process.stdin.flush()
            answer = self.process.stdout.readline().strip()
        except BrokenPipeError:
            answer = ""
        in_time = late.is_alive()
        late.cancel()
        self.process.send_signal(signal.SIGSTOP)
        try:
            milliseconds, self.megabytes = (float(word) for word in answer.split())
            return milliseconds
        except ValueError:
            self.error = answer.removeprefix("error: ") or ("it ended" if in_time else f"not ready within {limit} s")
            return None

    def close(self):
        self.process.kill()
        self.process.wait()
        self.process.stdout.close()
        with contextlib.suppress(BrokenPipeError):
            self.process.stdin.close()


def judges_python():
    """The python of scripts/judges, which makes it if need be."""
    done = subprocess.run([ROOT / "scripts" / "judges"], stdout=subprocess.PIPE, text=True)
    if done.returncode != 0:
        sys.exit("scripts/judges failed")
    return done.stdout.splitlines()[-1]
