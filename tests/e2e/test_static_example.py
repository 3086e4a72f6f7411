"""The filters in bootstraps written by hand, without a control plane."""

import json

import openai
import pytest
from openai import OpenAI

from harness.envoy import Envoy
from harness.process import ROOT, free_port, with_modules
from harness.sim import Sim, fresh

FOLDER = ROOT / "examples/envoy-static"
HELLO = [{"role": "user", "content": "hello"}]


def relocated(example, servers, admin_port, port):
    """The example's text with this machine's ports and modules in place of the ones it names."""
    text = with_modules((FOLDER / example).read_text())
    for old, new in {9901: admin_port, 10000: port, **servers}.items():
        assert f"port_value: {old}" in text
        text = text.replace(f"port_value: {old}", f"port_value: {new}")
    return text


@pytest.fixture(scope="module")
def servers(logs):
    """Two model servers, at the ports that the examples name."""
    sims = [Sim(logs / "static", name=name) for name in ("small", "big")]
    yield sims
    for sim in sims:
        sim.stop()


@pytest.fixture(scope="module")
def start_example(servers, logs):
    """Starts an Envoy on an example; returns a function that makes a client with a key."""
    envoys = []

    def start(example, ports):
        folder, port, admin_port = logs / example, free_port(), free_port()
        folder.mkdir()
        bootstrap = folder / example
        moved = {old: sim.port for old, sim in zip(ports, servers, strict=False)}
        bootstrap.write_text(relocated(example, moved, admin_port, port))
        envoys.append(Envoy(bootstrap, folder, admin_port, port))
        return lambda key: OpenAI(
            api_key=key, base_url=f"http://127.0.0.1:{port}/v1", max_retries=0, timeout=15
        )

    yield start
    for envoy in envoys:
        failures = envoy.filter_failures()
        envoy.stop()
        assert failures == {}


def test_auth_alone_checks_keys_and_models(start_example, servers):
    client, tag = start_example("envoy-auth.yaml", [8080]), fresh()
    chat = client("wk-docs-all").chat.completions.create(
        model="docs-big", messages=HELLO, extra_headers={"sim-tag": tag}
    )
    assert chat.choices[0].message.content == "You said: hello"
    assert servers[0].one(tag).header("authorization") is None
    assert client("wk-docs-small").chat.completions.create(model="docs-small", messages=HELLO).choices
    with pytest.raises(openai.NotFoundError):
        client("wk-docs-small").chat.completions.create(model="docs-big", messages=HELLO)
    with pytest.raises(openai.AuthenticationError):
        client("wk-nobody").chat.completions.create(model="docs-small", messages=HELLO)


def test_auth_and_router_send_each_model_to_its_server(start_example, servers):
    client = start_example("envoy-auth-router.yaml", [8080, 8081])
    for model, sim, upstream in [("docs-small", servers[0], "smollm2"), ("docs-big", servers[1], "docs-big")]:
        tag = fresh()
        answer = client("wk-docs-all").chat.completions.create(
            model=model, messages=HELLO, extra_headers={"sim-tag": tag}
        )
        assert answer.choices[0].message.content == "You said: hello"
        assert json.loads(sim.one(tag).body)["model"] == upstream
        assert [name for name, _ in sim.one(tag).headers if name.startswith("x-weir-")] == []
    assert [model.id for model in client("wk-docs-small").models.list()] == ["docs-small"]
    with pytest.raises(openai.NotFoundError):
        client("wk-docs-small").chat.completions.create(model="docs-big", messages=HELLO)
    with pytest.raises(openai.AuthenticationError):
        client("wk-nobody").models.list()
