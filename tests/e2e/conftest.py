"""Fixtures: two model servers and one gateway for most tests; a test that changes a gateway has its own."""

import signal

import pytest
from openai import OpenAI

from harness.gateway import Gateway, key, model
from harness.rest import RestApi
from harness.sim import Sim

# What only one side may ever see.
NEAR_CREDENTIAL = "sk-near-3f1b0c9e5a"
FAR_CREDENTIAL = "sk-far-77d2a4c810"
KEY = "wk-all-models-5c1d8e"
NARROW_KEY = "wk-narrow-90ab34"
EXPIRED_KEY = "wk-expired-11fe20"
DISABLED_KEY = "wk-disabled-62cc07"
SECRETS = {"NEAR_KEY": NEAR_CREDENTIAL, "FAR_KEY": FAR_CREDENTIAL}
REQUEST_BODY_LIMIT = 4 * 1024 * 1024


def config_for(near, far):
    """Two providers, four models, five keys."""
    return {
        "gateway": {"name": "e2e", "limits": {"request_body": REQUEST_BODY_LIMIT}},
        "secrets": {"near": {"env": "NEAR_KEY"}, "far": {"env": "FAR_KEY"}},
        "keys": [
            key(KEY, "all"),
            key(NARROW_KEY, "narrow", models=["chat", "far-*"]),
            key(EXPIRED_KEY, "expired", expires_at="2020-01-01T00:00:00Z"),
            key(DISABLED_KEY, "disabled", disabled=True),
        ],
        "providers": [
            {"name": "near", "upstream": f"{near.url}/v1", "credentials": ["near"]},
            {"name": "far", "upstream": f"{far.url}/openai/deep/v1", "credentials": ["far"], "http2": True},
        ],
        "models": [
            model("chat", "near", "chat-1.9b-instruct"),
            model("same-name", "near"),
            model("embed", "near", "bge-m3"),
            model("far-chat", "far", "f"),
        ],
    }


def pytest_configure():
    """A shell that runs the tests in the background has them ignore Ctrl-C, and with them all that they start."""
    signal.signal(signal.SIGINT, signal.default_int_handler)


@pytest.fixture(scope="session")
def logs(tmp_path_factory):
    """Where this run's processes write."""
    return tmp_path_factory.mktemp("logs")


@pytest.fixture(scope="module")
def api():
    """A REST API that tools are made of."""
    rest = RestApi()
    yield rest
    rest.stop()


@pytest.fixture(scope="session")
def near(logs):
    """The model server of the provider `near`: HTTP/1.1 under /v1."""
    sim = Sim(logs, "--api-key", NEAR_CREDENTIAL, name="near")
    yield sim
    sim.stop()


@pytest.fixture(scope="session")
def far(logs):
    """The model server of the provider `far`: HTTP/2 under a longer path."""
    sim = Sim(logs, "--api-key", FAR_CREDENTIAL, "--base-path", "/openai/deep/v1", name="far")
    yield sim
    sim.stop()


@pytest.fixture(scope="session")
def gateways():
    """Every gateway that was started; they run until the end."""
    started = []
    yield started
    for gateway in started:
        gateway.stop()


@pytest.fixture(scope="session")
def start_gateway(near, far, logs, gateways):
    """Starts a gateway over the two model servers: `start_gateway("its name", …)`. `change` is given its configuration."""

    def start(name, change=None, secrets=None, **options):
        config = config_for(near, far)
        if change:
            change(config)
        gateways.append(Gateway(logs / name, config, SECRETS | (secrets or {}), **options))
        return gateways[-1]

    return start


@pytest.fixture(scope="session")
def gateway(start_gateway):
    """The gateway that no test changes."""
    return start_gateway("gateway")


@pytest.fixture(scope="session")
def client(gateway):
    """OpenAI's own client, with a key for every model."""
    return openai_client(gateway, KEY)


def openai_client(gateway, api_key, **options):
    return OpenAI(api_key=api_key, base_url=gateway.base_url, max_retries=0, timeout=15, **options)


@pytest.fixture(autouse=True, scope="module")
def no_filter_dies(gateways):
    """After every module of tests, no filter of any gateway has trapped."""
    yield
    for gateway in gateways:
        assert gateway.filter_failures() == {}, gateway.tails()


@pytest.hookimpl(hookwrapper=True)
def pytest_runtest_makereport(item):
    """A failed test shows the end of what its gateway wrote."""
    report = (yield).get_result()
    if report.when == "call" and report.failed:
        for name, value in item.funcargs.items():
            if isinstance(value, Gateway):
                report.sections.append((f"what {name} wrote", value.tails()))
