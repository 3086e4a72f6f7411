"""A filter that traps: what the client gets, that nobody passes unseen afterwards, and what stays charged.

The modules are those that trap on demand; a header says where in the life of its request."""

import threading
from collections import Counter

import httpx
import pytest

from harness.gateway import Gateway, key, model
from harness.process import modules_dir, until
from harness.sim import Sim

WORDS = [{"role": "user", "content": "one two three four five six seven eight nine ten"}]
RPM, BUDGET, ANSWER, STREAMS = 80, 100_000, 50, 8
# What a request uses, and what it reserves at most: the longest answer, and a prompt of some 120 bytes with its JSON.
USED, RESERVED = 10 + ANSWER, 40 + ANSWER


def secret(name):
    return f"wk-trap-{name}-51f0ce"


def quota(name, limits):
    return {"name": f"t-{name}", "match": {"key": name}, "limits": limits}


class Asking:
    """Callers of a gateway whose quota traps on demand. `served` counts the answers of each key."""

    def __init__(self, gateway):
        self.gateway, self.served = gateway, Counter()

    def post(self, name, trap=None):
        """Asks once, over a connection that any worker may take; returns the status."""
        headers = {"authorization": f"Bearer {secret(name)}"} | ({"weir-test-trap": trap} if trap else {})
        body = {"model": "chat", "messages": WORDS, "max_tokens": ANSWER}
        url = f"{self.gateway.base_url}/chat/completions"
        status = httpx.post(url, headers=headers, json=body, timeout=10).status_code
        self.served[name] += status == 200
        return status

    def wait_until_whole(self, name):
        """A VM is made anew by the next request, but not more than once a second; until then its requests get 503."""
        seen = []
        until(lambda: seen.append(self.post(name)) or seen[-8:] == [200] * 8, "all workers serve again", 30)
        assert set(seen) <= {200, 503}, seen

    def trap(self, name, where):
        """Has a request trap its worker's VM; returns what the client got."""
        self.wait_until_whole(name)
        before, got = self.traps(), self.post(name, where)
        until(lambda: self.traps() == before + 1, "the trap is logged")
        return got

    def traps(self):
        return self.gateway.envoy_log().count("Uncaught RuntimeError: unreachable")

    def budget(self):
        """What the ledger has charged to the budget, once it has been told of all there was until now."""
        # Whoever is asked is reported; a report that was under way need not have the last of it.
        self.wait_until_whole("wide")
        before = self.stat("ledger_calls_total")
        until(lambda: self.stat("ledger_calls_total") >= before + 2, "two reports", 30)
        authorized = {"authorization": f"Bearer {self.gateway.admin_token}"}
        answer = httpx.get(f"{self.gateway.api_url}/v1/quotas/t-budget/state", headers=authorized, timeout=10)
        counters = answer.raise_for_status().json()["counters"]
        return sum(counter["limits"]["tokens_per_month"]["used"] for counter in counters)

    def stat(self, counter):
        return sum(self.gateway.stats(f"weir.quota.{counter}").values())


@pytest.fixture(scope="module")
def asking(logs):
    """A trap is no failure of this gateway, so it is not among the others."""
    sim = Sim(logs / "trap-sim", name="trap")
    config = {
        "keys": [key(secret(name), name) for name in ("rate", "budget", "wide")],
        "providers": [{"name": "near", "upstream": f"{sim.url}/v1"}],
        "models": [model("chat", "near")],
        "quotas": [
            quota("rate", {"rpm": RPM}),
            quota("budget", {"tokens_per_month": BUDGET}),
            quota("wide", {"rpm": 100_000}),
        ],
    }
    gateway = Gateway(logs / "trap", config, modules=modules_dir() / "counted", store=True)
    yield Asking(gateway)
    gateway.stop()
    sim.stop()


def test_nobody_passes_unseen_when_the_filter_traps(asking):
    assert [asking.trap("rate", where) for where in ("head", "admitted", "answer")] == [503, 503, 503]
    seen = []
    until(lambda: seen.append(asking.post("rate")) or seen[-8:] == [429] * 8, "the limit holds at all workers", 30)
    print(f"rpm {RPM}: {asking.served['rate']} served, {seen.count(503)} got 503 while a VM was made anew")
    assert set(seen) <= {200, 429, 503}
    # The two that had reserved count for their minute.
    assert asking.served["rate"] == RPM - 2
    assert sum(asking.gateway.stats(r"^wasm\.weir\.quota\.vm_reload_success").values()) >= 2


def test_a_budget_stays_charged_with_what_was_reserved_when_the_filter_trapped(asking):
    assert [asking.trap("budget", where) for where in ("head", "admitted", "answer")] == [503, 503, 503]
    before = asking.budget()
    charged = before - USED * asking.served["budget"]
    print(f"two requests of {USED} tokens that trapped stay charged with {charged}")
    assert 2 * ANSWER < charged <= 2 * RESERVED

    begun, whole = threading.Barrier(STREAMS + 1, timeout=20), []
    threads = [threading.Thread(target=stream, args=(asking, begun, whole)) for _ in range(STREAMS)]
    for thread in threads:
        thread.start()
    begun.wait()
    assert asking.post("wide", "head") == 503
    for thread in threads:
        thread.join(30)
    cut = whole.count(False)
    charged = asking.budget() - before - USED * (STREAMS - cut)
    print(f"{cut} of {STREAMS} streams were cut beside a trap and stay charged with {charged} tokens")
    assert len(whole) == STREAMS and cut > 0
    assert cut * ANSWER < charged <= cut * RESERVED


def stream(asking, begun, whole):
    """Asks for a stream, waits until all have one, and says whether it has come to its end."""
    headers = {"authorization": f"Bearer {secret('budget')}", "sim-token-delay-ms": "100"}
    body = {"model": "chat", "messages": WORDS, "stream": True, "max_tokens": ANSWER}
    url = f"{asking.gateway.base_url}/chat/completions"
    with httpx.stream("POST", url, headers=headers, json=body, timeout=30) as answer:
        lines = answer.iter_lines()
        next(lines)
        begun.wait()
        try:
            whole.append("data: [DONE]" in list(lines))
        except httpx.RemoteProtocolError:
            whole.append(False)
