"""What OpenAI's own client, unmodified, gets through the gateway."""

import json

import httpx
import pytest

from conftest import KEY, NARROW_KEY, openai_client
from harness import raw
from harness.sim import fresh

HELLO = [{"role": "system", "content": "Be brief."}, {"role": "user", "content": "hello gateway"}]


def test_a_chat_is_answered(client):
    chat = client.chat.completions.create(model="chat", messages=HELLO)
    assert chat.choices[0].message.content == "You said: hello gateway"
    assert chat.choices[0].finish_reason == "stop"
    assert (chat.usage.prompt_tokens, chat.usage.completion_tokens) == (4, 4)


def test_a_chat_is_streamed_with_its_usage(client):
    stream = client.chat.completions.create(
        model="chat", messages=HELLO, max_tokens=6, stream=True, stream_options={"include_usage": True}
    )
    chunks = list(stream)
    text = "".join(chunk.choices[0].delta.content or "" for chunk in chunks if chunk.choices)
    assert text == "You said: hello gateway word1 word2"
    assert [chunk.choices[0].finish_reason for chunk in chunks if chunk.choices][-1] == "length"
    assert chunks[-1].choices == []
    assert (chunks[-1].usage.prompt_tokens, chunks[-1].usage.completion_tokens) == (4, 6)


def test_a_text_is_completed(client):
    completion = client.completions.create(model="chat", prompt="once upon", max_tokens=5)
    assert completion.choices[0].text == "You said: once upon word1"


def test_embeddings_are_returned(client):
    result = client.embeddings.create(model="embed", input=["one", "two"], dimensions=4)
    assert [len(item.embedding) for item in result.data] == [4, 4]
    assert result.data[0].embedding != result.data[1].embedding


def test_models_are_listed_and_described(client):
    assert [model.id for model in client.models.list()] == ["chat", "embed", "far-chat", "same-name"]
    assert client.models.retrieve("far-chat").id == "far-chat"


def test_a_key_sees_only_the_models_it_may_use(gateway):
    narrow = openai_client(gateway, NARROW_KEY)
    assert [model.id for model in narrow.models.list()] == ["chat", "far-chat"]


def test_a_model_is_answered_by_its_provider_under_its_name_there(client, near, far):
    for sim, model, upstream in [
        (near, "chat", "chat-1.9b-instruct"),
        (near, "same-name", "same-name"),
        (far, "far-chat", "f"),
    ]:
        tag = fresh()
        client.chat.completions.create(model=model, messages=HELLO, extra_headers={"sim-tag": tag})
        assert json.loads(sim.one(tag).body) == {"messages": HELLO, "model": upstream}


def test_a_provider_is_called_at_its_own_host_and_path(client, near, far):
    for sim, model, path in [
        (near, "chat", "/v1/chat/completions"),
        (far, "far-chat", "/openai/deep/v1/chat/completions"),
    ]:
        tag = fresh()
        client.chat.completions.create(model=model, messages=HELLO, extra_headers={"sim-tag": tag})
        seen = sim.one(tag)
        assert seen.path == path
        assert (seen.header(":authority") or seen.header("host")) == f"127.0.0.1:{sim.port}"


def test_a_provider_is_called_with_the_protocol_it_speaks(client, near, far):
    for sim, model, version in [(near, "chat", "HTTP/1.1"), (far, "far-chat", "HTTP/2.0")]:
        tag = fresh()
        client.chat.completions.create(model=model, messages=HELLO, extra_headers={"sim-tag": tag})
        assert sim.one(tag).version == version


@pytest.mark.parametrize("model", ["chat", "far-chat"])
def test_a_client_may_speak_http_2(gateway, model):
    body = json.dumps({"model": model, "messages": HELLO}).encode()
    headers = [("authorization", f"Bearer {KEY}"), ("content-type", "application/json")]
    answer = raw.request_h2(gateway.port, "/v1/chat/completions", headers, body)
    assert answer.status == 200
    assert answer.json()["choices"][0]["message"]["content"] == "You said: hello gateway"


def test_an_upstream_error_reaches_the_client_as_it_is(gateway):
    answer = httpx.post(
        f"{gateway.base_url}/chat/completions",
        json={"model": "chat", "messages": HELLO},
        headers={"authorization": f"Bearer {KEY}", "sim-status": "429", "sim-retry-after": "7"},
    )
    assert (answer.status_code, answer.headers["retry-after"]) == (429, "7")
    assert answer.json()["error"]["message"] == "The simulated model server fails, as asked."


def test_a_compressed_answer_reaches_a_client_that_accepts_it(client):
    chat = client.chat.completions.create(model="chat", messages=HELLO, extra_headers={"sim-gzip": "1"})
    assert chat.choices[0].message.content == "You said: hello gateway"


def test_prometheus_has_the_filter_as_a_label(client, gateway):
    assert client.models.list().data
    lines = gateway.prometheus().splitlines()
    for metric in ['weir_allowed_total{weir_filter="auth"} ', 'weir_listed_total{weir_filter="router"} ']:
        (count,) = [line.removeprefix(metric) for line in lines if line.startswith(metric)]
        assert int(count) > 0
