"""What a model needs at its upstream, and what a client sees of it."""

import json

import openai
import pytest

from conftest import KEY, openai_client
from harness.process import until
from harness.sim import Sim, fresh

AZURE_KEY = "azure-4c81e0d7b2"
HELLO = [{"role": "user", "content": "hello"}]


@pytest.fixture(scope="module")
def azure(logs):
    """A model server whose deployments stand in the path."""
    sim = Sim(logs, "--api-key", AZURE_KEY, "--base-path", "/openai/deployments/gpt-prod", name="azure")
    yield sim
    sim.stop()


@pytest.fixture(scope="module")
def gateway(start_gateway, azure):
    """Models with rules of their own, and a provider with a profile."""

    def change(config):
        config["secrets"]["azure"] = {"env": "AZURE"}
        config["providers"].append(
            {"name": "cloud", "profile": "azure", "upstream": f"{azure.url}/openai", "credentials": ["azure"]}
        )
        near = {"provider": "near", "model": "near-model"}
        rules = {"drop": ["logit_bias"], "clamp": {"max_tokens": 4}, "refuse": ["logprobs"]}
        config["models"] += [
            {"name": "gpt", "targets": [{"provider": "cloud", "model": "gpt-prod"}]},
            {"name": "thinker", "targets": [near], "compat": {"think": "reasoning_content"}},
            {"name": "mute", "targets": [near], "compat": {"think": "strip"}},
            {"name": "tamed", "targets": [near], "compat": {"params": rules, "roles": {"developer": "system"}}},
        ]

    return start_gateway("compat", change=change, secrets={"AZURE": AZURE_KEY})


@pytest.fixture(scope="module")
def client(gateway):
    return openai_client(gateway, KEY)


def ask(client, model, tag=None, messages=HELLO, **more):
    headers = {"sim-tag": tag or fresh(), **more.pop("headers", {})}
    return client.chat.completions.create(model=model, messages=messages, extra_headers=headers, **more)


@pytest.mark.parametrize("shape", ["tags", "reasoning"])
def test_thoughts_stream_where_the_client_looks_for_them(client, shape):
    def parts(model):
        events = list(ask(client, model, stream=True, headers={"sim-think": shape}))
        assert {event.model for event in events} == {model}
        deltas = [event.choices[0].delta for event in events]
        thought = "".join(getattr(delta, "reasoning_content", None) or "" for delta in deltas)
        return thought, "".join(delta.content or "" for delta in deltas)

    assert parts("thinker") == ("let me see", "You said: hello")
    assert parts("mute") == ("", "You said: hello")


@pytest.mark.parametrize("shape", ["tags", "reasoning"])
def test_thoughts_of_a_whole_answer_are_apart(client, shape):
    answer = ask(client, "thinker", headers={"sim-think": shape})
    message = answer.choices[0].message
    assert (answer.model, message.reasoning_content, message.content) == ("thinker", "let me see", "You said: hello")


def test_only_who_asks_hears_of_usage_and_it_is_known_in_any_case(gateway, client, near):
    for asked in (False, True):
        tag = fresh()
        options = {"stream_options": {"include_usage": True}} if asked else {}
        events = list(ask(client, "same-name", tag, stream=True, **options))
        assert all(event.choices for event in events[: -1 if asked else None])
        assert (events[-1].usage.total_tokens if asked else events[-1].usage) == (4 if asked else None)
        assert json.loads(near.one(tag).body)["stream_options"] == {"include_usage": True}
        told = {"input_tokens": 1, "output_tokens": 3, "usage_source": "upstream", "finish_reason": "stop"}
        line = until(lambda: logged(gateway, "same-name", asked), "a line of the access log")
        assert {name: line[name] and type(told[name])(line[name]) for name in told} == told
        assert line["first_token_ms"] is not None


def logged(gateway, model, nth):
    lines = [line for line in map(json.loads, gateway.access_log().splitlines()) if line["model"] == model]
    return lines[nth] if len(lines) > nth else None


def test_a_request_becomes_what_the_rules_of_its_model_say(client, near):
    tag = fresh()
    messages = [{"role": "developer", "content": "Be brief."}, *HELLO]
    answer = ask(client, "tamed", tag, messages, max_tokens=50, logit_bias={"1": 2})
    assert answer.usage.completion_tokens == 4
    sent = {"messages": [messages[0] | {"role": "system"}, *HELLO], "model": "near-model", "max_tokens": 4}
    assert json.loads(near.one(tag).body) == sent
    with pytest.raises(openai.BadRequestError) as refused:
        ask(client, "tamed", logprobs=True)
    assert refused.value.code == "unsupported_parameter" and "`logprobs`" in refused.value.message


def test_a_body_that_rules_would_edit_and_nobody_can_hold_is_refused(client):
    with pytest.raises(openai.APIStatusError) as refused:
        ask(client, "tamed", messages=[{"role": "user", "content": "x" * 1_200_000}])
    assert refused.value.status_code == 413


def test_azure_is_called_at_its_deployment_with_a_key_of_its_own_header(client, azure):
    tag = fresh()
    answer = ask(client, "gpt", tag, stream=True)
    assert "".join(event.choices[0].delta.content or "" for event in answer) == "You said: hello"
    seen = azure.one(tag)
    assert seen.path == "/openai/deployments/gpt-prod/chat/completions?api-version=2024-10-21"
    assert (seen.header("api-key"), seen.header("authorization")) == (AZURE_KEY, None)


def test_a_rule_that_changes_is_in_force_with_its_model(gateway, client, near):
    def change(config):
        (model,) = [model for model in config["models"] if model["name"] == "tamed"]
        model["compat"]["params"]["drop"] = ["user"]
        model["targets"][0]["model"] = "newer"

    def sent():
        tag = fresh()
        ask(client, "tamed", tag, user="u", logit_bias={"1": 2})
        body = json.loads(near.one(tag).body)
        return body["model"], "user" in body, "logit_bias" in body

    assert sent() == ("near-model", True, False)
    gateway.edit_config(change, wait=False)
    seen = set()
    until(lambda: seen.add(sent()) or ("newer", False, True) in seen, "the change is in force")
    assert seen <= {("near-model", True, False), ("newer", False, True)}
