"""The simulated model server, and what it saw."""

import base64
import itertools
import re

import httpx

from .process import Process, built

_tags = itertools.count()


def fresh(prefix="t"):
    """A name that nothing else uses: for tags and holds."""
    return f"{prefix}-{next(_tags)}"


class Seen:
    """One request as the model server saw it."""

    def __init__(self, record):
        self.method, self.path, self.version = record["method"], record["path"], record["version"]
        self.headers = [(name, value) for name, value in record["headers"]]
        self.body = base64.b64decode(record["body_base64"])
        self.events = [event["event"] for event in record["events"]]

    def header(self, name):
        """The only value of a header, or None."""
        values = [value for key, value in self.headers if key == name]
        assert len(values) < 2, f"{name} was sent {len(values)} times"
        return values[0] if values else None


class Sim:
    """A model server. `Sim(logs, "--base-path", "/v1")`; see `sim-upstream --help`."""

    def __init__(self, logs, *flags, name="sim"):
        self.process = Process(name, [built("SIM_BIN", "sim-upstream"), *flags], logs)
        listening = re.compile(r"listening on (http://\S+)\n")
        self.process.wait_until(lambda: listening.search(self.process.text()), "says where it listens")
        self.url = listening.search(self.process.text()).group(1)
        self.port = int(self.url.rsplit(":", 1)[1])
        self._http = httpx.Client(base_url=self.url, timeout=30)

    def seen(self, tag):
        """Every request with this `sim-tag`, oldest first."""
        return [Seen(record) for record in self._http.get("/sim/requests", params={"tag": tag}).json()]

    def one(self, tag):
        """The only request with this tag."""
        (seen,) = self.seen(tag)
        return seen

    def wait_for(self, tag, event, count=1, seconds=10):
        """Waits until `count` requests with this tag have the event; returns them all."""
        params = {"tag": tag, "wait_for": event, "count": count, "timeout_ms": seconds * 1000}
        answer = self._http.get("/sim/requests", params=params)
        seen = [Seen(record) for record in answer.json()]
        assert answer.status_code == 200, f"no {event!r} for {tag}: {[request.events for request in seen]}"
        return seen

    def release(self, name):
        """Lets go what holds under this `sim-hold`."""
        self._http.post(f"/sim/release/{name}").raise_for_status()

    def stop(self):
        self._http.close()
        self.process.stop()
