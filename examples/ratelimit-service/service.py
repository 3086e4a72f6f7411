#!/usr/bin/env python3
"""A rate limit service for trying things out: `service.py PORT LIMITS.json`.

It speaks envoy.service.ratelimit.v3, as envoyproxy/ratelimit does, and like that counts in windows of fixed length; but
in memory, for one process. A line says what each request has added.
"""

import json
import sys
import threading
import time
from concurrent import futures

import grpc
from envoy.service.ratelimit.v3 import rls_pb2, rls_pb2_grpc

SECONDS = {"second": 1, "minute": 60, "hour": 3600, "day": 86400}
CODE = rls_pb2.RateLimitResponse.Code


class Service(rls_pb2_grpc.RateLimitServiceServicer):
    """`limits` has an object for each limit: what a descriptor must have, its `unit`, and how much of it there is."""

    def __init__(self, limits):
        self._limits, self._counts, self._lock = limits, {}, threading.Lock()

    def ShouldRateLimit(self, request, context):
        with self._lock:
            statuses = [self._add(one, addend(request, one)) for one in request.descriptors]
        over = any(status.code == CODE.OVER_LIMIT for status in statuses)
        return rls_pb2.RateLimitResponse(
            overall_code=CODE.OVER_LIMIT if over else CODE.OK, statuses=statuses
        )

    def _add(self, descriptor, hits):
        entries = {entry.key: entry.value for entry in descriptor.entries}
        limit = next((one for one in self._limits if one["descriptor"].items() <= entries.items()), None)
        if limit is None:
            return rls_pb2.RateLimitResponse.DescriptorStatus(code=CODE.OK)
        window = int(time.time()) // SECONDS[limit["unit"]]
        key = (window, *sorted(entries.items()))
        count = self._counts[key] = self._counts.get(key, 0) + hits
        is_over = count > limit["most"]
        print(f"{entries} +{hits}: {count} of {limit['most']}", flush=True)
        return rls_pb2.RateLimitResponse.DescriptorStatus(
            code=CODE.OVER_LIMIT if is_over else CODE.OK,
            limit_remaining=max(0, limit["most"] - count),
        )


def addend(request, descriptor):
    """What a descriptor adds: its own number, which may be 0, or that of the request, or one."""
    if descriptor.HasField("hits_addend"):
        return descriptor.hits_addend.value
    return request.hits_addend or 1


def main():
    with open(sys.argv[2]) as file:
        limits = json.load(file)
    server = grpc.server(futures.ThreadPoolExecutor(8))
    rls_pb2_grpc.add_RateLimitServiceServicer_to_server(Service(limits), server)
    server.add_insecure_port(f"127.0.0.1:{sys.argv[1]}")
    server.start()
    print("ready", flush=True)
    server.wait_for_termination()


if __name__ == "__main__":
    main()
