"""The filters in a bootstrap of the static example, any number of them, without `weir`."""

import copy
import json

import yaml

from .process import ROOT

COUNTED = ["auth", "router", "quota", "model-compat"]
# A limit that is counted and never met, and an upstream that needs nothing of what could be done for it.
CONFIGURATIONS = {
    "quota": {"rules": [{"name": "all", "per": ["consumer"], "limits": {"rpm": 10**9, "tpm": 10**12}}]},
    "model-compat": {"cluster": "small", "base_path": "/v1", "authority": "small"},
}


def bootstrap(filters, modules, upstream, port, admin_port):
    """The static example with these filters only; without the router every request goes to one cluster."""
    text = (ROOT / "examples/envoy-static/envoy-auth-router.yaml").read_text()
    config = yaml.safe_load(text.replace("8080", str(upstream)).replace("8081", str(upstream)))
    config["admin"]["address"]["socket_address"]["port_value"] = admin_port
    listener = config["static_resources"]["listeners"][0]
    listener["address"]["socket_address"]["port_value"] = port
    manager = listener["filter_chains"][0]["filters"][0]["typed_config"]
    if "model-compat" in filters:
        lead_to_attempts(manager["http_filters"][1])
    for cluster in config["static_resources"]["clusters"]:
        if "model-compat" in filters:
            own = plugin_like(manager["http_filters"][1], "model-compat")
            cluster["typed_extension_protocol_options"] = upstream_chain([own])
            relocate([own], modules)
    if "quota" in filters:
        manager["http_filters"].insert(2, plugin_like(manager["http_filters"][1], "quota"))
    names = {f"weir.{name}" for name in filters} | {"envoy.filters.http.router"}
    manager["http_filters"] = [one for one in manager["http_filters"] if one["name"] in names]
    relocate(manager["http_filters"], modules)
    manager["access_log"] = [log_of_calls()] if modules.name == "counted" else []
    if "router" not in filters:
        host = manager["route_config"]["virtual_hosts"][0]
        host["routes"] = [{"match": {"prefix": "/"}, "route": {"cluster": "small", "timeout": "0s"}}]
    return yaml.safe_dump(config)


def lead_to_attempts(router):
    """Has the router leave its models to the `model-compat` of their cluster."""
    value = router["typed_config"]["config"]["configuration"]
    config = json.loads(value["value"])
    for model in config["models"]:
        target = {"cluster": "small", "upstream_model": model.pop("upstream_model", model["name"])}
        model["targets"] = [target]
    value["value"] = json.dumps(config)


def plugin_like(one, name):
    """Another filter in the form of this one."""
    other = copy.deepcopy(one)
    other["name"] = other["typed_config"]["config"]["name"] = f"weir.{name}"
    other["typed_config"]["config"]["root_id"] = name
    other["typed_config"]["config"]["configuration"]["value"] = json.dumps(CONFIGURATIONS[name])
    return other


def relocate(chain, modules):
    """Has the filters loaded from where they were built."""
    for plugin in filter(None, (one["typed_config"].get("config") for one in chain)):
        file = modules / json.loads((modules / "modules.json").read_text())[plugin["root_id"]]
        plugin["vm_config"]["code"]["local"]["filename"] = str(file)


def upstream_chain(filters):
    """A cluster's own filters."""
    codec = "type.googleapis.com/envoy.extensions.filters.http.upstream_codec.v3.UpstreamCodec"
    options = "type.googleapis.com/envoy.extensions.upstreams.http.v3.HttpProtocolOptions"
    last = {"name": "envoy.filters.http.upstream_codec", "typed_config": {"@type": codec}}
    body = {"@type": options, "explicit_http_config": {"http_protocol_options": {}}, "http_filters": [*filters, last]}
    return {"envoy.extensions.upstreams.http.v3.HttpProtocolOptions": body}


def log_of_calls():
    """An access log of what counting modules have counted, filter by filter."""
    numbers = " ".join(f"%FILTER_STATE(wasm.weir.host_calls.{name}:PLAIN)%" for name in COUNTED)
    return {
        "name": "calls",
        "typed_config": {
            "@type": "type.googleapis.com/envoy.extensions.access_loggers.file.v3.FileAccessLog",
            "path": "/dev/stdout",
            "log_format": {"text_format_source": {"inline_string": numbers + "\n"}},
        },
    }
