"""What becomes of a request whose first provider does not answer."""

import json
import threading
from collections import Counter

import pytest

from conftest import FAR_CREDENTIAL, KEY, openai_client
from harness import raw
from harness.sim import Sim, fresh

SPARE_CREDENTIALS = ["sk-spare-1-0a11c4", "sk-spare-2-93be77"]


@pytest.fixture(scope="module")
def steady(logs):
    """The provider that always answers."""
    sim = Sim(logs, "--api-key", FAR_CREDENTIAL, "--base-path", "/deep/llm", "--steady", name="steady")
    yield sim
    sim.stop()


@pytest.fixture(scope="module")
def pooled(logs):
    """A provider that accepts the second of its two credentials only."""
    sim = Sim(logs, "--api-key", SPARE_CREDENTIALS[1], "--steady", name="pooled")
    yield sim
    sim.stop()


@pytest.fixture(scope="module")
def failover(start_gateway, steady, pooled):
    """A gateway of models with several targets."""
    return start_gateway("failover", change=lambda config: add_models(config, steady, pooled), secrets=SECRETS)


SECRETS = {"SPARE_1": SPARE_CREDENTIALS[0], "SPARE_2": SPARE_CREDENTIALS[1]}


def add_models(config, steady, pooled):
    # What one test does to a provider is nothing to the next test.
    config["gateway"]["cooling"] = {"failures": 0}
    config["secrets"] |= {"spare-1": {"env": "SPARE_1"}, "spare-2": {"env": "SPARE_2"}}
    config["providers"] += [
        {"name": "steady", "upstream": f"{steady.url}/deep/llm", "credentials": ["far"], "http2": True},
        {"name": "pooled", "upstream": f"{pooled.url}/v1", "credentials": ["spare-1", "spare-2"]},
    ]
    first, last = {"provider": "near", "model": "near-model"}, {"provider": "steady", "model": "a-longer-name-there"}
    config["models"] += [
        {"name": "safe", "targets": [first, last | {"priority": 1}], "timeouts": {"first_token": "400ms"}},
        {"name": "hopeless", "targets": [first, {"provider": "near", "model": "other", "priority": 1}]},
        {"name": "split", "targets": [first | {"weight": 3}, last]},
        {"name": "pool", "targets": [{"provider": "pooled"}]},
    ]


def ask(gateway, tag, body, headers=()):
    with raw.Connection(gateway.port) as connection:
        fields = [("host", "gateway.test"), ("authorization", f"Bearer {KEY}"), ("content-type", "application/json")]
        connection.head("POST", "/v1/chat/completions", [*fields, ("content-length", len(body)), ("sim-tag", tag), *headers])
        connection.send(body.encode())
        return connection.answer()


def small(model, stream=False):
    return json.dumps({"model": model, "stream": stream, "messages": [{"role": "user", "content": "Hi there"}]})


@pytest.mark.parametrize("status", [400, 403, 404, 422])
def test_what_the_client_did_wrong_is_not_tried_elsewhere(failover, near, steady, status):
    tag = fresh()
    assert ask(failover, tag, small("safe"), [("sim-status", status)]).status == status
    assert (len(near.seen(tag)), len(steady.seen(tag))) == (1, 0)


def test_a_client_has_the_last_error_when_all_have_failed(failover, near):
    tag = fresh()
    answer = ask(failover, tag, small("hopeless"), [("sim-status", "503")])
    assert (answer.status, len(near.seen(tag))) == (503, 2)
    assert [json.loads(seen.body)["model"] for seen in near.seen(tag)] == ["near-model", "other"]
    assert answer.json()["error"]["message"]


@pytest.mark.parametrize("stream", [False, True], ids=["whole", "stream"])
def test_an_error_in_a_200_is_an_error_to_the_client_when_all_have_failed(failover, near, stream):
    tag = fresh()
    answer = ask(failover, tag, small("hopeless", stream), [("sim-error-in-200", "1")])
    assert (answer.status, len(near.seen(tag))) == (502, 2)
    assert answer.error()["type"] == "server_error"


def test_nothing_is_tried_again_once_the_client_has_a_part_of_the_answer(failover, near, steady):
    tag = fresh()
    with openai_client(failover, KEY) as client, pytest.raises(Exception):
        list(
            client.chat.completions.create(
                model="safe",
                messages=[{"role": "user", "content": "one two three four"}],
                stream=True,
                extra_headers={"sim-tag": tag, "sim-reset-after-chunks": "2"},
            )
        )
    assert (len(near.seen(tag)), len(steady.seen(tag))) == (1, 0)


def test_targets_of_one_priority_share_the_requests_by_weight(failover, near, steady):
    tag = fresh()
    for _ in range(120):
        assert ask(failover, tag, small("split")).status == 200
    counts = Counter({"near": len(near.seen(tag)), "steady": len(steady.seen(tag))})
    assert counts.total() == 120
    assert 60 <= counts["near"] <= 112, counts


def test_each_of_one_priority_stands_in_for_the_other(failover, near, steady):
    tag = fresh()
    for _ in range(20):
        assert ask(failover, tag, small("split"), [("sim-status", "503")]).status == 200
    assert len(steady.seen(tag)) == 20 and near.seen(tag)


def test_the_credentials_of_a_provider_are_a_pool_that_outlives_one_of_them(failover, pooled):
    tag = fresh()
    assert {ask(failover, tag, small("pool")).status for _ in range(30)} == {200}
    used = Counter(seen.header("authorization") for seen in pooled.seen(tag))
    revoked, valid = (f"Bearer {credential}" for credential in SPARE_CREDENTIALS)
    assert used[valid] == 30 and 1 <= used[revoked] < 30, used


def test_a_client_cannot_choose_the_target(failover, near, steady):
    for name, value in [
        ("x-weir-route", "safe#1"),
        ("x-weir-retry", "1"),
        ("x-envoy-retry-on", "4xx"),
        ("x-envoy-max-retries", "9"),
        ("x-envoy-upstream-rq-per-try-timeout-ms", "1"),
    ]:
        tag = fresh()
        assert ask(failover, tag, small("safe"), [(name, value)]).status == 200
        assert (len(near.seen(tag)), len(steady.seen(tag))) == (1, 0), name


def test_a_model_more_or_less_breaks_no_request_of_another(failover, near):
    tag = fresh()
    with openai_client(failover, KEY) as client:
        stream = client.chat.completions.create(
            model="safe",
            messages=[{"role": "user", "content": "one two three"}],
            stream=True,
            extra_headers={"sim-tag": tag, "sim-hold": tag},
        )
        first = next(stream)
        target = {"provider": "near", "model": "third", "priority": 2}
        failover.edit_config(lambda config: next(m for m in config["models"] if m["name"] == "safe")["targets"].append(target))
        near.release(tag)
        rest = "".join(chunk.choices[0].delta.content or "" for chunk in stream if chunk.choices)
        assert "three" in rest and first


def test_targets_come_and_go_under_traffic(failover, near):
    """Every request is finished by the router or fitted by the cluster, never both and never neither."""
    done, statuses, tag = threading.Event(), Counter(), fresh()

    def ask_on():
        while not done.is_set():
            statuses[ask(failover, tag, small("safe-if-alone")).status] += 1

    asking = [threading.Thread(target=ask_on) for _ in range(4)]
    model = {"name": "safe-if-alone", "targets": [{"provider": "alone", "model": "mine"}]}
    provider = {"name": "alone", "upstream": f"{near.url}/v1", "credentials": ["near"]}
    failover.edit_config(lambda config: (config["providers"].append(provider), config["models"].append(model)))
    for thread in asking:
        thread.start()
    try:
        for _ in range(10):
            failover.edit_config(lambda config: config["models"][-1]["targets"].append({"provider": "near", "model": "spare", "priority": 1}))
            failover.edit_config(lambda config: config["models"][-1]["targets"].pop())
    finally:
        done.set()
        for thread in asking:
            thread.join()
    assert set(statuses) == {200} and statuses[200] > 20, statuses
    assert {json.loads(seen.body)["model"] for seen in near.seen(tag)} == {"mine"}
    assert {seen.path for seen in near.seen(tag)} == {"/v1/chat/completions"}
