#!/usr/bin/env python3
"""Measures what a chat template costs beside the same request without one, in one run: `make bench`.

One Envoy with one worker, the whole chain, the simulator as upstream, on loopback.
"""

import json
import os
import statistics
import sys
import tempfile
import time
from pathlib import Path

import httpx

ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT / "tests/e2e"))

from harness.gateway import Gateway, key, model  # noqa: E402
from harness.sim import Sim  # noqa: E402

KEY = "wk-bench-templates"
SIZES, ROUNDS, SECONDS = (3, 100, 2000), 3, 2
TASK = "Translate each comment. Input: {{ jsonify (slice_to_index_map .reply_list 1) }}"


def cpu_seconds(pid):
    user, system = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[11:13]
    return (int(user) + int(system)) / os.sysconf("SC_CLK_TCK")


def load(client, pid, path, body):
    """Asks for some time, one request after the other; returns CPU and time of a request in microseconds."""
    count, started, cpu = 0, time.monotonic(), cpu_seconds(pid)
    while time.monotonic() - started < SECONDS:
        client.post(path, content=body).raise_for_status()
        count += 1
    return (cpu_seconds(pid) - cpu) / count * 1e6, (time.monotonic() - started) / count * 1e6


def main():
    with tempfile.TemporaryDirectory() as folder:
        folder = Path(folder)
        sim = Sim(folder, name="templates")
        options = {"model_name": "chat", "prompt_template": TASK}
        config = {
            "keys": [key(KEY, "bench")],
            "providers": [{"name": "near", "upstream": f"{sim.url}/v1"}],
            "models": [model("chat", "near")],
            "routes": [{"path": "/v1/translate", "middlewares": [{"name": "v1_chat_template", "options": options}]}],
        }
        gateway = Gateway(folder / "gateway", config)
        headers = {"authorization": f"Bearer {KEY}", "content-type": "application/json"}
        pid = gateway._envoy.process.pid
        try:
            print("| items | bytes | request, CPU | with the template, CPU | difference | time of the request | with the template |")
            print("|---|---|---|---|---|---|---|")
            with httpx.Client(base_url=f"http://127.0.0.1:{gateway.port}", headers=headers, timeout=30) as client:
                for size in SIZES:
                    replies = [f"comment {at} says something" for at in range(size)]
                    indexed = json.dumps({str(at): reply for at, reply in enumerate(replies, 1)}, separators=(",", ":"))
                    content = TASK.partition("{{")[0] + indexed
                    plain = json.dumps({"model": "chat", "messages": [{"role": "user", "content": content}]})
                    kinds = {"/v1/chat/completions": plain, "/v1/translate": json.dumps({"reply_list": replies})}
                    rounds = [[load(client, pid, path, body) for path, body in kinds.items()] for _ in range(ROUNDS)]
                    figure = lambda kind, what: statistics.median(one[kind][what] for one in rounds)
                    direct, filled = figure(0, 0), figure(1, 0)
                    print(f"| {size} | {len(plain)} | {direct:.0f} µs | {filled:.0f} µs | {filled - direct:+.0f} µs | {figure(0, 1):.0f} µs | {figure(1, 1):.0f} µs |")
        finally:
            gateway.stop()
            sim.stop()


if __name__ == "__main__":
    main()
