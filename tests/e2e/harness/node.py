"""Programs of npm, run by the Node of the tests' own environment."""

import os
import subprocess

from .process import ROOT, Process, binary

PACKAGES = ROOT / "tests/node/node_modules"


def node():
    return binary("NODE_BIN", ROOT / ".env/bin/node")


def run(script, *arguments, options=(), env=None, seconds=120):
    """Runs a script to its end and returns what it did, with its output as text. Paths are below `tests/node`."""
    command = [node(), *options, ROOT / "tests/node" / script, *arguments]
    environment = os.environ | (env or {})
    return subprocess.run(command, capture_output=True, text=True, timeout=seconds, env=environment)


def start(name, script, *arguments, logs, env=None):
    """Starts a script."""
    command = [node(), ROOT / "tests/node" / script, *arguments]
    return Process(name, command, logs, os.environ | (env or {}))
