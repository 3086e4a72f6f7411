"""Changes of every kind, one after the other, under open streams: each takes effect, and no stream breaks.

The environment sizes it: WEIR_PUSHES changes, WEIR_STREAMS open streams, and WEIR_KEYS keys and WEIR_MODELS models that
nobody uses. With `-s` it prints how long a change took from the writing of its file until a request showed its effect.
"""

import os
import statistics
import threading
import time

import httpx
import pytest

from harness import raw
from harness.gateway import Gateway, key, model
from harness.process import until
from harness.sim import Sim, fresh

PUSHES, STREAMS = int(os.environ.get("WEIR_PUSHES", 20)), int(os.environ.get("WEIR_STREAMS", 30))
KEYS, MODELS = int(os.environ.get("WEIR_KEYS", 0)), int(os.environ.get("WEIR_MODELS", 0))
KEY = "wk-of-the-streams-0d41"
# How many clients read slow streams, one after the other, beside the streams that are held.
SLOW_READERS = 3
WORDS = "the quick brown fox jumps over the lazy dog"
# A change of these must touch neither the listener nor a connection.
UNTOUCHED = r"^listener_manager\.(listener_modified|listener_in_place_updated)$|^http\.weir\.downstream_cx_drain_close$"


def provider(name, sim, **more):
    return {"name": name, "upstream": f"{sim.url}/v1", **more}


@pytest.fixture(scope="module")
def sims(logs):
    """Two model servers that ask nobody for a key."""
    started = [Sim(logs / "push", name=name) for name in ("first", "second")]
    yield started
    for sim in started:
        sim.stop()


@pytest.fixture(scope="module")
def gateway(sims, logs, gateways, tmp_path_factory):
    """A gateway with an entry for each kind of change, and as much beside them as was asked for."""
    secret = tmp_path_factory.mktemp("secrets") / "rotating"
    secret.write_text("sk-0")
    unused = [key(f"wk-unused-{number}", f"unused-{number}", models=["unused-*"]) for number in range(KEYS)]
    patient = {"timeouts": {"idle": "24h"}}
    config = {
        "secrets": {"rotating": {"file": str(secret)}},
        "keys": [key("wk-pushed-0", "pushed"), key(KEY, "streams"), *unused],
        "providers": [
            provider("renewed-0", sims[0]),
            provider("moving", sims[0]),
            provider("steady", sims[0], credentials=["rotating"]),
        ],
        "models": [
            model("renamed-0", "steady"),
            model("renewed-0", "renewed-0"),
            model("moving", "moving"),
            model("steady", "steady") | patient,
            *(model(f"unused-{number}", "steady", f"u-{number}") for number in range(MODELS)),
        ],
    }
    gateway = Gateway(logs / "push", config)
    gateway.secret = secret
    gateways.append(gateway)
    return gateway


def chat(gateway, model, **headers):
    """Asks for an answer to one word."""
    headers = {"authorization": f"Bearer {KEY}"} | {name.replace("_", "-"): value for name, value in headers.items()}
    body = {"model": model, "messages": [{"role": "user", "content": "hello"}]}
    return httpx.post(f"{gateway.base_url}/chat/completions", json=body, headers=headers, timeout=30).status_code == 200


# Each kind of change: it writes the change of that number and returns when, and what shows its effect.


def push_key(gateway, sims, number):
    secret = f"wk-pushed-{number}"
    written = gateway.write_config(lambda config: config["keys"].__setitem__(0, key(secret, "pushed")))
    head = [("authorization", f"Bearer {secret}")]
    return written, lambda: raw.request(gateway.port, "GET", "/v1/models/steady", head).status == 200


def push_model(gateway, sims, number):
    name = f"renamed-{number}"
    written = gateway.write_config(lambda config: config["models"].__setitem__(0, model(name, "steady")))
    return written, lambda: chat(gateway, name)


def push_provider(gateway, sims, number):
    name = f"renewed-{number}"

    def renew(config):
        config["providers"][0], config["models"][1] = provider(name, sims[0]), model(name, name)

    return gateway.write_config(renew), lambda: chat(gateway, name)


def push_endpoint(gateway, sims, number):
    gateway.to = (getattr(gateway, "to", 0) + 1) % len(sims)
    sim = sims[gateway.to]
    written = gateway.write_config(lambda config: config["providers"].__setitem__(1, provider("moving", sim)))

    def arrives():
        tag = fresh("move")
        return chat(gateway, "moving", sim_tag=tag) and sim.seen(tag)

    return written, arrives


def push_secret(gateway, sims, number):
    value = f"sk-{number}"
    written = gateway.replace(gateway.secret, value)

    def arrives():
        tag = fresh("secret")
        return chat(gateway, "steady", sim_tag=tag) and sims[0].one(tag).header("authorization") == f"Bearer {value}"

    return written, arrives


KINDS = [push_key, push_model, push_provider, push_endpoint, push_secret]


class Streams:
    """Streams that are held until the end, and clients that read slow ones all the while."""

    def __init__(self, gateway, sim):
        self._gateway, self._sim, self._hold = gateway, sim, fresh("hold")
        limits = httpx.Limits(max_connections=None)
        self._http = httpx.Client(base_url=gateway.base_url, timeout=60, limits=limits)
        self._held = [self._open(sim_hold=self._hold) for _ in range(STREAMS)]
        self._over, self._read, self._broken = threading.Event(), 0, []
        self._readers = [threading.Thread(target=self._read_slowly) for _ in range(SLOW_READERS)]
        for reader in self._readers:
            reader.start()

    def _open(self, **headers):
        headers = {"authorization": f"Bearer {KEY}"} | {name.replace("_", "-"): value for name, value in headers.items()}
        body = {"model": "steady", "stream": True, "messages": [{"role": "user", "content": WORDS}]}
        request = self._http.build_request("POST", "/chat/completions", json=body, headers=headers)
        return self._http.send(request, stream=True)

    def _read_slowly(self):
        while not self._over.is_set():
            self._finish(self._open(sim_token_delay_ms="30"))
            self._read += 1

    def _finish(self, stream):
        try:
            text = stream.read().decode()
            whole = stream.status_code == 200 and WORDS.rsplit(" ")[-1] in text and text.endswith("data: [DONE]\n\n")
        except httpx.HTTPError as error:
            text, whole = repr(error), False
        if not whole:
            self._broken.append(text)

    def end(self):
        """Lets all of them end. Returns how many were read, and what came of those that broke."""
        self._over.set()
        for reader in self._readers:
            reader.join()
        self._sim.release(self._hold)
        for stream in self._held:
            self._finish(stream)
        self._http.close()
        return self._read + len(self._held), self._broken


def test_changes_of_every_kind_take_effect_and_break_no_open_stream(gateway, sims):
    before = gateway.stats(UNTOUCHED)
    assert len(before) == 3
    streams = Streams(gateway, sims[0])
    times = {push: [] for push in KINDS}
    try:
        for number in range(1, PUSHES + 1):
            push = KINDS[number % len(KINDS)]
            written, has_effect = push(gateway, sims, number)
            until(has_effect, f"effect of {push.__name__} {number}", 60, every=0.005)
            times[push].append(time.monotonic() - written)
    finally:
        read, broken = streams.end()
    report(times, read, len(broken))
    assert broken == []
    assert gateway.stats(UNTOUCHED) == before
    gateway.wait_until_in_sync()


def report(times, read, broken):
    print(f"\n{PUSHES} changes, {read} streams read, {broken} broken, {KEYS} keys and {MODELS} models beside them")
    every = sorted(one for kind in times.values() for one in kind)
    for name, seconds in [*((push.__name__, sorted(kind)) for push, kind in times.items()), ("all", every)]:
        if seconds:
            p99 = seconds[min(len(seconds) - 1, len(seconds) * 99 // 100)]
            print(f"  {name:14} p50 {statistics.median(seconds) * 1000:5.0f} ms, p99 {p99 * 1000:5.0f} ms")
