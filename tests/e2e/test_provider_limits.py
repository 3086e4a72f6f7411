"""Limits of providers: who is asked is charged, and who has no room is passed by."""

from collections import Counter

import httpx
import pytest

from harness.gateway import Gateway, key
from harness.process import until
from harness.sim import Sim

SECRET = "wk-providers-5d20e7"
# What the simulator says of the question: two words of prompt, four of answer.
USED = 6
RPM = {"first": 4, "second": 6}


@pytest.fixture(scope="module")
def limited(logs, gateways):
    """A gateway of one model at two providers, whose limits the ledger keeps."""
    sims = [Sim(logs / "provider-limits-1", name="first"), Sim(logs / "provider-limits-2", "--steady", name="second")]

    def provider(name, sim):
        limits = {"rpm": RPM[name], "tokens_per_day": 10_000}
        return {"name": name, "upstream": f"{sim.url}/v1", "limits": limits}

    config = {
        "gateway": {"cooling": {"failures": 0}},
        "keys": [key(SECRET, "only")],
        "providers": [provider(name, sim) for name, sim in zip(RPM, sims, strict=True)],
        "models": [{"name": "chat", "targets": [{"provider": "first"}, {"provider": "second", "priority": 1}]}],
    }
    gateway = Gateway(logs / "provider-limits", config, store=True)
    gateways.append(gateway)
    yield gateway
    for sim in sims:
        sim.stop()


def ask(gateway, **headers):
    headers |= {"authorization": f"Bearer {SECRET}"}
    body = {"model": "chat", "messages": [{"role": "user", "content": "hello gateway"}], "max_tokens": 4}
    return httpx.post(f"{gateway.base_url}/chat/completions", headers=headers, json=body, timeout=20)


def used(gateway, limit):
    """What the ledger knows of a limit, by provider."""
    url = f"{gateway.api_url}/v1/quotas/limits%2Fprovider/state"
    answer = httpx.get(url, headers={"authorization": f"Bearer {gateway.admin_token}"})
    counters = answer.raise_for_status().json()["counters"]
    return {counter["per"]["provider"]: counter["limits"][limit]["used"] for counter in counters}


def test_who_answers_has_the_tokens_and_who_has_no_room_is_passed_by(limited):
    answer = ask(limited, **{"sim-status": "503"})
    assert (answer.status_code, answer.headers["x-weir-provider"]) == (200, "second")
    until(lambda: used(limited, "tokens_per_day") == {"first": 0, "second": USED}, "the tokens are known", 20)
    assert used(limited, "rpm") == {"first": 1, "second": 1}
    # One request each has been made of the limits.
    answers = [ask(limited) for _ in range(10)]
    admitted = [answer for answer in answers if answer.status_code == 200]
    providers = [answer.headers["x-weir-provider"] for answer in admitted]
    assert providers == ["first"] * (RPM["first"] - 1) + ["second"] * (RPM["second"] - 1)
    assert Counter(answer.headers["x-weir-attempts"] for answer in admitted) == {"1": len(admitted)}
    refused = answers[len(admitted) :]
    assert {answer.status_code for answer in refused} == {429}
    error = refused[0].json()["error"]
    assert (error["code"], error["type"]) == ("rate_limit_exceeded", "requests")
    assert "`limits/provider`" in error["message"] and 1 <= int(refused[0].headers["retry-after"]) <= 61
