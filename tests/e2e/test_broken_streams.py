"""An upstream that dies after the client has a part of its answer: nothing looks whole, and nothing is asked again."""

import json

import anthropic
import httpx
import openai
import pytest

from conftest import KEY, openai_client
from harness.gateway import model
from harness.process import until
from harness.sim import fresh
from test_protocols import anthropic_client, hello

# What each provider speaks; `far` is HTTP/2.
UPSTREAMS = {"c": ["chat"], "m": ["messages"], "g": ["gemini"], "r": ["responses"]}
INCOMPLETE = "upstream_incomplete"

every_upstream = pytest.mark.parametrize("name", [*UPSTREAMS, "far-c"])


@pytest.fixture(scope="module")
def gateway(start_gateway, near):
    def change(config):
        for name, protocols in UPSTREAMS.items():
            config["providers"].append(
                {"name": name, "upstream": f"{near.url}/v1", "credentials": ["near"], "protocols": protocols}
            )
            # Nobody asks the second target once the first has answered.
            targets = [{"provider": name, "model": "sim-1"}, {"provider": "near", "model": "sim-2", "priority": 1}]
            config["models"].append({"name": name, "targets": targets})
        config["models"].append(model("far-c", "far", "sim-1"))

    return start_gateway("broken", change)


@pytest.fixture(scope="module")
def chats(gateway):
    return openai_client(gateway, KEY)


@pytest.fixture(scope="module")
def claude(gateway):
    return anthropic_client(gateway, KEY)


def cut(tag, at=4):
    """Ends a stream in the middle of what it says, without saying that it is over."""
    return {"sim-tag": tag, "sim-end-after-chunks": str(at)}


def record(gateway, name, reason):
    lines = map(json.loads, gateway.access_log().splitlines())
    return next(line for line in lines if line["model"] == name and line["finish_reason"] == reason)


@every_upstream
def test_chunks_that_break_off_end_with_an_error_and_are_charged_by_what_came(gateway, chats, near, far, name):
    tag, said = fresh(), []
    with pytest.raises(openai.APIError) as broken:
        for chunk in chats.chat.completions.create(
            model=name, messages=hello("one two three four five"), stream=True, extra_headers=cut(tag, 5)
        ):
            said.append(chunk.choices[0].delta.content or "")
    assert broken.value.code == INCOMPLETE and "".join(said).startswith("You said:")
    (far if name == "far-c" else near).one(tag)
    line = until(lambda: record(gateway, name, "error"), "the stream's record")
    assert int(line["attempts"]) == 1 and 2 <= int(line["output_tokens"]) < 7


@every_upstream
def test_messages_that_break_off_end_with_an_error(claude, name):
    with claude.messages.stream(
        model=name, max_tokens=50, messages=hello("one two three four"), extra_headers=cut(fresh())
    ) as stream:
        with pytest.raises(anthropic.APIStatusError) as broken:
            stream.get_final_message()
    assert broken.value.body["error"]["type"] == "api_error"


@every_upstream
def test_responses_that_break_off_end_with_an_error(chats, name):
    with chats.responses.stream(model=name, input="one two three four", extra_headers=cut(fresh())) as stream:
        events = list(stream)
        with pytest.raises(RuntimeError):
            stream.get_final_response()
    assert [event.sequence_number for event in events] == list(range(len(events)))
    # As an event of its own where the upstream speaks as the client, else as a response that has failed.
    code = events[-1].code if events[-1].type == "error" else events[-1].response.error.code
    assert code == INCOMPLETE
