"""A gateway as a user runs it: a configuration file, `weir serve`, and an Envoy on `weir bootstrap`."""

import copy
import hashlib
import os
import subprocess
import time
from pathlib import Path

import httpx
import yaml

from .envoy import Envoy
from .process import Process, built, free_port, modules_dir, until


def weir(*arguments, env=None, check=True):
    """Runs `weir` to its end and returns what it did, with its output as text."""
    command = [built("WEIR_BIN", "weir"), *map(str, arguments)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=30, env=env)
    if check and done.returncode != 0:
        raise RuntimeError(f"weir {' '.join(map(str, arguments))}: {done.stdout}{done.stderr}")
    return done


def key(secret, id, **more):
    """An entry of `keys` for this secret."""
    return {"id": id, "sha256": hashlib.sha256(secret.encode()).hexdigest(), **more}


def model(name, provider, upstream=None):
    """An entry of `models` with one target."""
    target = {"provider": provider} if upstream is None else {"provider": provider, "model": upstream}
    return {"name": name, "targets": [target]}


class Gateway:
    """`config` is the content of weir.yaml without `listen` and `access_log` of the gateway; the text `more` takes the
    place of a part of it that is too long to be written again and again.

    With `store`, the control plane has a database and an API: True is a file of its own, a text the URL of one. With
    `authority`, an object that says which options certificates are, everything of the control plane is over TLS.
    """

    def __init__(self, logs, config, secrets=None, modules=None, more="", store=False, authority=None, port=None):
        self.logs = logs
        self.logs.mkdir(parents=True, exist_ok=True)
        self.port = port or free_port()
        self._xds, self._control, self._admin = (free_port() for _ in range(3))
        (logs / "config").mkdir()
        self.file, self.access_log_file = logs / "config/weir.yaml", logs / "access.log"
        self.config = copy.deepcopy(config)
        # Of several gateways the Envoy serves the first.
        own = self.config["gateways"][0] if "gateways" in self.config else self.config.setdefault("gateway", {})
        self.cluster = own.get("name", "e2e")
        if more:
            self.config.pop(more.partition(":")[0])
        self.modules = modules or modules_dir()
        own["listen"] = {"address": "127.0.0.1", "port": self.port}
        own["access_log"] = {"file": str(self.access_log_file)}
        self._write(self.text() + more)
        self.store = logs / "weir.db" if store is True else store or None
        self._authority = authority
        self._http = httpx.Client(
            base_url=self.api_url, timeout=10, verify=authority.context() if authority else True
        )
        self._environment = os.environ | (secrets or {}) | ({"WEIR_STORE": str(self.store)} if self.store else {})
        self._weir = self._envoy = None
        try:
            self.restart_control_plane()
            self.bootstrap = self._bootstrap("envoy.yaml", self._admin)
            self.start_envoy()
            self.wait_until_ready()
        except Exception:
            self.stop()
            raise

    def restart_control_plane(self, wait=True):
        """Starts `weir serve`, again if it runs already, and with `wait` waits until it is ready."""
        self.stop_control_plane()
        command = [built("WEIR_BIN", "weir"), "serve", "--config", self.file, "--modules", self.modules]
        command += ["--xds", f"127.0.0.1:{self._xds}", "--admin", f"127.0.0.1:{self._control}"]
        command += self._authority.serve() if self._authority else []
        self._weir = Process("weir", command, self.logs, self._environment)
        if wait:
            self._weir.wait_until(self.is_control_plane_ready, "is ready", 60)

    def is_control_plane_ready(self):
        """Whether it serves something."""
        return self._http.get("/readyz").status_code == 200

    def start_envoy(self):
        """Starts Envoy, again if it runs already, and waits for nothing."""
        if self._envoy:
            self._envoy.stop()
        self._envoy = Envoy(self.bootstrap, self.logs, self._admin, self.port, wait=False, cluster=self.cluster)

    def beside(self, cluster, port):
        """Another Envoy on this control plane, which the caller stops; waits for nothing."""
        admin, logs = free_port(), self.logs.with_name(f"{self.logs.name}-{cluster}")
        bootstrap = self._bootstrap(f"{cluster}.yaml", admin)
        return Envoy(bootstrap, logs, admin, port, wait=False, cluster=cluster)

    def _bootstrap(self, name, admin):
        file, xds = self.logs / name, f"127.0.0.1:{self._xds}"
        more = self._authority.bootstrap() if self._authority else []
        file.write_text(weir("bootstrap", "--xds", xds, "--admin-port", admin, *more).stdout)
        return file

    def wait_until_ready(self):
        """Waits until Envoy serves."""
        self._envoy.wait_until_ready()

    def stop_control_plane(self):
        """Ends `weir serve`; Envoy runs on."""
        if self._weir:
            self._weir.stop()

    def kill_control_plane(self):
        """Ends `weir serve` as a crash does; Envoy runs on."""
        self._weir.kill()

    @property
    def xds(self):
        """Where Envoys connect."""
        return f"127.0.0.1:{self._xds}"

    @property
    def api_url(self):
        """Where the control plane has its API."""
        return f"{'https' if self._authority else 'http'}://127.0.0.1:{self._control}"

    @property
    def admin_token(self):
        """The API's first token."""
        is_file = isinstance(self.store, Path)
        file = self.store.with_name("weir.db.admin-token") if is_file else self.file.with_name("weir.admin-token")
        return file.read_text().strip()

    @property
    def base_url(self):
        """What an OpenAI client is given."""
        return f"http://127.0.0.1:{self.port}/v1"

    # The configuration.

    def status(self):
        """What the control plane says about itself and the Envoys."""
        return self._http.get("/v1/status").raise_for_status().json()

    def snapshots(self):
        """What the control plane has served last, the newest first."""
        return self._http.get("/v1/snapshots").raise_for_status().json()["snapshots"]

    def restore(self, version, **headers):
        """Asks for an earlier snapshot; returns the answer."""
        return self._http.post(f"/v1/snapshots/{version}/restore", headers=headers)

    def text(self):
        """The file as it is, or is about to be."""
        return yaml.safe_dump(self.config, sort_keys=False)

    def edit_config(self, change, wait=True):
        """Changes the file; waits until the control plane has it and, with `wait`, until Envoy runs it."""
        before = self.status()["version"]
        self.write_config(change)
        until(lambda: self.status()["version"] != before, "the control plane takes the new file")
        if wait:
            self.wait_until_in_sync()

    def edit_text(self, change):
        """Like `edit_config`, for the file as text."""
        before = self.status()["version"]
        self._write(change(self.file.read_text()))
        until(lambda: self.status()["version"] != before, "the control plane takes the new file", 60)
        self.wait_until_in_sync()

    def write_config(self, change):
        """Changes the file, and waits for nothing. Returns when the change was there to be read."""
        change(self.config)
        return self._write(self.text())

    def break_config(self, text):
        """Writes a file that must be refused, and waits until it is; returns the reason."""
        self._write(text)
        until(lambda: self.status()["config"]["state"] == "refused", "the control plane refuses the file")
        return self.status()["config"]["error"]

    def drain(self, *arguments):
        """Starts `weir drain` on the Envoy."""
        command = [built("WEIR_BIN", "weir"), "drain", "--admin", f"127.0.0.1:{self._admin}", *arguments]
        return Process("drain", command, self.logs)

    def mend_config(self):
        """Writes back the last good file, and waits until it is taken."""
        self._write(self.text())
        until(lambda: self.status()["config"]["state"] == "running", "the control plane takes the good file")

    def wait_until_in_sync(self):
        """Waits until the Envoy is connected and has acknowledged all of the version that is served."""

        def in_sync():
            status = self.status()
            nodes = connected(status)
            # One that has just come back has everything it asked for before it has asked for everything.
            complete = all(ASKED_BY_ALL <= node["types"].keys() for node in nodes)
            current = all(node["version"] == status["gateways"][node["gateway"]] for node in nodes)
            return nodes and complete and current and not refused(nodes)

        until(in_sync, "Envoy acknowledges the configuration")

    def wait_until_refused(self):
        """Waits until the Envoy has refused something; returns what: its kind, resource and reason."""
        return until(lambda: refused(connected(self.status())), "Envoy's refusal is reported")

    def _write(self, text):
        return self.replace(self.file, text)

    @staticmethod
    def replace(file, text):
        """Replaces a file at once, as an editor does. Returns when it was there to be read."""
        draft = file.with_suffix(".draft")
        draft.write_text(text)
        draft.replace(file)
        return time.monotonic()

    # What Envoy and the control plane wrote.

    def stats(self, pattern):
        return self._envoy.stats(pattern)

    def prometheus(self):
        return self._envoy.prometheus()
    def is_ready(self):
        """Whether Envoy says that it may be given requests."""
        return self._envoy.is_ready()

    def envoy_ends(self, seconds=10):
        """Waits until Envoy has ended by itself; returns its exit code."""
        return self._envoy.process.ends_with(seconds)

    def filter_failures(self):
        return self._envoy.filter_failures()

    def config_dump(self):
        return self._envoy.config_dump()

    def access_log(self):
        return self.access_log_file.read_text(errors="replace") if self.access_log_file.exists() else ""

    def weir_log(self):
        return self._weir.text()

    def envoy_log(self):
        return self._envoy.logs()

    def tails(self):
        processes = [self._weir, self._envoy and self._envoy.process]
        return "\n".join(process.tail() for process in processes if process)

    def stop(self):
        if self._envoy:
            self._envoy.stop()
        self.stop_control_plane()
        self._http.close()


# Kinds of resources that every Envoy of a gateway asks for.
ASKED_BY_ALL = {"clusters", "listeners", "routes", "extensions"}


def connected(status):
    return [node for node in status["nodes"] if "disconnected_since" not in node]


def refused(nodes):
    kinds = [(kind, state) for node in nodes for kind, state in node["types"].items()]
    return [(kind, state["resource"], state["error"]) for kind, state in kinds if state["state"] == "nacked"]
