"""llm-comply's suites, at a model server and through the gateway: only what fails at the server may fail here."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

from conftest import KEY
from harness.gateway import model
from harness.sim import Sim

SUITES = ["openai-chat", "anthropic", "open-responses"]
# A response is compacted by OpenAI alone; the suite asks for it at a path that is no response's.
NOT_MODELS = {"compact-response", "compact-missing-model"}


@pytest.fixture(scope="module")
def server(logs):
    """A model server that speaks all interfaces and asks nobody for a key."""
    sim = Sim(logs, name="comply")
    yield sim
    sim.stop()


@pytest.fixture(scope="module")
def complied(start_gateway, server):
    def change(config):
        speaks = {"translated": ["chat"], "native": ["chat", "responses", "messages"], "claude": ["messages"]}
        for name, protocols in speaks.items():
            config["providers"].append({"name": name, "upstream": f"{server.url}/v1", "protocols": protocols})
            config["models"].append(model(name, name))

    return start_gateway("comply", change)


def run(suite, url, name, key="none"):
    """Each test's id and what became of it."""
    command = [Path(sys.executable).with_name("llm-comply"), "-u", url, "-k", key, "-m", name, "--format", suite]
    # The server writes as many words of a chat as it may, so its chats end for another reason than its messages.
    command += ["--json", "--ignore", "stop_reason"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=120)
    results = json.loads(done.stdout)["results"]
    return {result["id"]: (result["status"], result.get("errors")) for result in results}


@pytest.mark.parametrize("suite", SUITES)
def test_only_what_fails_at_the_server_fails_through_the_gateway(complied, server, suite):
    direct = run(suite, f"{server.url}/v1", "native")
    failed = {test for test, (status, _) in direct.items() if status == "failed"}
    for name in ["native", "translated", "claude"]:
        through = run(suite, complied.base_url, name, KEY)
        passed = sum(status == "passed" for status, _ in through.values())
        print(f"{suite} through {name}: {passed} of {len(through)}; {len(failed)} fail at the server")
        only_here = {
            test: errors
            for test, (status, errors) in through.items()
            if status == "failed" and test not in failed | NOT_MODELS
        }
        assert only_here == {}, name
