"""Keys that auth looks up on demand, with a body on its way meanwhile."""

import json
import threading
from concurrent.futures import ThreadPoolExecutor
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import httpx
import pytest
import yaml

from harness.envoy import Envoy
from harness.process import free_port, until
from harness.sim import Sim, fresh
from test_static_example import relocated

BODY = json.dumps({"model": "docs-small", "messages": [{"role": "user", "content": "hello"}]})


class Keys:
    """A key server that answers when it is told to."""

    def __init__(self):
        self.asked, self.answer, self.go = [], (404, {}), threading.Event()
        keys = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_GET(self):
                keys.asked.append(self.path)
                keys.go.wait(20)
                status, answer = keys.answer
                body = json.dumps(answer).encode()
                self.send_response(status)
                self.send_header("content-length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

            def log_message(self, *_):
                pass

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.port = self._server.server_address[1]
        threading.Thread(target=self._server.serve_forever, daemon=True).start()

    def hold(self, status, answer):
        """What will be answered, once `go` is set."""
        self.asked.clear()
        self.go.clear()
        self.answer = (status, answer)

    def stop(self):
        self.go.set()
        self._server.shutdown()


@pytest.fixture(scope="module")
def keys():
    keys = Keys()
    yield keys
    keys.stop()


@pytest.fixture(scope="module")
def upstream(logs):
    sim = Sim(logs / "lookup", name="sim-lookup")
    yield sim
    sim.stop()


@pytest.fixture(scope="module")
def gateway(logs, keys, upstream):
    """auth alone, with no key but those it looks up."""
    folder, port, admin_port = logs / "lookup", free_port(), free_port()
    bootstrap = yaml.safe_load(relocated("envoy-auth.yaml", {8080: upstream.port}, admin_port, port))
    resources = bootstrap["static_resources"]
    manager = resources["listeners"][0]["filter_chains"][0]["filters"][0]["typed_config"]
    auth = manager["http_filters"][0]["typed_config"]["config"]
    auth["configuration"]["value"] = json.dumps({"lookup": {"cluster": "keys", "timeout_ms": 20_000}})
    address = {"socket_address": {"address": "127.0.0.1", "port_value": keys.port}}
    endpoints = [{"lb_endpoints": [{"endpoint": {"address": address}}]}]
    resources["clusters"].append(
        {"name": "keys", "connect_timeout": "1s", "load_assignment": {"cluster_name": "keys", "endpoints": endpoints}}
    )
    file = folder / "envoy.yaml"
    file.write_text(yaml.safe_dump(bootstrap))
    envoy = Envoy(file, folder, admin_port, port)
    yield envoy
    envoy.stop()


def post(gateway, key, tag):
    headers = {"authorization": f"Bearer {key}", "sim-tag": tag}
    url = f"http://127.0.0.1:{gateway.port}/v1/chat/completions"
    return httpx.post(url, content=BODY, headers=headers, timeout=30)


def test_a_body_does_not_carry_a_request_past_a_lookup(gateway, keys, upstream):
    key, tag = fresh("wk"), fresh()
    keys.hold(404, {})
    with ThreadPoolExecutor() as pool:
        answer = pool.submit(post, gateway, key, tag)
        until(lambda: keys.asked, "the key is looked up")
        assert upstream.seen(tag) == []
        keys.go.set()
        assert answer.result().status_code == 401
    assert upstream.seen(tag) == []
    assert key not in keys.asked[0]
    # It stays unknown for a while, without another lookup.
    assert post(gateway, key, tag).status_code == 401
    assert len(keys.asked) == 1


def test_requests_that_wait_for_one_key_share_its_lookup(gateway, keys, upstream):
    key, tag = fresh("wk"), fresh()
    keys.hold(200, {"id": "later", "consumer": "team", "models": ["docs-*"]})
    before = gateway.stats("http.weir.downstream_rq_active")["http.weir.downstream_rq_active"]
    with ThreadPoolExecutor(20) as pool:
        answers = [pool.submit(post, gateway, key, tag) for _ in range(20)]
        active = "http.weir.downstream_rq_active"
        until(lambda: gateway.stats(active)[active] == before + 20, "all requests have come")
        assert upstream.seen(tag) == []
        keys.go.set()
        assert [answer.result().status_code for answer in answers] == [200] * 20
    assert len(keys.asked) <= 2, "one for each worker"
    assert {seen.body.decode() for seen in upstream.seen(tag)} == {BODY}
    assert post(gateway, key, tag).status_code == 200
    assert len(keys.asked) <= 2


def test_a_looked_up_key_is_held_to_its_models(gateway, keys, upstream):
    key, tag = fresh("wk"), fresh()
    keys.hold(200, {"id": "other", "consumer": "team", "models": ["something-else"]})
    keys.go.set()
    assert post(gateway, key, tag).status_code == 404
    assert upstream.seen(tag) == []


def test_a_key_server_that_fails_lets_nobody_in(gateway, keys, upstream):
    for status, answer in [(500, {}), (200, {"not": "a key"}), (302, {})]:
        key, tag = fresh("wk"), fresh()
        keys.hold(status, answer)
        keys.go.set()
        answer = post(gateway, key, tag)
        assert (answer.status_code, answer.json()["error"]["code"]) == (503, "key_lookup_unavailable")
        assert upstream.seen(tag) == []


def test_no_vm_failed(gateway):
    assert set(gateway.stats(r"wasm\..*\.vm_reload").values()) == {0}
