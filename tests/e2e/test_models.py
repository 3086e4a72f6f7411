"""The names a model is asked for by: aliases, wildcards, and none at all."""

import json

import openai
import pytest

from conftest import KEY, openai_client
from harness.gateway import key
from harness.process import until
from harness.sim import fresh
from test_failover import ask

NARROW = "wk-narrowed-3d90c1"
HELLO = [{"role": "user", "content": "Hi there"}]


@pytest.fixture(scope="module")
def named(start_gateway):
    def change(config):
        config["gateway"]["default_model"] = "chat"
        config["keys"].append(key(NARROW, "narrowed", models=["near/gpt-4", "chat"]))
        config["models"][0]["aliases"] = ["chat-latest", "near/alias"]
        config["models"] += [
            {"name": "near/*", "targets": [{"provider": "near", "model": "*"}]},
            {"name": "near/own-*", "targets": [{"provider": "near", "model": "n-*"}, {"provider": "far", "model": "f-*", "priority": 1}]},
            {"name": "near/exact", "targets": [{"provider": "near", "model": "one"}]},
        ]

    return start_gateway("named", change=change)


def sent(gateway, sim, model, *headers, **members):
    tag = fresh()
    members = {"messages": HELLO} | ({} if model is None else {"model": model}) | members
    answer = ask(gateway, tag, json.dumps(members), headers)
    assert answer.status == 200, answer.body
    return json.loads(sim.one(tag).body), answer


@pytest.mark.parametrize(
    "asked, name, upstream",
    [
        ("chat-latest", "chat", "chat-1.9b-instruct"),
        ("near/alias", "chat", "chat-1.9b-instruct"),
        ("near/exact", "near/exact", "one"),
        ("near/gpt-4:free", "near/gpt-4:free", "gpt-4:free"),
        ("near/own-x", "near/own-x", "n-x"),
        (None, "chat", "chat-1.9b-instruct"),
    ],
)
def test_a_name_leads_to_its_model(named, near, asked, name, upstream):
    body, answer = sent(named, near, asked)
    assert body == {"model": upstream, "messages": HELLO}
    assert (answer.headers["x-weir-model"], answer.headers["x-weir-upstream-model"]) == (name, upstream)


def test_the_next_provider_has_its_own_name_for_what_a_wildcard_stands_for(named, near, far):
    tag = fresh()
    body = json.dumps({"model": "near/own-x", "messages": HELLO})
    assert ask(named, tag, body, [("sim-status", "503")]).status == 503
    assert [json.loads(sim.one(tag).body)["model"] for sim in (near, far)] == ["n-x", "f-x"]


def test_a_stream_needs_no_model_either(named, near):
    body, _ = sent(named, near, None, stream=True)
    assert (body["model"], body["stream"]) == ("chat-1.9b-instruct", True)


def test_a_key_narrows_a_wildcard(named):
    with openai_client(named, NARROW) as client:
        assert [model.id for model in client.models.list()] == ["chat", "chat-latest", "near/alias", "near/gpt-4"]
        for model in ("near/gpt-5", "near/*", "near/exact"):
            with pytest.raises(openai.NotFoundError):
                client.chat.completions.create(model=model, messages=HELLO)
    with openai_client(named, KEY) as client:
        assert {"near/*", "near/own-*", "near/exact"} <= {model.id for model in client.models.list()}


def test_a_model_whose_name_has_a_slash_is_retrieved(named):
    with openai_client(named, KEY) as client:
        assert client.models.retrieve("near/exact").id == "near/exact"
        with pytest.raises(openai.NotFoundError):
            client.models.retrieve("../near/exact")


def test_metrics_have_a_wildcard_as_it_is_written(named, near):
    sent(named, near, "near/anything-at-all")
    labels = 'domain="default",model="near/*",provider="near",upstream_model="*",code="200"'
    until(lambda: f"envoy_weir_requests_total{{{labels}}}" in named.prometheus(), "the request is counted")
    assert "anything-at-all" not in named.prometheus()
