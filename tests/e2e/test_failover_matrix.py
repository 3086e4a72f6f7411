"""Each way in which a provider can fail, times streams and lengths of bodies: who answers, who received what, what the client got."""

import itertools
import json
import re

import pytest

from conftest import FAR_CREDENTIAL, KEY, NEAR_CREDENTIAL
from harness import raw
from harness.process import free_port, until
from harness.sim import Sim, fresh
from test_failover import ask, small

KB = 1000
# Half of it would be kept anyway while a model is looked for; this says that the setting is what counts.
REPLAY_LIMIT = 700 * KB
SIZES = {"small": 100, "large": 600 * KB, "above the limit": 800 * KB}

# What the first provider does, and what the client gets if no other is asked. A reset may overtake the head before it;
# a connection may be refused before or after more of the body has come than is kept.
CAUSES = {
    "401": ([("sim-status", "401")], {401}),
    "429": ([("sim-status", "429")], {429}),
    "500": ([("sim-status", "500")], {500}),
    "503": ([("sim-status", "503")], {503}),
    "503 of an overloaded Envoy": ([("sim-status", "503"), ("sim-header", "x-envoy-overloaded=true")], {503}),
    "429 of an Envoy's rate limit": ([("sim-status", "429"), ("sim-header", "x-envoy-ratelimited=true")], {429}),
    "refused": ([], {503, 507}),
    "reset": ([("sim-reset-after-chunks", "0")], {502, 503}),
    "no first token": ([("sim-first-token-delay-ms", "60000")], {504}),
    "idle": ([("sim-first-token-delay-ms", "60000")], {504}),
    "error as the body of a 200": ([("sim-error-in-200", "0")], {502}),
    "error as the first event of a 200": ([("sim-error-in-200", "1")], {502}),
    "nothing in a 200": ([("sim-end-after-chunks", "0")], {502}),
}
TIMEOUTS = {"no first token": {"first_token": "800ms"}, "idle": {"idle": "800ms"}}
CELLS = [cell for cell in itertools.product(CAUSES, [False, True], SIZES) if cell[:2] != ("error as the first event of a 200", False)]


def name_of(cell):
    """The cell's model; each has a first provider of its own, so none is cooling because of another cell."""
    return f"m{CELLS.index(cell)}"


@pytest.fixture(scope="module")
def steady(logs):
    """The provider that always answers."""
    sim = Sim(logs, "--api-key", FAR_CREDENTIAL, "--base-path", "/deep/llm", "--steady", name="matrix-steady")
    yield sim
    sim.stop()


@pytest.fixture(scope="module")
def matrix(start_gateway, near, steady):
    def change(config):
        config["gateway"]["cooling"] = {"failures": 1, "time": "1h"}
        config["gateway"]["limits"]["replay_body"] = REPLAY_LIMIT
        config["providers"].append({"name": "steady", "upstream": f"{steady.url}/deep/llm", "credentials": ["far"], "http2": True})
        gone = f"http://127.0.0.1:{free_port()}/v1"
        for cell in CELLS:
            name, upstream = name_of(cell), gone if cell[0] == "refused" else f"{near.url}/v1"
            config["providers"].append({"name": name, "upstream": upstream, "credentials": ["near"]})
            targets = [{"provider": name, "model": "near-model"}, {"provider": "steady", "model": "a-longer-name-there", "priority": 1}]
            config["models"].append({"name": name, "targets": targets, "timeouts": TIMEOUTS.get(cell[0], {})})
        config["providers"].append({"name": "pool", "upstream": f"{steady.url}/deep/llm", "credentials": ["near", "far"]})
        config["models"].append({"name": "pool", "targets": [{"provider": "pool"}]})
        config["models"] += [{"name": f"slow-{limit}", "targets": [{"provider": "near"}], "timeouts": {limit: "600ms"}} for limit in ("idle", "total")]
        targets = [{"provider": "steady", "model": "a"}, {"provider": "near", "priority": 1}]
        config["models"] += [{"name": name, "targets": targets} for name in ("logged-large", "logged-above", "model-last")]

    return start_gateway("matrix", change=change)


@pytest.mark.parametrize("cell", CELLS, ids=lambda cell: f"{cell[0]}-{'stream' if cell[1] else 'whole'}-{cell[2]}")
def test_a_provider_that_fails_is_stood_in_for_as_long_as_the_body_can_be_sent_again(matrix, near, steady, cell):
    (cause, stream, size), model, tag = cell, name_of(cell), fresh()
    headers, statuses = CAUSES[cause]
    question = "x" * SIZES[size]
    body = json.dumps({"model": model, "stream": stream, "messages": [{"role": "user", "content": question}]})
    answer = ask(matrix, tag, body, headers)
    if cause != "refused":
        first = near.one(tag)
        assert (first.path, first.header("host")) == ("/v1/chat/completions", f"127.0.0.1:{near.port}")
        assert first.header("authorization") == f"Bearer {NEAR_CREDENTIAL}"
        assert without_room(first.body) == sent(body, model, "near-model")
    if SIZES[size] > REPLAY_LIMIT:
        assert answer.status in statuses and answer.error()["message"]
        assert (answer.headers["x-weir-attempts"], steady.seen(tag)) == ("1", [])
        return the_next_goes_past_it(matrix, near, steady, body, headers)
    assert (answer.status, answer.headers["x-weir-attempts"]) == (200, "2")
    assert question[:100] in answer.body.decode()
    last = steady.one(tag)
    assert (last.path, last.header(":authority")) == ("/deep/llm/chat/completions", f"127.0.0.1:{steady.port}")
    assert last.header("authorization") == f"Bearer {FAR_CREDENTIAL}" and NEAR_CREDENTIAL not in str(last.headers)
    assert without_room(last.body) == sent(body, model, "a-longer-name-there")
    if cause != "refused":
        assert fields(last) == fields(first)
    assert not [name for name, _ in last.headers if name.startswith("x-weir-")]
    the_next_goes_past_it(matrix, near, steady, body, headers)


def the_next_goes_past_it(matrix, near, steady, body, headers):
    """The provider that has failed is cooling, so the same request reaches the other at once, however long it is."""

    def goes_past():
        tag = fresh()
        answer = ask(matrix, tag, body, headers)
        return (answer.status, answer.headers["x-weir-attempts"], len(near.seen(tag)), len(steady.seen(tag))) == (200, "1", 0, 1)

    # A failure of the last one asked is told when its request has ended, and the client may be quicker.
    until(goes_past, "only the other is asked")


@pytest.mark.parametrize("size, replay", [("large", None), ("above the limit", "too_large")])
def test_the_access_log_says_which_body_could_not_be_sent_again(matrix, size, replay):
    model = f"logged-{size.split()[0]}"
    assert ask(matrix, fresh(), small(model).replace("Hi there", "x" * SIZES[size])).status == 200
    lines = lambda: [line for line in matrix.access_log().splitlines() if f'"model":"{model}"' in line]
    line = json.loads(until(lines, "a line is written")[0])
    assert (line["replay"], line["attempts"]) == (replay, 1)


def test_a_credential_that_is_refused_is_left_alone(matrix, steady):
    tag = fresh()
    answers = [ask(matrix, tag, small("pool")) for _ in range(10)]
    assert [(answer.status, answer.headers["x-weir-provider"]) for answer in answers] == [(200, "pool")] * 10
    used = [seen.header("authorization") for seen in steady.seen(tag)]
    assert used.count(f"Bearer {FAR_CREDENTIAL}") == 10 and used.count(f"Bearer {NEAR_CREDENTIAL}") <= 1


@pytest.mark.parametrize("limit, delay", [("idle", "60000"), ("total", "50")])
def test_a_stream_that_takes_too_long_ends_at_both_sides(matrix, near, limit, delay):
    tag = fresh()
    body = json.dumps({"model": f"slow-{limit}", "stream": True, "max_tokens": 200, "messages": [{"role": "user", "content": "Hi"}]})
    with raw.Connection(matrix.port) as connection:
        headers = [("authorization", f"Bearer {KEY}"), ("content-length", len(body)), ("sim-tag", tag), ("sim-token-delay-ms", delay)]
        connection.head("POST", "/v1/chat/completions", [("host", "gateway.test"), *headers])
        connection.send(body.encode())
        received = connection.until_closed()
    assert received.startswith(b"HTTP/1.1 200") and b"[DONE]" not in received
    (seen,) = near.wait_for(tag, "client_gone")
    assert "response_complete" not in seen.events


def test_what_is_kept_for_another_target_limits_nothing_else(matrix, steady):
    """A body whose model comes last is held for it, and may be longer than what is sent again."""
    tag, filler = fresh(), "x" * SIZES["above the limit"]
    assert ask(matrix, tag, json.dumps({"messages": [{"role": "user", "content": filler}], "model": "model-last"})).status == 200
    assert filler in steady.one(tag).body.decode()


def fields(seen):
    """The names of the header fields of a request that have nothing to do with the version of HTTP."""
    return {name for name, _ in seen.headers if not name.startswith(":")} - {"host", "transfer-encoding"}


def without_room(body):
    """A body without the room that a long one has before its end for the question for a stream's usage."""
    return re.sub(" *}$", "}", body.decode())


def sent(body, model, name):
    """What an upstream that calls the model `name` receives: the body with that, and asked for the usage of a stream."""
    renamed = body.replace(f'"{model}"', f'"{name}"')
    return renamed[:-1] + ',"stream_options":{"include_usage":true}}' if json.loads(body)["stream"] else renamed
