"""A Redis server of a test's own."""

import shutil
import subprocess

from .process import Process, free_port


class Redis:
    """A server that saves each change before it answers, in plain text and, at another port, over TLS."""

    def __init__(self, folder, certificate, key):
        if not shutil.which("redis-server"):
            raise FileNotFoundError("redis-server is missing: tests/servers.sh installs it, or says how")
        self._folder, self._port, self._tls_port = folder, free_port(), free_port()
        folder.mkdir(parents=True, exist_ok=True)
        self._options = ["--bind", "127.0.0.1", "--port", self._port, "--tls-port", self._tls_port, "--dir", folder]
        self._options += ["--tls-cert-file", certificate, "--tls-key-file", key, "--tls-auth-clients", "no"]
        self._options += ["--save", "", "--appendonly", "yes", "--appendfsync", "always", "--requirepass", PASSWORD]
        self.start()

    def start(self):
        """Starts it, again if it was ended."""
        self._server = Process("redis", ["redis-server", *self._options], self._folder)
        self._server.wait_until(lambda: self.ask("PING") == "PONG", "answers")

    def stop(self):
        self._server.stop()

    def kill(self):
        """Ends it as a crash does."""
        self._server.kill()

    def ask(self, *command):
        """What it says to a command."""
        command = ["redis-cli", "-p", self._port, "-a", PASSWORD, "--no-auth-warning", *command]
        return subprocess.run(list(map(str, command)), check=True, capture_output=True, text=True, timeout=10).stdout.strip()

    def url(self, authorities=None):
        """Where it is, for `weir serve --ledger`; with a file of certificate authorities over TLS."""
        if authorities:
            return f"rediss://:{PASSWORD}@localhost:{self._tls_port}?sslrootcert={authorities}"
        return f"redis://:{PASSWORD}@127.0.0.1:{self._port}"


PASSWORD = "hunter2"
