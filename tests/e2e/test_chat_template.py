"""Endpoints that take variables: what the model server is asked, and what the caller gets of its answer."""

import json
import re
import shlex
import subprocess
import threading

import httpx
import pytest
import yaml

from harness import raw
from harness.gateway import Gateway, key, model, weir
from harness.process import ROOT, until
from harness.sim import Sim, fresh

EXAMPLE = ROOT / "examples/chat-template"
KEY, NARROW_KEY = "wk-templates-3f01", "wk-narrow-81aa"
# The article's own text, as it stands there.
SNIPPET = r"""
- path: /v1/reply-to-en
  protocol: HTTP
  timeout: 300s
  middlewares:
  - name: v1_chat_template
    options:
      '@type': type.googleapis.com/infra.gateway.middleware.llm.v1.contrib.ChatTemplateConfig
      provider: bilibili
      model_name: index
      prompt_template: |
        Your task: translate each comment from a B‑site video into English. Input is a JSON map where keys are indices and values are comments. Return a JSON map with the same keys and translated values. Preserve image placeholders {dyn:xxx} and emoji placeholders [xxx] unchanged.
        Input: {{ jsonify (slice_to_index_map .reply_list 1) }}
        Output:
"""
TASK = (
    "Your task: translate each comment from a B\u2011site video into English. Input is a JSON map where keys are indices and "
    "values are comments. Return a JSON map with the same keys and translated values. Preserve image placeholders {dyn:xxx} "
    "and emoji placeholders [xxx] unchanged.\nInput: %s\nOutput:\n"
)


@pytest.fixture(scope="module")
def sims(logs):
    """The model servers of the providers `bilibili` and `cloud`."""
    answers = ["--answers", str(EXAMPLE / "answers.json")]
    started = [Sim(logs / "templates", *answers, name=name) for name in ("bilibili", "cloud")]
    yield started
    for sim in started:
        sim.stop()


@pytest.fixture(scope="module")
def gateway(sims, logs, gateways):
    """The example's routes, a model with two targets, and two keys."""
    bilibili, cloud = sims
    config = {
        "keys": [key(KEY, "all"), key(NARROW_KEY, "narrow", models=["other"])],
        "providers": [
            {"name": "bilibili", "upstream": f"{bilibili.url}/v1"},
            {"name": "cloud", "upstream": f"{cloud.url}/v1"},
        ],
        "models": [
            {
                "name": "index",
                "targets": [
                    {"provider": "cloud", "model": "cloud-index", "weight": 1000},
                    {"provider": "bilibili", "model": "index-1.9b-chat", "weight": 1},
                ],
            },
            model("other", "cloud"),
        ],
        "routes": yaml.safe_load((EXAMPLE / "weir.yaml").read_text())["routes"],
    }
    config["routes"][0] = yaml.safe_load(SNIPPET)[0]
    gateway = Gateway(logs / "templates" / "gateway", config)
    gateways.append(gateway)
    return gateway


def ask(gateway, path, variables, api_key=KEY, **headers):
    headers = {"authorization": f"Bearer {api_key}"} | {name.replace("_", "-"): value for name, value in headers.items()}
    return httpx.post(f"{gateway.base_url}{path}", json=variables, headers=headers, timeout=30)


def prompt(replies):
    """The body that the article's template makes, byte for byte."""
    indexed = {str(at): reply for at, reply in enumerate(replies, 1)}
    text = TASK % json.dumps(indexed, ensure_ascii=False, separators=(",", ":"))
    body = {"model": "index-1.9b-chat", "messages": [{"role": "user", "content": text}]}
    return body


def encoded(body):
    return json.dumps(body, ensure_ascii=False, separators=(",", ":")).encode()


def test_the_articles_snippet_answers_a_list_of_comments(gateway, sims):
    replies = ["好可爱[doge]", "第一！{dyn:12}", 'a "quoted" {{ .env }} \\ \r\n']
    tag = fresh()
    answer = ask(gateway, "/reply-to-en", {"reply_list": replies}, sim_tag=tag)
    assert answer.status_code == 200, answer.text
    seen = sims[0].one(tag)
    assert seen.body == encoded(prompt(replies))
    assert (seen.method, seen.path) == ("POST", "/v1/chat/completions")
    assert answer.json()["choices"][0]["message"]["content"] == '{"1": "So cute [doge]", "2": "First! {dyn:12}"}'
    assert answer.headers["x-weir-template"] == "reply-to-en"
    records = until(lambda: [line for line in gateway.access_log().splitlines() if answer.headers["x-request-id"] in line], "a record is written")
    record = json.loads(records[0])
    filled = len(prompt(replies)["messages"][0]["content"].encode())
    assert (record["template"], record["prompt_bytes"], record["path"]) == ("reply-to-en", str(filled), "/v1/chat/completions")
    assert "quoted" not in gateway.access_log()


def test_the_articles_snippet_answers_as_a_stream(gateway, sims):
    tag, body = fresh(), {"reply_list": ["一"], "stream": True}
    headers = {"authorization": f"Bearer {KEY}", "sim-tag": tag, "sim-hold": tag}
    with httpx.stream("POST", f"{gateway.base_url}/reply-to-en", json=body, headers=headers, timeout=30) as answer:
        assert answer.status_code == 200
        lines = answer.iter_lines()
        # The first event is here while the model server still holds the rest.
        first = next(line for line in lines if line)
        assert json.loads(first.removeprefix("data: "))["object"] == "chat.completion.chunk"
        sims[0].release(tag)
        events = [line.removeprefix("data: ") for line in lines if line]
    assert events[-1] == "[DONE]"
    sent = json.loads(sims[0].one(tag).body)
    assert sent.pop("stream") is True
    sent.pop("stream_options", None)
    assert sent == prompt(["一"])


def test_hostile_variables_arrive_as_they_are(gateway, sims):
    replies = ['"}],"model":"gpt', "{{ jsonify . }}", "\r\n\u2028\u2029\x00\x7f", "</script>&<", "\\u0022 \\", "𝕏" * 1000]
    tag = fresh()
    assert ask(gateway, "/reply-to-en", {"reply_list": replies}, sim_tag=tag).status_code == 200
    assert json.loads(sims[0].one(tag).body) == prompt(replies)


def test_a_megabyte_in_chunks_and_a_hundred_thousand_items(gateway, sims):
    for replies in (["x" * 1_000_000], ["a"] * 100_000):
        tag, body = fresh(), encoded({"reply_list": replies})
        with raw.Connection(gateway.port) as connection:
            head = [("host", "gateway.test"), ("transfer-encoding", "chunked"), ("authorization", f"Bearer {KEY}")]
            connection.head("POST", "/v1/reply-to-en", [*head, ("sim-tag", tag)])
            for start in range(0, len(body), 50_000):
                connection.chunk(body[start : start + 50_000])
            connection.chunk(b"")
            answer = connection.answer()
        if len(prompt(replies)["messages"][0]["content"].encode()) > 1024 * 1024:
            assert (answer.status, answer.error()["code"]) == (413, "payload_too_large")
        else:
            assert answer.status == 200, answer.body[:200]
            assert sims[0].one(tag).body == encoded(prompt(replies))


def test_what_does_not_fit_is_refused(gateway):
    large = ask(gateway, "/reply-to-en", {"reply_list": ["x" * 1_100_000]})
    deep = httpx.post(
        f"{gateway.base_url}/reply-to-en",
        content=b'{"reply_list":' + b"[" * 5000 + b"]" * 5000 + b"}",
        headers={"authorization": f"Bearer {KEY}", "content-type": "application/json"},
    )
    text = httpx.post(
        f"{gateway.base_url}/sum",
        content=b"{}",
        headers={"authorization": f"Bearer {KEY}", "content-type": "text/plain"},
    )
    got = httpx.get(f"{gateway.base_url}/sum", headers={"authorization": f"Bearer {KEY}"})
    for answer, status, code, param in [
        (ask(gateway, "/reply-to-en", {}), 400, "template_render_failed", "reply_list"),
        (ask(gateway, "/sum", {"numbers": ["1", 2, None]}), 400, "invalid_variables", "numbers[0]"),
        (ask(gateway, "/sum", {"numbers": [1], "stream": True}), 400, "invalid_variables", "stream"),
        (ask(gateway, "/reply-to-en", [1]), 400, "invalid_json", None),
        (large, 413, "payload_too_large", None),
        (deep, 400, "invalid_json", None),
        (text, 415, "unsupported_media_type", None),
        (got, 405, "method_not_allowed", None),
        (ask(gateway, "/sum", {"numbers": [1]}, api_key="wrong"), 401, "invalid_api_key", None),
        # The template's model is one that this key may not use.
        (ask(gateway, "/sum", {"numbers": [1]}, api_key=NARROW_KEY), 404, "model_not_found", "model"),
    ]:
        error = answer.json()["error"]
        assert (answer.status_code, error["code"], error["param"]) == (status, code, param), answer.text


def test_a_pinned_provider_is_the_only_one_that_is_asked(gateway, sims):
    tag = fresh()
    for _ in range(5):
        assert ask(gateway, "/reply-to-en", {"reply_list": []}, sim_tag=tag).status_code == 200
    assert (len(sims[0].seen(tag)), sims[1].seen(tag)) == (5, [])
    failed = ask(gateway, "/reply-to-en", {"reply_list": []}, sim_tag=fresh(), sim_status="503")
    assert failed.status_code == 503


def test_the_text_and_the_json_of_an_answer_stand_alone(gateway, sims):
    text = ask(gateway, "/answer", {"text": "Mount Everest", "questions": ["How high is it?"]})
    assert (text.text, text.headers["content-type"]) == ("0. 8,849 metres", "text/plain; charset=utf-8")
    summed = ask(gateway, "/sum", {"numbers": [19, 23]}, accept_encoding="gzip")
    assert (summed.text, summed.headers["content-type"]) == ('{"result": 42}', "application/json"), summed.text
    # It is no JSON, or it is compressed though nobody has asked for that.
    for refused in (ask(gateway, "/sum", {"numbers": [1, 1]}), ask(gateway, "/sum", {"numbers": [19, 23]}, sim_gzip="1")):
        error = refused.json()["error"]
        assert (refused.status_code, error["code"], error["type"]) == (502, "invalid_model_output", "server_error")
    failed = ask(gateway, "/sum", {"numbers": [1]}, sim_status="400")
    assert failed.status_code == 400 and "error" in failed.json()


def test_a_template_changes_under_traffic(gateway, sims):
    """No request fails, a stream that is open stays, and what comes after the change has the new prompt."""
    stop, failures, sent = threading.Event(), [], []

    def traffic():
        with httpx.Client(headers={"authorization": f"Bearer {KEY}"}, timeout=30) as client:
            while not stop.is_set():
                answer = client.post(f"{gateway.base_url}/reply-to-en", json={"reply_list": ["x"]})
                sent.append(1)
                if answer.status_code != 200:
                    failures.append((answer.status_code, answer.text))

    threads = [threading.Thread(target=traffic) for _ in range(3)]
    held = fresh()
    headers = {"authorization": f"Bearer {KEY}", "sim-tag": held, "sim-hold": held}
    body = {"reply_list": ["open"], "stream": True}
    with httpx.stream("POST", f"{gateway.base_url}/reply-to-en", json=body, headers=headers, timeout=30) as stream:
        lines = stream.iter_lines()
        assert next(line for line in lines if line)
        for thread in threads:
            thread.start()
        for version in ("two", "three"):

            def change(config):
                options = config["routes"][0]["middlewares"][0]["options"]
                options |= {"version": version, "prompt_template": version + ": {{ jsonify .reply_list }}"}

            gateway.edit_config(change)

            def arrives():
                return ask(gateway, "/reply-to-en", {"reply_list": []}).headers.get("x-weir-template-version") == version

            until(arrives, "the new version answers")
        stop.set()
        for thread in threads:
            thread.join()
        sims[0].release(held)
        assert [line for line in lines if line][-1] == "data: [DONE]"
    assert len(sent) > 3 and failures == []
    tag = fresh()
    ask(gateway, "/reply-to-en", {"reply_list": []}, sim_tag=tag)
    assert json.loads(sims[0].one(tag).body)["messages"][0]["content"] == "three: []"


def test_a_bad_template_never_arrives(gateway):
    bad = gateway.text().replace("{{ jsonify .text }}", "{{ jsonfy .text }}")
    error = gateway.break_config(bad)
    assert 'routes.v1/answer.middlewares[0].options.prompt_template: 1:10: there is no function "jsonfy"' in error
    assert ask(gateway, "/answer", {"text": "a", "questions": ["How high is it?"]}).status_code == 200
    gateway.mend_config()


def test_versions_are_drawn_by_weight(gateway, sims):
    """One version of two, then both, then the other by its label."""

    def version(number, **more):
        template = {"model_name": "other", "prompt_template": number + ": {{ .text }}"}
        return {"name": "title", "version": number, "template": template, **more}

    def use(*versions):
        options = {"template": "title", "versions": list(versions)}
        return {"path": "/v1/title", "middlewares": [{"name": "v1_stored_chat_template", "options": options}]}

    def change(config):
        config["templates"] = [version("one"), version("two", labels=["production"])]
        config["routes"].append(use({"version": "one", "weight": 1}, {"label": "production", "weight": 1}))

    gateway.edit_config(change)
    until(lambda: ask(gateway, "/title", {"text": "x"}).status_code == 200, "the route is there")
    answers = [ask(gateway, "/title", {"text": "x"}) for _ in range(40)]
    drawn = [answer.headers["x-weir-template-version"] for answer in answers]
    assert set(drawn) == {"one", "two"} and all(answer.headers["x-weir-template"] == "title" for answer in answers)
    said = [answer.json()["choices"][0]["message"]["content"] for answer in answers]
    assert said == [f"You said: {number}: x" for number in drawn]
    gateway.edit_config(lambda config: config["routes"].__setitem__(-1, use({"label": "production"})))

    def only_two():
        return {ask(gateway, "/title", {"text": "x"}).headers["x-weir-template-version"] for _ in range(20)} == {"two"}

    until(only_two, "the other version is gone")


def test_a_template_is_rendered_on_the_command_line(tmp_path):
    template, data = tmp_path / "template.txt", tmp_path / "data.json"
    data.write_text('{"list": ["你好"]}', encoding="utf-8")
    template.write_text("{{ jsonify (slice_to_index_map .list 1) }}\n", encoding="utf-8")
    assert weir("template", "render", "-t", template, "-d", data).stdout == '{"1":"你好"}\n'
    for text, error in [("a\n{{ printf }}", "2:4: there is no function"), ("{{ .x }}", '1:4: variable ".x" is not set')]:
        template.write_text(text)
        failed = weir("template", "render", "-t", template, "-d", data, check=False)
        assert (failed.returncode, failed.stdout) == (1, "")
        assert f"{template}:{error}" in failed.stderr


def test_the_examples_curls_answer_as_its_page_says(logs, gateways):
    """Every command of the page that asks the gateway, with the answer that stands behind it."""
    sim = Sim(logs / "templates", "--answers", str(EXAMPLE / "answers.json"), name="example")
    config = yaml.safe_load((EXAMPLE / "weir.yaml").read_text())
    config["providers"][0]["upstream"] = f"{sim.url}/v1"
    gateway = Gateway(logs / "templates" / "example", config)
    gateways.append(gateway)
    page = (EXAMPLE / "README.md").read_text()
    asked = re.findall(r"^\$ (curl (?:[^\n]*\\\n)*[^\n]*)\n(.+?)\n```", page, re.MULTILINE | re.DOTALL)
    assert len(asked) == 4
    for command, expected in asked:
        command, _, path = command.replace("\\\n", " ").replace(":10000", f":{gateway.port}").partition(" | jq -r ")
        found = subprocess.run(shlex.split(command), capture_output=True, text=True, timeout=30, check=True).stdout
        for part in filter(None, re.split(r"[.\[\]]+", path)):
            found = (json.loads(found) if isinstance(found, str) else found)[int(part) if part.isdigit() else part]
        assert found == expected, command
    sim.stop()
