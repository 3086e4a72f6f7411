"""Clients of each interface, unmodified, with upstreams of each interface."""

import json

import anthropic
import httpx
import openai
import pytest

from conftest import KEY, NARROW_KEY, NEAR_CREDENTIAL, openai_client
from harness import node, raw
from harness.gateway import model
from harness.sim import fresh

# Which interface the upstream of each model speaks; `both` is a vLLM, of which all is native.
UPSTREAMS = {"c": ["chat"], "m": ["messages"], "g": ["gemini"], "r": ["responses"], "both": ["chat", "responses"]}
SAID = "You said: hello gateway"
SCHEMA = {"type": "object", "properties": {"said": {"type": "string"}}, "required": ["said"]}
FUNCTION = {"name": "look", "description": "Looks.", "parameters": SCHEMA}
PIXEL = "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNkYPhfDwAChwGA60e6kgAAAABJRU5ErkJggg=="

every_upstream = pytest.mark.parametrize("name", UPSTREAMS)


@pytest.fixture(scope="module")
def spoken(start_gateway, near, far):
    def change(config):
        config["secrets"]["wrong"] = {"env": "WRONG_KEY"}
        for name, protocols in UPSTREAMS.items():
            config["providers"].append(
                {"name": name, "upstream": f"{near.url}/v1", "credentials": ["near"], "protocols": protocols}
            )
            config["models"].append(model(name, name, "sim-1"))
        # The first of these answers 401 in Anthropic's words.
        failing = {"name": "failing", "upstream": f"{near.url}/v1", "credentials": ["wrong"], "protocols": ["messages"]}
        bare = {"name": "bare", "upstream": f"{near.url}/v1"}
        next(provider for provider in config["providers"] if provider["name"] == "c")["stored_for"] = ["default"]
        config["providers"] += [failing, bare]
        config["models"] += [
            {"name": "moved", "targets": [{"provider": "failing"}, {"provider": "c", "priority": 1}]},
            {"name": "stays", "targets": [{"provider": "failing"}]},
            {"name": "leak", "targets": [{"provider": "failing"}, {"provider": "bare", "priority": 1}]},
        ]

    return start_gateway("spoken", change, {"WRONG_KEY": "sk-wrong"})


@pytest.fixture(scope="module")
def chats(spoken):
    return openai_client(spoken, KEY)


@pytest.fixture(scope="module")
def claude(spoken):
    return anthropic_client(spoken, KEY)


def anthropic_client(gateway, key):
    base = gateway.base_url.removesuffix("/v1")
    return anthropic.Anthropic(api_key=key, base_url=base, max_retries=0, timeout=15)


def hello(text="hello gateway"):
    return [{"role": "user", "content": text}]


@every_upstream
def test_a_chat_is_answered_by_every_upstream(chats, name):
    chat = chats.chat.completions.create(model=name, messages=hello())
    assert (chat.choices[0].message.content, chat.choices[0].finish_reason, chat.model) == (SAID, "stop", name)
    assert (chat.usage.prompt_tokens, chat.usage.completion_tokens) == (2, 4)


@every_upstream
def test_a_chat_streams_a_tool_call_and_takes_its_result(chats, name):
    tools = [{"type": "function", "function": FUNCTION}]
    with chats.chat.completions.stream(model=name, messages=hello(), tools=tools) as stream:
        call = stream.get_final_completion().choices[0].message.tool_calls[0]
    assert (call.function.name, json.loads(call.function.arguments)) == ("look", {"said": "hello gateway"})
    function = {"name": call.function.name, "arguments": call.function.arguments}
    asked = {"role": "assistant", "tool_calls": [{"id": call.id, "type": "function", "function": function}]}
    result = {"role": "tool", "tool_call_id": call.id, "content": "all is well"}
    chat = chats.chat.completions.create(model=name, messages=[*hello(), asked, result], tools=tools)
    assert chat.choices[0].message.content == "You said: all is well"


@every_upstream
def test_a_chat_in_json_with_an_image_is_answered_by_every_upstream(chats, near, name):
    image = {"type": "image_url", "image_url": {"url": f"data:image/png;base64,{PIXEL}"}}
    tag = fresh()
    chat = chats.chat.completions.create(
        model=name,
        messages=hello([{"type": "text", "text": "hello gateway"}, image]),
        response_format={"type": "json_schema", "json_schema": {"name": "said", "schema": SCHEMA}},
        extra_headers={"sim-tag": tag},
    )
    assert json.loads(chat.choices[0].message.content) == {"said": "hello gateway"}
    assert near.one(tag).body.decode().count(PIXEL) == 1


@every_upstream
def test_a_chat_stream_tells_its_usage_only_to_who_asks(chats, name):
    def chunks(**more):
        return list(chats.chat.completions.create(model=name, messages=hello(), stream=True, **more))

    def text(chunks):
        return "".join(chunk.choices[0].delta.content or "" for chunk in chunks if chunk.choices)

    told = chunks(stream_options={"include_usage": True})
    assert (text(told), told[-1].usage.completion_tokens) == (SAID, 4)
    silent = chunks()
    assert text(silent) == SAID and all(chunk.choices and not chunk.usage for chunk in silent)


@every_upstream
def test_a_response_is_answered_by_every_upstream(chats, name):
    response = chats.responses.create(model=name, input="hello gateway", instructions="Be brief.")
    assert (response.output_text, response.status, response.model) == (SAID, "completed", name)
    assert (response.usage.input_tokens, response.usage.output_tokens) == (4, 4)
    with chats.responses.stream(model=name, input="hello gateway") as stream:
        events = list(stream)
        assert stream.get_final_response().output_text == SAID
    assert [event.sequence_number for event in events] == list(range(len(events)))


@every_upstream
def test_a_response_calls_a_tool_and_takes_its_result(chats, name):
    tools = [{"type": "function", "strict": False, **FUNCTION}]
    with chats.responses.stream(model=name, input="hello gateway", tools=tools) as stream:
        call = stream.get_final_response().output[-1]
    assert (call.name, json.loads(call.arguments)) == ("look", {"said": "hello gateway"})
    asked = {"type": "function_call", "call_id": call.call_id, "name": call.name, "arguments": call.arguments}
    result = {"type": "function_call_output", "call_id": call.call_id, "output": "all is well"}
    response = chats.responses.create(model=name, input=[*hello(), asked, result], tools=tools)
    assert response.output_text == "You said: all is well"


@every_upstream
def test_a_message_is_answered_by_every_upstream(claude, name):
    message = claude.messages.create(model=name, max_tokens=4, messages=hello(), system="Be brief.")
    assert (message.content[0].text, message.stop_reason, message.model) == (SAID, "max_tokens", name)
    assert (message.usage.input_tokens, message.usage.output_tokens) == (4, 4)
    with claude.messages.stream(model=name, max_tokens=3, messages=hello()) as stream:
        assert "".join(stream.text_stream) == "You said: hello"
        final = stream.get_final_message()
    assert (final.stop_reason, final.usage.output_tokens) == ("max_tokens", 3)


@every_upstream
def test_a_message_calls_a_tool_and_takes_its_result(claude, name):
    tools = [{"name": "look", "description": "Looks.", "input_schema": SCHEMA}]
    options = {"model": name, "max_tokens": 100, "tools": tools}
    with claude.messages.stream(messages=hello(), **options) as stream:
        final = stream.get_final_message()
    (call,) = final.content
    assert (final.stop_reason, call.name, call.input) == ("tool_use", "look", {"said": "hello gateway"})
    result = [{"type": "tool_result", "tool_use_id": call.id, "content": [{"type": "text", "text": "all is well"}]}]
    asked = {"role": "assistant", "content": [call.model_dump(include={"type", "id", "name", "input"})]}
    message = claude.messages.create(messages=[*hello(), asked, {"role": "user", "content": result}], **options)
    assert message.content[0].text == "You said: all is well"


@every_upstream
def test_tokens_are_counted_by_every_upstream_or_here(claude, name):
    counted = claude.messages.count_tokens(model=name, messages=hello("one two three")).input_tokens
    assert counted == 3 if name == "m" else 3 < counted < 60


def test_what_an_upstream_speaks_passes_byte_for_byte(chats, near, claude):
    tag = fresh()
    body = b'{ "model":"m", "max_tokens":100,"messages" : [{"role":"user","content":"hi"}],"x": [1.0] }'
    url = f"{chats.base_url}messages"
    answer = httpx.post(url, content=body, headers={"x-api-key": KEY, "sim-tag": tag, "anthropic-beta": "b"})
    seen = near.one(tag)
    assert (answer.status_code, seen.path) == (200, "/v1/messages")
    assert seen.body == body.replace(b'"m"', b'"sim-1"')
    assert (seen.header("anthropic-version"), seen.header("anthropic-beta")) == ("2023-06-01", "b")
    assert (seen.header("x-api-key"), seen.header("authorization")) == (NEAR_CREDENTIAL, None)


def test_what_an_upstream_cannot_do_is_an_error_of_the_clients_own(chats, claude):
    tools = [{"type": "web_search_20250305", "name": "web_search"}]
    with pytest.raises(anthropic.BadRequestError, match="web_search_20250305"):
        claude.messages.create(model="c", max_tokens=9, messages=hello(), tools=tools)
    with pytest.raises(openai.BadRequestError) as refused:
        chats.responses.create(model="c", input="hi", previous_response_id="resp_1")
    assert (refused.value.code, refused.value.param) == ("unsupported_by_upstream", "previous_response_id")


def test_a_request_that_is_too_large_to_be_translated_is_refused_in_the_clients_words(chats, claude, near):
    """What is not translated flows on as it comes, however large it is."""
    large = hello("x" * 1_200_000)
    with pytest.raises(anthropic.APIStatusError) as refused:
        claude.messages.create(model="c", max_tokens=9, messages=large)
    assert (refused.value.status_code, refused.value.body["error"]["type"]) == (413, "request_too_large")
    with pytest.raises(openai.APIStatusError) as refused:
        chats.chat.completions.create(model="m", messages=large)
    assert (refused.value.status_code, refused.value.code) == (413, "request_too_large")
    assert "1048576 bytes" in refused.value.message
    tag = fresh()
    body = {"model": "m", "max_tokens": 9, "messages": large}
    answer = httpx.post(f"{chats.base_url}messages", json=body, headers={"x-api-key": KEY, "sim-tag": tag})
    assert (answer.status_code, len(near.one(tag).body) > 1_200_000) == (200, True)


def test_an_upstreams_error_is_told_in_the_clients_words(chats, claude):
    with pytest.raises(openai.AuthenticationError) as refused:
        chats.chat.completions.create(model="stays", messages=hello())
    assert refused.value.code == "invalid_api_key" and "does not know this key" in refused.value.message
    with pytest.raises(anthropic.APIStatusError) as failed:
        claude.messages.create(model="c", max_tokens=9, messages=hello(), extra_headers={"sim-status": "529"})
    assert failed.value.body["error"]["type"] == "overloaded_error"


def test_an_error_in_a_stream_is_one_of_the_clients_own(claude):
    headers = {"sim-error-in-200": "3"}
    with claude.messages.stream(model="c", max_tokens=9, messages=hello(), extra_headers=headers) as stream:
        with pytest.raises(anthropic.APIStatusError) as failed:
            stream.get_final_message()
    assert failed.value.body["type"] == "error"


def test_a_request_moves_on_to_an_upstream_of_another_interface(chats, claude, near):
    tag = fresh()
    headers = {"sim-tag": tag}
    assert claude.messages.create(
        model="moved", max_tokens=4, messages=hello(), extra_headers=headers
    ).content[0].text == SAID
    first, second = near.seen(tag)
    assert (first.path, second.path) == ("/v1/messages", "/v1/chat/completions")
    assert (first.header("x-api-key"), first.header("authorization")) == ("sk-wrong", None)
    assert (second.header("x-api-key"), second.header("authorization")) == (None, f"Bearer {NEAR_CREDENTIAL}")
    with chats.chat.completions.stream(model="moved", messages=hello()) as stream:
        assert stream.get_final_completion().choices[0].message.content == SAID


def test_a_credential_never_reaches_the_next_provider(chats, near):
    tag = fresh()
    with pytest.raises(openai.AuthenticationError):
        chats.chat.completions.create(model="leak", messages=hello(), extra_headers={"sim-tag": tag})
    _, second = near.seen(tag)
    assert (second.header("x-api-key"), second.header("authorization")) == (None, None)


@pytest.mark.parametrize("key, name, status, kind", [
    ("wk-nobody", "m", 401, "authentication_error"),
    (NARROW_KEY, "m", 404, "not_found_error"),
    (KEY, "nothing", 404, "not_found_error"),
])
def test_the_gateways_own_refusals_are_in_the_clients_words(spoken, key, name, status, kind):
    with pytest.raises(anthropic.APIStatusError) as refused:
        anthropic_client(spoken, key).messages.create(model=name, max_tokens=9, messages=hello())
    assert (refused.value.status_code, refused.value.body["error"]["type"]) == (status, kind)


def test_an_unreachable_upstream_is_told_in_the_clients_words(spoken, claude):
    with pytest.raises(anthropic.APIStatusError) as failed:
        headers = {"sim-reset-after-chunks": "0"}
        claude.messages.create(model="c", max_tokens=9, messages=hello(), extra_headers=headers)
    assert failed.value.body["error"]["type"] in {"api_error", "overloaded_error"}


def test_a_form_is_sent_on_with_the_upstreams_model(chats, near):
    tag = fresh()
    sound = b"RIFF\x00\x01--\r\n--x\r\n" * 1000
    said = chats.audio.transcriptions.create(model="chat", file=("a.wav", sound), extra_headers={"sim-tag": tag})
    assert said.text == "What was said."
    seen = near.one(tag)
    assert b"chat-1.9b-instruct" in seen.body and sound in seen.body
    with pytest.raises(openai.NotFoundError):
        chats.audio.transcriptions.create(model="nothing", file=("a.wav", sound))


def test_vectors_in_base64_and_inputs_of_tokens_pass_byte_for_byte(chats, near):
    url, headers = f"{chats.base_url}embeddings", {"authorization": f"Bearer {KEY}"}
    for given in ["one", ["one", "two"], [1, 2, 3], [[1, 2], [3]]]:
        tag = fresh()
        body = json.dumps({"model": "same-name", "input": given, "encoding_format": "base64"}).encode()
        answer = httpx.post(url, content=body, headers=headers | {"sim-tag": tag})
        direct = httpx.post(f"{near.url}/v1/embeddings", content=body, headers={"authorization": f"Bearer {NEAR_CREDENTIAL}"})
        assert (near.one(tag).body, answer.content) == (body, direct.content)


def test_what_a_provider_keeps_is_for_those_who_may_use_everything(spoken, chats, near):
    tag = fresh()
    assert chats.files.list(extra_headers={"x-weir-provider": "c", "sim-tag": tag}).data[0].id == "file-sim"
    assert (near.one(tag).path, near.one(tag).header("x-weir-provider")) == ("/v1/files", None)
    for client, headers in [(chats, {"x-weir-provider": "near"}), (openai_client(spoken, NARROW_KEY), {"x-weir-provider": "c"})]:
        with pytest.raises(openai.NotFoundError):
            client.files.list(extra_headers=headers)


@pytest.mark.parametrize("path", ["/v1/files/..%2f..%2fadmin", "/v1/files/a%2Fb", "/v1/responses/%5c..%5Cadmin", "/v1/files%2f..%2fmodels"])
def test_no_path_leads_to_another_place_at_a_provider(spoken, near, path):
    """A slash in disguise would be one to a provider that undoes escapes."""
    tag = fresh()
    answer = raw.request(spoken.port, method="GET", path=path, headers=[("authorization", f"Bearer {KEY}"), ("x-weir-provider", "c"), ("sim-tag", tag)])
    assert (answer.status, answer.error()["code"], near.seen(tag)) == (400, "escaped_slash", [])


def test_openais_client_for_node_gets_what_it_asks_for(spoken, near):
    env = {"BASE_URL": spoken.base_url, "API_KEY": KEY, "MODELS": ",".join(UPSTREAMS)}
    done = node.run("openai.test.mjs", env=env)
    assert done.returncode == 0 and "fail 0" in done.stdout, done.stdout[-8000:] + done.stderr[-2000:]
    assert len(near.seen("node-429")) == 2
    near.wait_for("node-abort", "client_gone")
