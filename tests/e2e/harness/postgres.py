"""A PostgreSQL server of a test's own."""

import os
import shutil
import signal
import subprocess
from pathlib import Path

from .process import Process, connects, free_port, until

# Whom it runs as where the tests run as root, which it refuses to: `nobody`.
NOBODY = 65534


class Postgres:
    """A server with TLS for whoever wants it; every password is right."""

    def __init__(self, folder, certificate, key):
        self.port, self._folder, self._data = free_port(), folder, folder / "data"
        self._data.mkdir(parents=True)
        self._as = {"user": NOBODY, "group": NOBODY, "extra_groups": []} if os.geteuid() == 0 else {}
        if self._as:
            os.chown(self._data, NOBODY, NOBODY)
            # Folders of pytest are its user's alone.
            for parent in [folder, *folder.parents][:4]:
                parent.chmod(parent.stat().st_mode | 0o011)
        options = ["--username=weir", "--auth=trust", "--encoding=UTF8", "--locale=C", "--no-sync"]
        self._run("initdb", *options)
        for source, name in ((certificate, "server.crt"), (key, "server.key")):
            shutil.copy(source, self._data / name)
            (self._data / name).chmod(0o600)
            if self._as:
                os.chown(self._data / name, NOBODY, NOBODY)
        self.start()
        until(lambda: self._run("createdb", "--host=127.0.0.1", f"--port={self.port}", "--username=weir", "weir", data=False), "it has a database")

    def start(self):
        """Starts it, again if it was stopped."""
        settings = ["listen_addresses=127.0.0.1", "unix_socket_directories=", "fsync=off", "ssl=on", "shared_buffers=8MB"]
        command = [programs() / "postgres", "-D", self._data, "-p", self.port]
        command += [part for setting in settings for part in ("-c", setting)]
        self._server = Process("postgres", command, self._folder, **self._as)
        self._server.wait_until(lambda: connects(self.port), "listens")

    def stop(self):
        """Stops it at once, and ends every connection."""
        self._server.send(signal.SIGINT)
        self._server.ends_with(20)

    def kill(self):
        """Ends it as a crash does."""
        self._server.send(signal.SIGQUIT)
        self._server.ends_with(20)

    def url(self, host="127.0.0.1", password="hunter2", **parameters):
        """Where it is, for `weir serve --store`."""
        query = "&".join(f"{name}={value}" for name, value in parameters.items())
        return f"postgres://weir:{password}@{host}:{self.port}/weir" + (f"?{query}" if query else "")

    def _run(self, program, *arguments, data=True):
        command = [programs() / program, *(["-D", self._data] if data else []), *arguments]
        return subprocess.run(command, check=True, capture_output=True, timeout=60, cwd=self._folder, **self._as)


def programs():
    """The folder of the newest PostgreSQL that is installed."""
    found = sorted(Path("/usr/lib/postgresql").glob("*/bin/initdb"), reverse=True)
    found += [Path(path)] if (path := shutil.which("initdb")) else []
    if not found:
        raise FileNotFoundError("PostgreSQL is missing: tests/servers.sh installs it, or says how")
    return found[0].parent
