"""A running Envoy."""

import re

import httpx

from .process import Process, connects, envoy_binary


class Envoy:
    """Envoy on a bootstrap file whose admin port and listener port are known; with `wait`, once it serves."""

    def __init__(self, bootstrap, logs, admin_port, port, wait=True, cluster="e2e"):
        self.port = port
        self.log = logs / "envoy.log"
        command = [envoy_binary(), "-c", bootstrap, "--use-dynamic-base-id", "--concurrency", "2"]
        command += ["--log-path", self.log, "--log-level", "info", "--disable-hot-restart"]
        command += ["--file-flush-interval-msec", "50"]
        command += ["--service-node", logs.name, "--service-cluster", cluster]
        self.process = Process("envoy", command, logs)
        self._admin = httpx.Client(base_url=f"http://127.0.0.1:{admin_port}", timeout=10)
        if wait:
            self.wait_until_ready()

    def wait_until_ready(self):
        """Waits until it serves; ends it if that does not come."""
        try:
            self.process.wait_until(lambda: self.is_ready() and connects(self.port), "is ready and listens", 30)
        except Exception:
            self.stop()
            raise

    def is_ready(self):
        """What a load balancer would be told."""
        return self._admin.get("/ready").status_code == 200

    def stats(self, pattern):
        """Counters and gauges whose name matches."""
        lines = self._admin.get("/stats", params={"filter": pattern}).text.splitlines()
        pairs = [re.fullmatch(r"(.+): (\d+)", line) for line in lines]
        return {pair[1]: int(pair[2]) for pair in pairs if pair}

    def filter_failures(self):
        """Counters of virtual machines that trapped and were made anew, as far as they are not zero."""
        counters = self.stats(r"^wasm\..*\.vm_reload")
        assert counters, "no filter is counted"
        return {name: value for name, value in counters.items() if value}

    def prometheus(self):
        """All metrics, as Prometheus reads them."""
        return self._admin.get("/stats/prometheus").text

    def config_dump(self):
        """The configuration Envoy runs, as text."""
        return self._admin.get("/config_dump", params={"include_eds": ""}).text

    def logs(self):
        """Everything Envoy wrote about itself."""
        return self.process.text() + (self.log.read_text(errors="replace") if self.log.exists() else "")

    def stop(self):
        self._admin.close()
        self.process.stop()
