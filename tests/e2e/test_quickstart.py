"""What `make run` starts: the whole gateway, before a real model."""

import re
import subprocess
import sys

import pytest
from openai import AuthenticationError, OpenAI

from harness.process import ROOT, Process
from test_comply import run as comply

RUN = ROOT / "examples/quickstart/run.py"
QUESTION = [{"role": "user", "content": "Why do plants need sunlight?"}]


@pytest.fixture(scope="module")
def running(logs):
    """A quickstart that stays up, and what it printed."""
    state = logs / "quickstart"
    process = Process("run", [sys.executable, RUN, "--state", state], state)
    try:
        process.wait_until(lambda: "Ctrl-C stops everything" in process.text(), "is up", 180)
        yield process
    finally:
        process.stop()


@pytest.fixture(scope="module")
def exported(running):
    """The two variables that every OpenAI client reads."""
    return dict(re.findall(r"^export (\w+)=(\S+)$", running.text(), re.MULTILINE))


def test_a_first_answer_is_streamed(running):
    answer = re.search(r"^  smollm2  (.+)$", running.text(), re.MULTILINE)
    assert answer and len(answer[1].split()) > 5, running.text()


def test_openai_s_client_asks_a_real_model(exported):
    client = OpenAI(base_url=exported["OPENAI_BASE_URL"], api_key=exported["OPENAI_API_KEY"], timeout=120)
    assert [model.id for model in client.models.list()] == ["smollm2"]
    chat = client.chat.completions.create(model="smollm2", messages=QUESTION, max_tokens=30, temperature=0)
    assert "sun" in chat.choices[0].message.content.lower()
    assert chat.usage.total_tokens == chat.usage.prompt_tokens + chat.usage.completion_tokens
    events = client.chat.completions.create(
        model="smollm2",
        messages=QUESTION,
        max_tokens=30,
        temperature=0,
        stream=True,
        stream_options={"include_usage": True},
    )
    events = list(events)
    said = [event.choices[0].delta.content or "" for event in events if event.choices]
    assert "sun" in "".join(said).lower()
    assert len([piece for piece in said if piece]) > 3, "it came in pieces"
    assert events[-1].usage.completion_tokens > 0


def test_the_printed_curl_works(running):
    curl = re.search(r"^curl .+?(?=\n\n)", running.text(), re.MULTILINE | re.DOTALL)[0]
    answer = subprocess.run(["bash", "-c", curl], capture_output=True, text=True, check=True, timeout=120).stdout
    assert '"choices"' in answer, answer


def test_only_what_fails_at_the_real_model_server_fails_through_the_gateway(running, exported, logs):
    """By llm-comply's suite of chats: llama.cpp leaves out members that OpenAI has, and this model sees no images."""
    upstream = re.search(r"upstream: \"(\S+)\"", (logs / "quickstart/weir.yaml").read_text())[1]
    keys = {upstream: "none", exported["OPENAI_BASE_URL"]: exported["OPENAI_API_KEY"]}
    runs = [comply("openai-chat", url, "smollm2", key) for url, key in keys.items()]
    direct, through = ({test for test, (status, _) in one.items() if status == "failed"} for one in runs)
    print(f"llama.cpp fails {sorted(direct)} of {len(runs[0])}, and through the gateway {sorted(through)}")
    assert len(direct) < len(runs[0]) and through <= direct


def test_another_key_is_refused(exported):
    client = OpenAI(base_url=exported["OPENAI_BASE_URL"], api_key="wk-another", max_retries=0)
    with pytest.raises(AuthenticationError):
        client.models.list()


def test_ctrl_c_ends_it_well(running):
    assert running.interrupt() == 0, running.tail()


def test_a_simulator_can_take_the_model_s_place(logs):
    command = [sys.executable, RUN, "--model", "sim", "--once", "--state", logs / "quickstart-sim"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr
    assert "You said: Why do plants need sunlight?" in done.stdout
