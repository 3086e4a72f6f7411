"""Programs that a test starts, waits for and stops."""

import json
import os
import random
import signal
import socket
import subprocess
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parents[3]
TARGET = Path(os.environ.get("CARGO_TARGET_DIR", ROOT / "target"))


def binary(variable, *candidates):
    """The program named by an environment variable, else the newest of the usual places that exists."""
    named = os.environ.get(variable)
    found = [Path(named)] if named else [path for path in candidates if path.exists()]
    if not found or not found[0].exists():
        raise FileNotFoundError(f"set {variable}, or build one of {[str(path) for path in candidates]}")
    return max(found, key=lambda path: path.stat().st_mtime)


def built(variable, name):
    """A program of this workspace."""
    return binary(variable, TARGET / "release" / name, TARGET / "debug" / name)


def envoy_binary():
    return binary("ENVOY_BIN", ROOT / ".env/bin/envoy")


def modules_dir():
    return binary("WEIR_MODULES", TARGET / "modules")


def with_modules(bootstrap):
    """A bootstrap's text with the built modules in place of `modules/<filter>.wasm`."""
    for name, file in json.loads((modules_dir() / "modules.json").read_text()).items():
        bootstrap = bootstrap.replace(f"modules/{name}.wasm", str(modules_dir() / file))
    return bootstrap


def until(condition, what, seconds=10, every=0.02):
    """Polls until `condition()` is truthy and returns that; an exception in it counts as not yet."""
    deadline = time.monotonic() + seconds
    reason = None
    while True:
        try:
            if result := condition():
                return result
            reason = None
        except Exception as error:
            reason = error
        if time.monotonic() > deadline:
            raise TimeoutError(f"not within {seconds} s: {what}") from reason
        time.sleep(every)


_taken = set()


def free_port():
    """A port below the range of outgoing connections that nothing listens on, given out once."""
    while True:
        port = random.randrange(15_000, 32_000)
        if port in _taken:
            continue
        with socket.socket() as probe:
            try:
                probe.bind(("127.0.0.1", port))
            except OSError:
                continue
        _taken.add(port)
        return port


def connects(port):
    with socket.create_connection(("127.0.0.1", port), timeout=1):
        return True


class Process:
    """A running program whose output goes to `<logs>/<name>.out` and `.err`."""

    def __init__(self, name, command, logs, env=None, **options):
        self.name, self.logs = name, Path(logs)
        self.logs.mkdir(parents=True, exist_ok=True)
        self.out, self.err = self.logs / f"{name}.out", self.logs / f"{name}.err"
        with open(self.out, "ab") as out, open(self.err, "ab") as err:
            self._child = subprocess.Popen(
                [str(part) for part in command], stdin=subprocess.DEVNULL, stdout=out, stderr=err, env=env, **options
            )

    @property
    def pid(self):
        return self._child.pid

    def wait_until(self, condition, what, seconds=20):
        """Like `until`, but gives up as soon as the program has ended, and shows the end of its output."""

        def alive_and_ready():
            if self._child.poll() is not None:
                return "ended"
            return condition() and "ready"

        try:
            state = until(alive_and_ready, f"{self.name}: {what}", seconds)
        except TimeoutError as error:
            raise TimeoutError(f"{error}\n{self.tail()}") from error
        if state == "ended":
            raise RuntimeError(f"{self.name} ended with {self._child.returncode}\n{self.tail()}")

    def ends_with(self, seconds=10):
        """Waits until the program has ended by itself; returns its exit code."""
        return self._child.wait(seconds)

    def text(self):
        return self.out.read_text(errors="replace") + self.err.read_text(errors="replace")

    def tail(self, lines=30):
        end = "\n".join(self.text().splitlines()[-lines:])
        return f"--- last lines of {self.name} ---\n{end}\n---"

    def send(self, number):
        """Sends the program a signal."""
        self._child.send_signal(number)

    def interrupt(self):
        """Does what Ctrl-C does, and returns the exit status."""
        self._child.send_signal(signal.SIGINT)
        return self._child.wait(20)

    def kill(self):
        """Ends the program as a crash does: SIGKILL, at once."""
        self._child.kill()
        self._child.wait()

    def stop(self):
        """Asks the program to end, and kills it if it does not."""
        if self._child.poll() is None:
            self._child.terminate()
            try:
                self._child.wait(5)
            except subprocess.TimeoutExpired:
                self._child.kill()
                self._child.wait()
