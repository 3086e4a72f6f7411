"""Several control planes behind one Envoy: a message reaches the one that holds its stream; one that dies takes no other's."""

import json
import threading

import anyio
import httpx
import pytest
from mcp import ClientSession
from mcp.client.sse import sse_client

from harness.gateway import Gateway, key
from harness.process import Process, built, free_port, until

KEYS = [f"wk-replica-{number}" for number in range(12)]
PING = {"jsonrpc": "2.0", "id": 1, "method": "ping"}


@pytest.fixture(scope="module")
def replicas(api, logs, gateways):
    """A gateway whose Envoy has two control planes, and the second of them."""
    tools = [{"name": "rest", "request_template": {"url": api.url + "/x"}}]
    options = {"apiOrchestrator": {"server": {"name": "logs"}, "tools": tools}}
    config = {
        "keys": [key(secret, secret) for secret in KEYS],
        "routes": [{"path": "/logs/*", "middlewares": [{"name": "v1_mcp_server", "options": options}]}],
    }
    first = Gateway(logs / "replicas-hub", config)
    gateways.append(first)
    xds, control = free_port(), free_port()
    command = [built("WEIR_BIN", "weir"), "serve", "--config", first.file, "--modules", first.modules]
    command += ["--xds", f"127.0.0.1:{xds}", "--admin", f"127.0.0.1:{control}", "--hub-gateway", f"http://127.0.0.1:{first.port}"]
    second = Process("second", command, first.logs)
    second.wait_until(lambda: httpx.get(f"http://127.0.0.1:{control}/readyz").status_code == 200, "is ready", 60)
    # What a name with two addresses becomes.
    one = next(line for line in first.bootstrap.read_text().splitlines() if first.xds.partition(":")[2] in line)
    two = one.replace(first.xds.partition(":")[2], str(xds))
    first.bootstrap.write_text(first.bootstrap.read_text().replace(one, f"{one}\n{two}"))
    first.start_envoy()
    first.wait_until_ready()
    yield first, second
    second.stop()


class Stream:
    """A stream of the old transport, read in a thread of its own."""

    def __init__(self, gateway, secret):
        self.http = httpx.Client(base_url=f"http://127.0.0.1:{gateway.port}", headers={"authorization": f"Bearer {secret}"}, timeout=30)
        self.data, self.is_over = [], False
        threading.Thread(target=self._read, daemon=True).start()
        until(lambda: self.data or self.is_over, "the stream says where messages go")

    def _read(self):
        try:
            with self.http.stream("GET", "/logs/sse") as answer:
                for line in answer.iter_lines():
                    if line.startswith("data: "):
                        self.data.append(line.removeprefix("data: "))
        except httpx.HTTPError:
            pass
        self.is_over = True

    def asks(self):
        """Whether a message that is sent is answered on the stream."""
        before = len(self.data)
        if self.http.post(self.data[0], json=PING).status_code != 202:
            return False
        until(lambda: len(self.data) > before, "the answer comes")
        return json.loads(self.data[-1])["result"] == {}


def test_a_message_reaches_the_replica_that_holds_its_stream(replicas):
    gateway, second = replicas
    streams = [Stream(gateway, secret) for secret in KEYS]
    for stream in streams * 3:
        assert stream.asks()
    # Whatever a session says, it leads nobody elsewhere.
    for forged in ("other.0123", "127.0.0.1:22", "", streams[1].data[0].partition("=")[2]):
        assert streams[0].http.post(f"/logs/message?session_id={forged}", json=PING).status_code == 404

    async def official():
        async with sse_client(f"http://127.0.0.1:{gateway.port}/logs/sse", headers={"authorization": f"Bearer {KEYS[0]}"}) as pipes:
            async with ClientSession(*pipes) as session:
                await session.initialize()
                return (await session.call_tool("rest", {})).content[0].text

    assert json.loads(anyio.run(official))["path"] == "/x"

    second.kill()
    lost = until(lambda: [stream for stream in streams if stream.is_over], "its streams end")
    kept = [stream for stream in streams if stream not in lost]
    assert kept, "both have had streams"
    assert all(stream.asks() for stream in kept)
    for stream in lost:
        answer = stream.http.post(stream.data[0], json=PING)
        assert answer.status_code == 404, answer.text
    # Who opens another finds the one that is left, though both are still known.
    for secret in {stream.http.headers["authorization"].removeprefix("Bearer ") for stream in lost}:
        assert until(lambda secret=secret: Stream(gateway, secret).asks(), "a new stream is served", 20)
