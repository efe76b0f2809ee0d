"""The program of a side process: answers request after request over a socket, by the function `answer` of one module.

    python -P side_program.py MODULE HANDLE ALONE

MODULE is a file that imports nothing of ProcOS, since here there is no path to it. It has `answer(request)`, both of
them bytes, and its bounds, `LARGEST_MEMORY` in bytes and `DEEPEST_STACK` in calls; `prepare()` is called once if it is
there. HANDLE is the number of the socket. After ALONE seconds over one request the program ends by itself: a worker
that was killed can kill nobody. It sends `READY`, then an answer for each message, each with its length in `SIZE_BYTES`
before it.
"""

from __future__ import annotations

import importlib.util
import signal
import socket
import sys
from contextlib import suppress
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable

READY = b"ready"
SIZE_BYTES = 4


def main(file: str, handle: int, alone: float) -> None:
    """Answer until the other end of the socket is closed; die over a request that takes longer than `alone` seconds."""
    for number in (signal.SIGINT, signal.SIGTERM):  # meant for the worker, which may have an answer to wait for
        signal.signal(number, signal.SIG_IGN)
    signal.signal(signal.SIGALRM, signal.SIG_DFL)  # kills; the worker, which does it sooner, may be dead
    module = _loaded(file)
    _bound(module)
    with socket.socket(fileno=handle) as end:
        _serve(end, module.answer, alone)


def _loaded(file: str) -> Any:
    specification = importlib.util.spec_from_file_location("answering", file)
    if specification is None or specification.loader is None:
        raise ImportError(f"{file} is no module")
    module = importlib.util.module_from_spec(specification)
    sys.modules[specification.name] = module
    specification.loader.exec_module(module)
    getattr(module, "prepare", lambda: None)()
    return module


def _bound(module: Any) -> None:
    import resource

    sys.setrecursionlimit(module.DEEPEST_STACK)
    with suppress(OSError, ValueError):  # a system without such a limit; the others hold
        resource.setrlimit(resource.RLIMIT_AS, (module.LARGEST_MEMORY, module.LARGEST_MEMORY))


def _serve(end: socket.socket, answer: Callable[[bytes], bytes], alone: float) -> None:
    with end.makefile("rwb") as stream:
        message = READY
        while True:
            stream.write(len(message).to_bytes(SIZE_BYTES) + message)
            stream.flush()
            size = int.from_bytes(stream.read(SIZE_BYTES))
            if not size:
                return
            signal.setitimer(signal.ITIMER_REAL, alone)
            message = answer(stream.read(size))
            signal.setitimer(signal.ITIMER_REAL, 0)


if __name__ == "__main__":
    main(sys.argv[1], int(sys.argv[2]), float(sys.argv[3]))
