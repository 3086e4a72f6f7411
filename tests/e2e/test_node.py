"""OpenAI's client for Node, unmodified, with upstreams of each interface."""

from conftest import KEY
from harness import node
from test_protocols import UPSTREAMS, spoken  # noqa: F401 (a fixture)


def test_openais_client_for_node_gets_what_it_asks_for(spoken, near):  # noqa: F811
    env = {"BASE_URL": spoken.base_url, "API_KEY": KEY, "MODELS": ",".join(UPSTREAMS)}
    done = node.run("openai.test.mjs", env=env)
    assert done.returncode == 0 and "fail 0" in done.stdout, done.stdout[-8000:] + done.stderr[-2000:]
    assert len(near.seen("node-429")) == 2
    near.wait_for("node-abort", "client_gone")
