"""Servers that take turns: each works alone on the machine while the others are stopped."""

import os
import signal
import subprocess
import sys
from pathlib import Path

HERE = Path(__file__).resolve().parent
ROOT = HERE.parents[1]


class Server:
    """A process that reads a work a line and answers with milliseconds and megabytes."""

    def __init__(self, name, command, threads=2):
        self.name, self.error = name, None
        environment = {**os.environ, "RAYON_NUM_THREADS": str(threads), "OMP_NUM_THREADS": str(threads), "PYTHONWARNINGS": "ignore"}
        try:
            self.process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True, env=environment)
        except OSError as error:
            sys.exit(f"cannot start {name}: {error}")
        self.process.send_signal(signal.SIGSTOP)

    def ask(self, work):
        """Milliseconds of one run; `None`, and why in `error`, if there are none."""
        # Threads that wait by spinning would take the time of the next server.
        self.process.send_signal(signal.SIGCONT)
        try:
            self.process.stdin.write(work + "\n")
            self.process.stdin.flush()
            answer = self.process.stdout.readline().strip()
        except BrokenPipeError:
            answer = "it ended"
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGSTOP)
        try:
            milliseconds, self.megabytes = (float(word) for word in answer.split())
            return milliseconds
        except ValueError:
            self.error = answer or "it ended"
            return None

    def close(self):
        try:
            self.process.send_signal(signal.SIGCONT)
            self.process.stdin.close()
        except (BrokenPipeError, ProcessLookupError):
            pass
        self.process.wait()


def judges_python():
    """The python of scripts/judges, which makes it if need be."""
    done = subprocess.run([ROOT / "scripts" / "judges"], stdout=subprocess.PIPE, text=True)
    if done.returncode != 0:
        sys.exit("scripts/judges failed")
    return done.stdout.splitlines()[-1]
