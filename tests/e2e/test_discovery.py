"""Providers whose nodes a registry knows, beside one with an address of its own."""

import subprocess

import openai
import pytest

from conftest import KEY, openai_client
from harness.gateway import Gateway, key, model
from harness.process import until
from harness.registry import Registry
from harness.sim import Sim, fresh

HELLO = [{"role": "user", "content": "hello"}]


@pytest.fixture(scope="module")
def sims(logs):
    """Two nodes of one service, and a third model server."""
    started = [Sim(logs, name=f"node-{number}") for number in (1, 2, 3)]
    yield started
    for sim in started:
        sim.stop()


@pytest.fixture(scope="module")
def registry():
    registry = Registry("infra.llm.index")
    registry.lose()
    yield registry
    registry.stop()


@pytest.fixture(scope="module")
def gateway(logs, gateways, registry, sims):
    config = {
        "discovery": {"drain": "2s", "believe_empty_after": "1s", "bilibili": {"url": registry.url}},
        "keys": [key(KEY, "all")],
        "providers": [
            {"name": "idc", "upstream": "discovery://infra.llm.index?env=prod"},
            {"name": "alone", "upstream": f"{sims[2].url}/v1"},
            {"name": "listed", "upstream": [f"http://127.0.0.1:{sim.port}/v1" for sim in sims[:2]]},
        ],
        "models": [model("index", "idc"), model("alone", "alone"), model("listed", "listed")],
    }
    gateways.append(Gateway(logs / "discovery", config))
    return gateways[-1]


def source(gateway):
    return gateway.status()["discovery"]["idc"]


def nodes(gateway):
    """The nodes that Envoy has been told of, as {port: health}."""
    found = source(gateway)["endpoints"]
    return {int(node["address"].rsplit(":", 1)[1]): node["health"] for node in found or []}


def until_nodes(gateway, expected):
    until(lambda: nodes(gateway) == expected, f"the nodes are {expected}")
    gateway.wait_until_in_sync()


def ask(gateway, name="index", **headers):
    client = openai_client(gateway, KEY)
    return client.chat.completions.create(model=name, messages=HELLO, extra_headers=headers)


def who_answers(gateway, sims, count=12, name="index"):
    """How many of so many requests each model server has."""
    tag = fresh()
    for _ in range(count):
        ask(gateway, name, **{"sim-tag": tag})
    return [len(sim.seen(tag)) for sim in sims]


def test_before_a_registry_has_answered_there_is_nobody_to_ask(gateway):
    with pytest.raises(openai.InternalServerError) as refused:
        ask(gateway)
    assert refused.value.status_code == 503
    until(lambda: "error" in source(gateway), "the loss is told")
    assert source(gateway) | {"since": ""} == {
        "source": "discovery://infra.llm.index?env=prod",
        "endpoints": None,
        "since": "",
        "error": "the registry answers 503 Service Unavailable",
    }


def test_requests_go_to_the_nodes_that_a_registry_knows(gateway, registry, sims):
    registry.lose(False)
    registry.set(*sims[:2])
    until_nodes(gateway, {sim.port: "healthy" for sim in sims[:2]})
    first, second, third = who_answers(gateway, sims)
    assert first and second and not third
    assert who_answers(gateway, sims, 3, "alone") == [0, 0, 3]
    assert sum(who_answers(gateway, sims, 4, "listed")[:2]) == 4
    tag = fresh()
    ask(gateway, **{"sim-tag": tag})
    (seen,) = [seen for sim in sims for seen in sim.seen(tag)]
    assert seen.path == "/v1/chat/completions" and seen.header("host").startswith("127.0.0.1:")


def test_nodes_that_leave_end_their_streams_and_get_no_new_request(gateway, registry, sims):
    tag, hold = fresh(), fresh("hold")
    client = openai_client(gateway, KEY)
    events = client.chat.completions.create(
        model="index", messages=HELLO, stream=True, extra_headers={"sim-tag": tag, "sim-hold": hold}
    )
    next(events)
    leaving, staying = sims[:2] if sims[0].seen(tag) else sims[1::-1]
    registry.set(*sims)
    until_nodes(gateway, {sim.port: "healthy" for sim in sims})
    registry.set(staying)
    until_nodes(gateway, {leaving.port: "draining", sims[2].port: "draining", staying.port: "healthy"})
    assert who_answers(gateway, [leaving, sims[2], staying]) == [0, 0, 12]
    until_nodes(gateway, {staying.port: "healthy"})
    assert who_answers(gateway, [leaving, sims[2], staying]) == [0, 0, 12]
    leaving.release(hold)
    assert "".join(event.choices[0].delta.content or "" for event in events) == "You said: hello"
    registry.set(*sims[:2])
    until_nodes(gateway, {sim.port: "healthy" for sim in sims[:2]})


def test_the_nodes_outlive_their_registry_and_the_control_plane(gateway, registry, sims):
    registry.lose()
    until(lambda: "error" in source(gateway), "the loss is told")
    assert nodes(gateway) == {sim.port: "healthy" for sim in sims[:2]}
    assert sum(who_answers(gateway, sims)) == 12
    gateway.restart_control_plane()
    gateway.wait_until_in_sync()
    until(lambda: "error" in source(gateway), "the registry is still away")
    assert source(gateway)["endpoints"] is None
    assert sum(who_answers(gateway, sims)) == 12
    registry.lose(False)
    until_nodes(gateway, {sim.port: "healthy" for sim in sims[:2]})
    assert "error" not in source(gateway)


def test_other_nodes_change_nothing_but_an_endpoint_resource(gateway, registry, sims):
    def updates():
        counted = gateway.stats(r"(update_success|config_reload)$").items()
        others = ("cluster.idc.", "cluster.weir-xds.")
        return {name: count for name, count in counted if not name.startswith(others)}

    before = updates()
    assert "cluster_manager.cds.update_success" in before
    registry.set(sims[2])
    until_nodes(gateway, {sims[2].port: "healthy"})
    assert updates() == before
    assert who_answers(gateway, sims, 3) == [0, 0, 3]


def test_nodes_that_all_leave_are_the_last_resort(gateway, registry, sims):
    registry.set(sims[2])
    until_nodes(gateway, {sims[2].port: "healthy"})
    registry.set()
    # A poll does not tell of this, but who comes back asks anew.
    registry.lose()
    until(lambda: "error" in source(gateway), "the loss is told")
    registry.lose(False)
    until_nodes(gateway, {sims[2].port: "draining"})
    assert who_answers(gateway, sims, 3) == [0, 0, 3]


def test_another_service_does_not_begin_with_the_nodes_of_the_last(gateway):
    def other(config):
        config["providers"][0]["upstream"] = "discovery://infra.llm.other?env=uat"

    gateway.edit_config(other)
    with pytest.raises(openai.InternalServerError) as refused:
        ask(gateway)
    assert refused.value.status_code == 503


def test_a_registry_over_tls_is_believed_only_with_its_authorities(logs, gateways, sims, tmp_path):
    certificate = tmp_path / "registry.pem"
    command = "openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -subj /CN=registry"
    extensions = ["-addext", "subjectAltName=IP:127.0.0.1", "-addext", "basicConstraints=critical,CA:FALSE"]
    subprocess.run(
        [*command.split(), *extensions, "-keyout", certificate, "-out", tmp_path / "cert.pem"],
        check=True,
        capture_output=True,
    )
    certificate.write_text(certificate.read_text() + (tmp_path / "cert.pem").read_text())
    registry = Registry("infra.llm.index", certificate)
    registry.set(sims[0])
    config = {
        "discovery": {"bilibili": {"url": registry.url}},
        "keys": [key(KEY, "all")],
        "providers": [{"name": "idc", "upstream": "discovery://infra.llm.index"}],
        "models": [model("index", "idc")],
    }
    gateways.append(Gateway(logs / "discovery-tls", config))
    gateway = gateways[-1]
    until(lambda: "certificate" in source(gateway).get("error", ""), "the certificate is refused")
    gateway.config["discovery"]["bilibili"]["ca"] = str(tmp_path / "cert.pem")
    gateway.mend_config()
    until_nodes(gateway, {sims[0].port: "healthy"})
    assert ask(gateway).choices
    registry.stop()
