"""Quotas that several Envoys share over the ledger, and that outlive each of them."""

import os
import signal
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta

import httpx
import pytest

from harness.envoy import Envoy
from harness.gateway import Gateway, key, model, weir
from harness.process import free_port, until
from harness.sim import Sim

KEYS = ["rate", "budget", "crash", "lost", "usage", "unused"]
# What the simulator says of the question: two words of prompt, four of answer.
USED = 6
BUDGET = 50 * USED


def secret(name):
    return f"wk-ledger-{name}-40c1aa"


def quota(name, limits, **more):
    return {"name": f"l-{name}", "match": {"key": name}, "limits": limits, **more}


@pytest.fixture(scope="module")
def fleet(logs, gateways):
    """Two Envoys at one port under one control plane; the system deals connections out to both."""
    sim = Sim(logs / "fleet-sim", name="fleet")
    config = {
        "keys": [key(secret(name), name) for name in KEYS],
        "providers": [{"name": "near", "upstream": f"{sim.url}/v1"}],
        "models": [model("chat", "near") | {"prices": {"per": 1, "input": 1, "output": 2}}],
        "quotas": [
            quota("rate", {"rpm": 40}),
            quota("budget", {"tokens_per_month": BUDGET}),
            quota("crash", {"tokens_per_month": BUDGET}),
            quota("lost", {"rpm": 20}, on_ledger_loss="deny"),
        ],
    }
    gateway = Gateway(logs / "fleet", config, store=True)
    gateways.append(gateway)
    admin = free_port()
    (logs / "fleet-2").mkdir()
    bootstrap = logs / "fleet-2/envoy.yaml"
    bootstrap.write_text(weir("bootstrap", "--xds", gateway.xds, "--admin-port", admin).stdout)
    second = Envoy(bootstrap, logs / "fleet-2", admin, gateway.port)
    yield gateway, second
    second.stop()
    sim.stop()


def authorized(gateway):
    return {"authorization": f"Bearer {gateway.admin_token}"}


def ask(gateway, name):
    """Asks once over a connection of its own; returns the status."""
    headers = {"authorization": f"Bearer {secret(name)}"}
    body = {"model": "chat", "messages": [{"role": "user", "content": "hello gateway"}], "max_tokens": 4}
    return httpx.post(f"{gateway.base_url}/chat/completions", headers=headers, json=body, timeout=20).status_code


def ask_often(gateway, name, times, at_once=8, refused=(429,)):
    with ThreadPoolExecutor(at_once) as pool:
        statuses = list(pool.map(lambda _: ask(gateway, name), range(times)))
    assert set(statuses) <= {200, *refused}, statuses
    return statuses.count(200)


def calls(envoy, counter="ledger_calls"):
    return sum(envoy.stats(f"weir.quota.{counter}_total").values())


def test_two_envoys_admit_no_more_than_one_limit(fleet):
    gateway, second = fleet
    admitted = ask_often(gateway, "rate", 120)
    print(f"limit 40, admitted {admitted}")
    assert 38 <= admitted <= 40
    both = [sum(envoy.stats("weir.quota.admitted_total").values()) for envoy in (gateway, second)]
    assert min(both) > 0, both


def test_a_budget_outlives_every_part(fleet):
    gateway, second = fleet
    admitted = ask_often(gateway, "crash", 10)
    assert admitted == 10
    gateway.kill_control_plane()
    gateway.restart_control_plane()
    gateway.wait_until_in_sync()
    # An Envoy may not have found the ledger again, and then nothing passes that it has no slice for.
    admitted += ask_often(gateway, "crash", 10, refused=(429, 503))
    # Its counts are gone with it; what it may have spent of its slice stays charged.
    os.kill(gateway._envoy.process.pid, signal.SIGKILL)
    gateway.start_envoy()
    gateway.wait_until_ready()
    admitted += ask_often(gateway, "crash", 100, at_once=2)
    print(f"budget {BUDGET} tokens, admitted {admitted * USED}")
    assert admitted * USED <= BUDGET


def test_what_was_used_is_told_by_time_and_by_whom(fleet):
    gateway, _ = fleet
    with httpx.Client(base_url=gateway.api_url, headers=authorized(gateway), timeout=10) as api:

        def used(**query):
            return api.get("/v1/usage", params={"key": "usage", **query}).raise_for_status().json()["usage"]

        assert ask_often(gateway, "usage", 12) == 12
        until(lambda: sum(row["requests"] for row in used()) == 12, "the records have come")
        (row,) = used(by="consumer,provider,model,source", bucket="day")
        dimensions = {name: row[name] for name in ("consumer", "provider", "model", "source")}
        assert dimensions == {"consumer": "usage", "provider": "near", "model": "chat", "source": "upstream"}
        assert (row["input_tokens"], row["output_tokens"], row["errors"]) == (24, 48, 0)
        assert row["cost"] == 24 * 1 + 48 * 2 and row["mean_duration_ms"] > 0
        assert api.get("/v1/usage", params={"by": "secret"}).status_code == 400
        last = datetime.fromisoformat(api.get("/v1/keys/usage").json()["last_used_at"])
        assert timedelta(0) <= datetime.now(UTC) - last < timedelta(minutes=1)
        assert "last_used_at" not in api.get("/v1/keys/unused").json()


def test_a_budget_is_shown_corrected_and_begun_anew(fleet):
    gateway, _ = fleet
    with httpx.Client(base_url=gateway.api_url, headers=authorized(gateway), timeout=10) as api:

        def budget():
            (counter,) = api.get("/v1/quotas/l-budget/state").raise_for_status().json()["counters"]
            return counter["limits"]["tokens_per_month"]

        assert ask_often(gateway, "budget", 5) == 5
        until(lambda: budget()["used"] == 5 * USED and budget()["granted"] == 0, "all is reported", 30)
        assert budget()["remaining"] == BUDGET - 5 * USED
        spend = {"limit": "tokens_per_month", "by": BUDGET - 5 * USED}
        assert api.post("/v1/quotas/l-budget/adjust", json=spend).status_code == 200
        until(lambda: ask(gateway, "budget") == 429, "nothing is left")
        assert api.post("/v1/quotas/l-budget/reset", json={}).json()["limits"]["tokens_per_month"]["used"] == 0
        until(lambda: ask(gateway, "budget") == 200, "it began anew")
        reset, adjusted = api.get("/v1/audit").json()["entries"][:2]
        assert (reset["action"], adjusted["action"]) == ("reset", "adjust")
        assert adjusted["object"] == "quotas/l-budget" and adjusted["detail"] == spend
        assert api.post("/v1/quotas/l-rate/reset", json={"limit": "rpm"}).status_code == 400


def test_a_gateway_that_has_lost_its_ledger_keeps_to_the_rule(fleet):
    gateway, second = fleet
    assert ask(gateway, "lost") == 200
    gateway.kill_control_plane()
    until(lambda: ask(gateway, "lost") == 503, "the slice has expired", 30)
    gateway.restart_control_plane()
    until(lambda: ask(gateway, "lost") == 200, "the ledger is back", 30)
