"""What a small request costs in host calls, counted by modules that are built to count."""

import json

import yaml

from harness.envoy import Envoy
from harness.process import free_port, modules_dir, until
from harness.sim import Sim
from test_lookup import post
from test_static_example import relocated

FORMAT = "%FILTER_STATE(wasm.weir.host_calls.auth:PLAIN)% %FILTER_STATE(wasm.weir.host_calls.router:PLAIN)%\n"


def counted(bootstrap):
    """The bootstrap with the counting modules, and an access log that shows what they count."""
    manager = bootstrap["static_resources"]["listeners"][0]["filter_chains"][0]["filters"][0]["typed_config"]
    modules = modules_dir() / "counted"
    files = json.loads((modules / "modules.json").read_text())
    for plugin in (one["typed_config"]["config"] for one in manager["http_filters"] if one["name"].startswith("weir.")):
        plugin["vm_config"]["code"]["local"]["filename"] = str(modules / files[plugin["root_id"]])
    log = {
        "@type": "type.googleapis.com/envoy.extensions.access_loggers.file.v3.FileAccessLog",
        "path": "/dev/stdout",
        "log_format": {"text_format_source": {"inline_string": FORMAT}},
    }
    manager["access_log"] = [{"name": "calls", "typed_config": log}]
    return bootstrap


def test_auth_and_router_make_few_host_calls(logs):
    folder, port, admin_port = logs / "calls", free_port(), free_port()
    sim = Sim(folder, name="sim-calls")
    servers = {8080: sim.port, 8081: sim.port}
    text = relocated("envoy-auth-router.yaml", servers, admin_port, port)
    file = folder / "envoy.yaml"
    file.write_text(yaml.safe_dump(counted(yaml.safe_load(text))))
    envoy = Envoy(file, folder, admin_port, port)
    try:
        assert post(envoy, "wk-docs-all", "calls").status_code == 200
        line = until(lambda: envoy.process.out.read_text().splitlines(), "a line of the access log")[0]
    finally:
        envoy.stop()
        sim.stop()
    auth, router = map(int, line.split())
    assert (auth, router) == (7, 10), "more is slower; fewer is news for docs/operations.md"
