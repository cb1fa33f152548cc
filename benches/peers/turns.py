"""Servers that take turns: each works alone on the machine while the others are stopped."""

import argparse
import contextlib
import ctypes
import os
import signal
import subprocess
import tempfile
import threading
import time
from pathlib import Path

HERE = Path(__file__).resolve().parent
ROOT = HERE.parents[1]
LIBC = ctypes.CDLL(None)
PR_SET_PDEATHSIG = 1


def surroundings(threads):
    """The environment of a process with so many threads."""
    return {**os.environ, "RAYON_NUM_THREADS": str(threads), "OMP_NUM_THREADS": str(threads), "PYTHONWARNINGS": "ignore", "ONNX_FILES": str(ROOT / ".cache" / "bench")}


def end_as_by_interrupt():
    """What asks this process to end does so by a KeyboardInterrupt, so that nobody stays behind stopped."""
    for number in (signal.SIGTERM, signal.SIGHUP):
        if signal.getsignal(number) is not signal.SIG_IGN:  # nohup
            signal.signal(number, signal.default_int_handler)


def end_with_parent():
    """In a new process: it is killed when its parent ends, however that does. A stopped one would never see its input's end."""
    LIBC.prctl(PR_SET_PDEATHSIG, signal.SIGKILL)


def start(name, command, threads, **more):
    """A process whose output is read as text."""
    try:
        return subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=surroundings(threads), preexec_fn=end_with_parent, **more)
    except OSError as error:
        raise RuntimeError(f"cannot start {name}: {error}") from None


@contextlib.contextmanager
def at_most(seconds, process):
    """Kills the process if what is done meanwhile takes longer, and then sets the event that is the value."""
    too_late = threading.Event()

    def kill():
        too_late.set()
        process.kill()

    timer = threading.Timer(seconds, kill)
    timer.daemon = True  # else the interpreter would wait for it
    timer.start()
    try:
        yield too_late
    finally:
        timer.cancel()
        timer.join()


class Server:
    """A process that reads a work a line and answers with milliseconds and megabytes. A context manager, which ends it."""

    def __init__(self, name, command, threads=2):
        self.name, self.error, self.megabytes = name, None, None
        self.process = start(name, command, threads, stdin=subprocess.PIPE, stderr=subprocess.DEVNULL)
        self.process.send_signal(signal.SIGSTOP)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()

    def ask(self, work, limit=600):
        """Milliseconds of one run; `None`, and why in `error`, if there are none within `limit` seconds."""
        # Threads that wait by spinning would take the time of the next server.
        self.process.send_signal(signal.SIGCONT)
        with at_most(limit, self.process) as too_late:
            try:
                self.process.stdin.write(work + "\n")
                self.process.stdin.flush()
                answer = self.process.stdout.readline().strip()
            except BrokenPipeError:
                answer = ""
        self.process.send_signal(signal.SIGSTOP)
        try:
            milliseconds, self.megabytes = (float(word) for word in answer.split())
            return milliseconds
        except ValueError:
            self.error = answer.removeprefix("error: ") or (f"not ready within {limit} s" if too_late.is_set() else "it ended")
            return None

    def close(self):
        self.process.kill()
        self.process.wait()
        self.process.stdout.close()
        with contextlib.suppress(BrokenPipeError):
            self.process.stdin.close()


def first_line(name, command, threads, limit):
    """Milliseconds from the start of a process to its first line, or `None`; and why, if so."""
    with tempfile.TemporaryFile("w+") as said:
        begin = time.perf_counter()
        process = start(name, command, threads, stderr=said)
        try:
            with at_most(limit, process) as too_late:
                answer = process.stdout.readline()
                milliseconds = 1e3 * (time.perf_counter() - begin)
                process.stdout.read()
                process.wait()
        finally:
            process.kill()
            process.wait()
            process.stdout.close()
        if answer:
            return milliseconds, None
        said.seek(0)
        return None, f"not ready within {limit} s" if too_late.is_set() else last_line(said.read()) or "it said nothing"


def last_line(text):
    """What is left to say of a long error."""
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    return lines[-1] if lines else ""


def judges_python():
    """The python of scripts/judges, which makes it if need be."""
    done = subprocess.run([ROOT / "scripts" / "judges"], stdout=subprocess.PIPE, text=True)
    if done.returncode != 0:
        raise RuntimeError("scripts/judges failed")
    return done.stdout.splitlines()[-1]


def at_least_one(text):
    """A number of an option."""
    if not text.isdecimal() or int(text) < 1:
        raise argparse.ArgumentTypeError(f"{text!r} is no whole number from 1 on")
    return int(text)


def file_to_write(text):
    """A file of an option, whose folder must be there."""
    path = Path(text)
    if path.is_dir() or not os.access(path if path.exists() else path.parent, os.W_OK):
        raise argparse.ArgumentTypeError(f"cannot write {path}")
    return path


def write(path, text):
    """All of it or nothing."""
    if path.exists() and not path.is_file():  # /dev/stdout
        path.write_text(text)
        return
    part = path.with_name(path.name + ".part")
    part.write_text(text)
    part.replace(path)
