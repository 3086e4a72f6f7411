#!/usr/bin/env python3
"""Measures the filters beside bare Envoy, in one run on this machine: `make bench`.

Every figure is for one Envoy with one worker and the simulator as upstream, on loopback. Ratios carry over to other
machines, the absolute figures do not.
"""

import json
import os
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import httpx

ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT / "tests/e2e"))

from harness.chain import COUNTED, bootstrap  # noqa: E402
from harness.process import Process, envoy_binary, free_port, modules_dir, until  # noqa: E402
from harness.sim import Sim  # noqa: E402

KEY = "wk-docs-all"
BODY = json.dumps({"model": "docs-small", "messages": [{"role": "user", "content": "hello"}]})
EVENTS = 500
# Every event is fitted: the model has another name here than at the upstream, and the usage is asked for and hidden.
STREAM = json.dumps(json.loads(BODY) | {"stream": True, "max_tokens": EVENTS})
SECONDS, ROUNDS, CONNECTIONS = 4, 5, 4
CHAINS = {
    "bare Envoy": [],
    "auth": ["auth"],
    "auth, router": ["auth", "router"],
    "auth, router, model-compat": ["auth", "router", "model-compat"],
    "auth, router, quota, model-compat": ["auth", "router", "quota", "model-compat"],
}
WITHOUT_QUOTA_AND_WITH = ["auth, router, model-compat", "auth, router, quota, model-compat"]
STREAMED = ["bare Envoy", "auth, router", "auth, router, quota, model-compat"]


class Gateway:
    """An Envoy with one worker."""

    def __init__(self, logs, filters, modules, upstream):
        self.port, self.admin_port = free_port(), free_port()
        file = logs / "envoy.yaml"
        file.write_text(bootstrap(filters, modules, upstream, self.port, self.admin_port))
        command = [envoy_binary(), "-c", file, "--concurrency", "1", "--use-dynamic-base-id", "--log-level", "error"]
        started = time.monotonic()
        self.process = Process("envoy", command, logs)
        self.process.wait_until(self._answers, "answers")
        self.cold_start = time.monotonic() - started

    def _answers(self):
        return self.post(BODY).status_code == 200

    def post(self, body):
        headers = {"authorization": f"Bearer {KEY}", "content-type": "application/json"}
        return httpx.post(f"http://127.0.0.1:{self.port}/v1/chat/completions", content=body, headers=headers, timeout=30)

    def cpu_seconds(self):
        fields = Path(f"/proc/{self.process.pid}/stat").read_text().rsplit(")", 1)[1].split()
        return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")

    def rss_mib(self):
        pages = int(Path(f"/proc/{self.process.pid}/statm").read_text().split()[1])
        return pages * os.sysconf("SC_PAGESIZE") / 2**20


def load(gateway, folder, body=BODY):
    """Requests a second, CPU microseconds of Envoy for each, and their latency in milliseconds: p50 and p99."""
    script = folder / "post.lua"
    script.write_text(
        f"wrk.method, wrk.body = 'POST', [==[{body}]==]\n"
        f"wrk.headers['authorization'] = 'Bearer {KEY}'\nwrk.headers['content-type'] = 'application/json'\n"
        "done = function(s, latency) io.write(string.format('%d %d %d %d %d\\n', s.requests, s.duration, s.errors.status, "
        "latency:percentile(50), latency:percentile(99))) end\n"
    )
    before = gateway.cpu_seconds()
    url = f"http://127.0.0.1:{gateway.port}/v1/chat/completions"
    command = ["wrk", "-t1", f"-c{CONNECTIONS}", f"-d{SECONDS}", "-s", str(script), url]
    out = subprocess.run(command, check=True, capture_output=True, text=True).stdout
    requests, micros, errors, *latency = map(int, out.splitlines()[-1].split())
    if errors or not requests:
        sys.exit(f"bench: {errors} of {requests} requests failed")
    used = gateway.cpu_seconds() - before
    return requests / micros * 1e6, used / requests * 1e6, *(micros / 1e3 for micros in latency)


def host_calls(folder, upstream):
    """Host calls of one small request, filter by filter."""
    gateway = Gateway(folder, COUNTED, modules_dir() / "counted", upstream)
    gateway.post(BODY)
    until(lambda: gateway.process.out.read_text().strip(), "a line of the access log")
    gateway.process.stop()
    return dict(zip(COUNTED, gateway.process.out.read_text().splitlines()[-1].split()))


def main():
    if not shutil.which("wrk"):
        sys.exit("bench: wrk is missing: install it (Debian: apt-get install wrk)")
    with tempfile.TemporaryDirectory() as name:
        measure(Path(name))


def measure(folder):
    sim = Sim(folder, name="sim")
    gateways = {}
    for number, (chain, filters) in enumerate(CHAINS.items()):
        logs = folder / str(number)
        logs.mkdir()
        gateways[chain] = Gateway(logs, filters, modules_dir(), sim.port)
    print("Modules:")
    for name, file in json.loads((modules_dir() / "modules.json").read_text()).items():
        print(f"  {name:12} {(modules_dir() / file).stat().st_size / 1024:5.0f} KiB")
    # Rounds are interleaved, so that what else the machine does falls on all chains alike.
    loads = {chain: [] for chain in CHAINS}
    streams = {chain: [] for chain in STREAMED}
    for _ in range(ROUNDS):
        for chain, gateway in gateways.items():
            loads[chain].append(load(gateway, folder))
        for chain, measured in streams.items():
            measured.append(load(gateways[chain], folder, STREAM))
    report(gateways, loads)
    report_streams(streams)
    counted = folder / "counted"
    counted.mkdir()
    calls = ", ".join(f"{name} {number}" for name, number in host_calls(counted, sim.port).items())
    print(f"\nHost calls of a small chat request: {calls}")
    for gateway in gateways.values():
        gateway.process.stop()
    sim.stop()


def report(gateways, loads):
    middle = {chain: [statistics.median(column) for column in zip(*loads[chain])] for chain in gateways}
    bare = middle["bare Envoy"]
    print(f"\nMedian of {ROUNDS} rounds of {SECONDS} s, {CONNECTIONS} connections, one worker:\n")
    head = ("chain", "req/s", "ratio", "CPU µs/req", "ratio", "p50 ms", "p99 ms", "RSS MiB", "start s")
    print("| " + " | ".join(head) + " |\n|" + "---|" * len(head))
    for chain, gateway in gateways.items():
        rate, cpu, p50, p99 = middle[chain]
        row = (
            chain,
            f"{rate:.0f}",
            f"{rate / bare[0]:.2f}",
            f"{cpu:.0f}",
            f"{cpu / bare[1]:.2f}",
            f"{p50:.2f}",
            f"{p99:.2f}",
            f"{gateway.rss_mib():.0f}",
            f"{gateway.cold_start:.1f}",
        )
        print("| " + " | ".join(row) + " |")
    without, quota = (middle[chain][2:] for chain in WITHOUT_QUOTA_AND_WITH)
    added = ", ".join(f"{name} {after - before:+.2f} ms" for name, before, after in zip(("p50", "p99"), without, quota))
    print(f"\nLatency that quota adds: {added}")


def report_streams(loads):
    """What an event costs: those of a stream, and its share of the rest of its request."""
    middle = {chain: [statistics.median(column) / EVENTS for column in zip(*rows)] for chain, rows in loads.items()}
    bare = middle["bare Envoy"][1]
    print(f"\nStreams of {EVENTS} events, in the same rounds:\n")
    head = ("chain", "events/s", "ratio", "CPU µs/event", "more than bare")
    print("| " + " | ".join(head) + " |\n|" + "---|" * len(head))
    for chain, (_, cpu, *_) in middle.items():
        rate = statistics.median(rate for rate, *_ in loads[chain]) * EVENTS
        ratio = rate / (statistics.median(rate for rate, *_ in loads["bare Envoy"]) * EVENTS)
        print(f"| {chain} | {rate:.0f} | {ratio:.2f} | {cpu:.1f} | {cpu - bare:+.1f} |")


if __name__ == "__main__":
    main()
