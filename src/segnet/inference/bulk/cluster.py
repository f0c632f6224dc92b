"""Ray itself: a cluster of this machine that leaves nothing behind, or one that is there; its errors."""

from __future__ import annotations

import logging
import os
import secrets
import socket
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, redirect_stdout, suppress
from pathlib import Path
from typing import Any

from segnet.base.errors import SegnetError
from segnet.inference.bulk.places import explained

_CONNECT_S, _ANSWER_S, _END_S = 5, 20, 10
_START = "; start one with: ray start --head, and segnet on one of its machines"


@contextmanager
def cluster(address: str | None, cores: int) -> Iterator[tuple[Any, str | None]]:
    """Give Ray, connected to the cluster at an address, or to a new one of this machine's cores.

    The second value is a folder for temporary files of a new cluster's workers: what killed ones leave goes
    with it. Meanwhile nothing that is printed to ``sys.stdout`` appears.

    Raises:
        SegnetError: no cluster answers there, or none can be started here.
    """
    what, remedy, to = f"no Ray cluster can be reached at {address}", _START, dict[str, Any](address=address)
    if address not in (None, "auto"):
        _require_answer(str(address), what)
    # Ray reports nothing to anyone, ships no folder of ours, and keeps its log out of our output
    os.environ |= {"RAY_USAGE_STATS_ENABLED": "0", "RAY_ENABLE_UV_RUN_RUNTIME_ENV": "0"}
    os.environ["RAY_BACKEND_LOG_LEVEL"] = "fatal"
    # the folder holds sockets, whose paths are limited to about 100 characters
    place = "/tmp" if Path("/tmp").is_dir() else None  # noqa: S108
    with (
        tempfile.TemporaryDirectory(prefix="segnet-ray-", dir=place, ignore_cleanup_errors=True) as folder,
        Path(os.devnull).open("w") as nothing,
        # Ray prints there what becomes of its tasks, some of it when it ends; the caller keeps the true one
        redirect_stdout(nothing),
    ):
        if address is None:
            what, remedy = "Ray can't start on this machine", ""
            to = {"address": "local", "num_cpus": cores, "include_dashboard": False, "_temp_dir": folder}
            # its ports are open to the network: a token keeps others out, and isn't left in the home folder
            if "RAY_AUTH_MODE" not in os.environ:
                os.environ |= {"RAY_AUTH_MODE": "token", "RAY_AUTH_TOKEN": secrets.token_hex(32)}
        with explained(what, remedy), _without_standard_error(nothing.fileno()):
            import psutil
            import ray.data

            before = psutil.Process().children()
            ray.init(**to, logging_level=logging.CRITICAL, log_to_driver=False)
            rays = [each for each in psutil.Process().children() if each not in before]
        try:
            for name in ("ray", "ray.data"):
                logging.getLogger(name).setLevel(logging.CRITICAL)
            context = ray.data.DataContext.get_current()
            context.enable_progress_bars = context.print_on_execution_start = False
            context.raise_original_map_exception = True
            yield ray, None if address else folder
        finally:
            family = list(rays)
            for each in rays:
                with suppress(psutil.Error):  # it may have ended
                    family += each.children(recursive=True)
            ray.shutdown()
            for each in psutil.wait_procs(family, timeout=_END_S)[1]:  # busy workers may outlive it
                with suppress(psutil.Error):
                    each.kill()


@contextmanager
def _without_standard_error(nothing: int) -> Iterator[None]:
    """Drop what code that isn't Python's writes to standard error: how much Ray will say."""
    sys.stderr.flush()
    kept = os.dup(2)
    os.dup2(nothing, 2)
    try:
        yield
    finally:
        os.dup2(kept, 2)
        os.close(kept)


def _require_answer(address: str, what: str) -> None:
    host, _, port = address.rpartition(":")
    if not host or not port.isdigit() or "://" in address:
        raise SegnetError(f"--ray-address is HOST:PORT of a cluster's head, or auto, not {address}")
    with explained(what, _START):
        socket.create_connection((host, int(port)), timeout=_CONNECT_S).close()
        # something listens; whether it is Ray, ray.init would take minutes to find out
        health = [sys.executable, "-m", "ray.scripts.scripts", "health-check", "--address", address]
        try:
            subprocess.run(health, capture_output=True, check=True, timeout=_ANSWER_S)
        except subprocess.TimeoutExpired as error:
            raise TimeoutError(f"what listens there didn't answer in {_ANSWER_S} s") from error
        except subprocess.CalledProcessError as error:
            raise ConnectionError("what listens there is no Ray of this version") from error
