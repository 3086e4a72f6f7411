"""Changes over the API, one after the other: each is in effect as soon as it is answered, or nearly so.

The environment sizes it: WEIR_CHANGES changes, beside WEIR_KEYS keys and WEIR_MODELS models that nobody uses. With `-s` it
prints how long a change took: until the API answered it, and from then on until a request showed its effect.
"""

import os
import statistics
import time

import httpx
import pytest

from conftest import openai_client
from harness import raw
from harness.gateway import Gateway, key, model
from harness.process import until
from harness.sim import Sim, fresh

CHANGES = int(os.environ.get("WEIR_CHANGES", 12))
KEYS, MODELS = int(os.environ.get("WEIR_KEYS", 0)), int(os.environ.get("WEIR_MODELS", 0))
HELLO = [{"role": "user", "content": "hello"}]


@pytest.fixture(scope="module")
def gateway(logs, gateways):
    """A gateway whose file has nothing but where it listens."""
    gateways.append(Gateway(logs / "effect", {}, store=True))
    return gateways[-1]


@pytest.fixture(scope="module")
def api(gateway, near):
    """The API, as the administrator, with as much in it as was asked for."""
    headers = {"authorization": f"Bearer {gateway.admin_token}"}
    with httpx.Client(base_url=gateway.api_url, headers=headers, timeout=120) as api:
        document = {
            "providers": [{"name": "unused", "upstream": f"{near.url}/v1"}],
            "keys": [key(f"wk-unused-{number}", f"unused-{number}") for number in range(KEYS)],
            "models": [model(f"unused-{number}", "unused", f"u-{number}") for number in range(MODELS)],
        }
        api.post("/v1/apply", json=document).raise_for_status()
        until(lambda: in_sync(gateway), "Envoy has it", 120)
        yield api


def in_sync(gateway):
    gateway.wait_until_in_sync()
    return True


class Measured:
    """A change that was made, and how long it took."""

    def __init__(self, *calls):
        began = time.monotonic()
        self.answers = [call().raise_for_status() for call in calls]
        self.answered = time.monotonic()
        self.to_answer = self.answered - began

    def until(self, has_effect, what):
        until(has_effect, what, 60, every=0.002)
        self.to_effect = time.monotonic() - self.answered
        return self


def first_model(gateway, api, sim, number):
    """A provider, a model, a consumer and a key; then a request by OpenAI's client."""
    name = f"team-{number}"
    provider = {"name": name, "upstream": f"{sim.url}/v1"}
    change = Measured(
        lambda: api.post("/v1/providers", json=provider),
        lambda: api.post("/v1/models", json=model(name, name, "upstream")),
        lambda: api.post("/v1/consumers", json={"name": name}),
        lambda: api.post("/v1/keys", json={"id": name, "consumer": name, "models": [name]}),
    )
    client = openai_client(gateway, change.answers[-1].json()["secret"])
    change.until(lambda: client.chat.completions.create(model=name, messages=HELLO).choices, "the model answers")
    gateway.made = name, client
    return change


def other_target(gateway, api, sim, number):
    """The model is called by another name at its provider."""
    name, client = gateway.made
    change = Measured(lambda: api.put(f"/v1/models/{name}", json=model(name, name, f"to-{number}")))

    def arrives():
        tag = fresh("effect")
        client.chat.completions.create(model=name, messages=HELLO, extra_headers={"sim-tag": tag})
        return f'"to-{number}"'.encode() in sim.one(tag).body

    return change.until(arrives, "the other name arrives")


def key_made(gateway, api, sim, number):
    change = Measured(lambda: api.post("/v1/keys", json={"id": f"short-{number}"}))
    gateway.secret = change.answers[0].json()["secret"]
    return change.until(lambda: lists(gateway) == 200, "the key works")


def key_removed(gateway, api, sim, number):
    change = Measured(lambda: api.delete(f"/v1/keys/short-{number - 1}"))
    return change.until(lambda: lists(gateway) == 401, "the key works no more")


def lists(gateway):
    return raw.request(gateway.port, "GET", "/v1/models", [("authorization", f"Bearer {gateway.secret}")]).status


KINDS = [first_model, other_target, key_made, key_removed]


@pytest.fixture(scope="module")
def open_sim(logs):
    """A model server that asks nobody for a key."""
    sim = Sim(logs / "effect", name="open")
    yield sim
    sim.stop()


def test_what_is_answered_is_in_effect_for_the_next_request(gateway, api, open_sim):
    changes = {kind: [] for kind in KINDS}
    for number in range(CHANGES):
        kind = KINDS[number % len(KINDS)]
        changes[kind].append(kind(gateway, api, open_sim, number))
    report(changes)
    slowest = max(change.to_effect for kind in changes.values() for change in kind)
    assert slowest < 5, "a lost push is one that takes until the next change"


def report(changes):
    print(f"\n{CHANGES} changes, {KEYS} keys and {MODELS} models beside them: ms until answered, ms from then to effect")
    every = [change for kind in changes.values() for change in kind]
    for name, kind in [*((kind.__name__, made) for kind, made in changes.items()), ("all", every)]:
        answer, effect = (quantiles([getattr(change, what) for change in kind]) for what in ("to_answer", "to_effect"))
        print(f"  {name:14} p50 {answer[0]:5.0f}, p99 {answer[1]:5.0f}   p50 {effect[0]:5.0f}, p99 {effect[1]:5.0f}")


def quantiles(seconds):
    ordered = sorted(seconds)
    p99 = ordered[min(len(ordered) - 1, len(ordered) * 99 // 100)]
    return statistics.median(ordered) * 1000, p99 * 1000
