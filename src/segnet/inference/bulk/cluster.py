"""Ray itself: a cluster of this machine that leaves nothing behind, or one that is there; its errors."""

from __future__ import annotations

import logging
import os
import re
import secrets
import shutil
import socket
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, redirect_stdout, suppress
from pathlib import Path
from typing import Any

from segnet.base.errors import SegnetError
from segnet.inference.bulk.places import reason

_STORE = 256 << 20  # bytes for what processes hand to each other: names and lines, beside the model
_CONNECT_S, _ANSWER_S, _END_S = 5, 20, 10
_OURS = re.compile(r"^(?:.*\.)?(?:SegnetError|MissingPackageError|Fault): (.+)$", re.MULTILINE)


@contextmanager
def cluster(address: str | None, cores: int, model_bytes: int) -> Iterator[Any]:
    """Give Ray, connected to the cluster at an address, or to a new one of this machine's cores.

    Meanwhile nothing that is printed to ``sys.stdout`` appears.

    Raises:
        SegnetError: no cluster answers there, or none can be started here.
    """
    # Ray reads these when it is imported or started: it reports nothing to anyone, ships no folder of ours,
    # and keeps its log out of our output
    os.environ |= {
        "RAY_USAGE_STATS_ENABLED": "0",
        "RAY_ENABLE_UV_RUN_RUNTIME_ENV": "0",
        "RAY_BACKEND_LOG_LEVEL": "fatal",
    }
    if address is None and "RAY_AUTH_MODE" not in os.environ:
        # its ports are open to the network: a token keeps others out, and isn't left in the home folder
        os.environ |= {"RAY_AUTH_MODE": "token", "RAY_AUTH_TOKEN": secrets.token_hex(32)}
    elif address is not None and address != "auto":
        _require_answer(address)
    import ray
    import ray.data

    quiet: dict[str, Any] = {"logging_level": logging.CRITICAL, "log_to_driver": False}
    # the folder holds sockets, whose paths are limited to about 100 characters
    folder = tempfile.mkdtemp(prefix="segnet-ray-", dir="/tmp" if Path("/tmp").is_dir() else None)  # noqa: S108
    try:
        # Ray's first line says how much it will say; what killed workers leave goes with the folder
        with _without_standard_error(), _temporary_files_in(folder if address is None else None):
            if address is None:
                ray.init(
                    "local",
                    num_cpus=cores,
                    include_dashboard=False,
                    object_store_memory=_STORE + 3 * model_bytes,
                    _temp_dir=folder,
                    **quiet,
                )
            else:
                ray.init(address, **quiet)
    except Exception as error:
        shutil.rmtree(folder, ignore_errors=True)
        if address is None:
            raise SegnetError(f"Ray can't start on this machine: {reason(error)}") from error
        raise _no_cluster(address, reason(error)) from error
    # Ray prints there what becomes of its tasks, some of it when it ends; the caller keeps the true one
    with Path(os.devnull).open("w") as nothing, redirect_stdout(nothing):
        try:
            for name in ("ray", "ray.data"):
                logging.getLogger(name).setLevel(logging.CRITICAL)
            context = ray.data.DataContext.get_current()
            context.enable_progress_bars = False
            context.print_on_execution_start = False
            yield ray
        finally:
            _shut_down(ray)
            shutil.rmtree(folder, ignore_errors=True)


def _shut_down(ray: Any) -> None:
    """End what Ray has started here; on a busy machine some of its workers outlive it."""
    import psutil

    family = psutil.Process().children(recursive=True)
    started = [each for each in family if "ray" in _command_of(each)]
    ray.shutdown()
    for each in psutil.wait_procs(started, timeout=_END_S)[1]:
        with suppress(psutil.Error):
            each.kill()


def _command_of(process: Any) -> str:
    import psutil

    try:
        return " ".join(process.cmdline())
    except psutil.Error:  # it has ended
        return ""


@contextmanager
def _temporary_files_in(folder: str | None) -> Iterator[None]:
    """Tell processes that are started now where to put temporary files."""
    before = os.environ.get("TMPDIR")
    if folder is not None:
        os.environ["TMPDIR"] = folder
    try:
        yield
    finally:
        if before is None:
            os.environ.pop("TMPDIR", None)
        else:
            os.environ["TMPDIR"] = before


@contextmanager
def _without_standard_error() -> Iterator[None]:
    """Drop what code that isn't Python's writes to standard error."""
    sys.stderr.flush()
    kept = os.dup(2)
    try:
        with Path(os.devnull).open("w") as nothing:
            os.dup2(nothing.fileno(), 2)
        yield
    finally:
        os.dup2(kept, 2)
        os.close(kept)


def places_for_workers(ray: Any, wants_gpu: bool, *, required: bool) -> tuple[int, int]:
    """Return how many workers the cluster has room for, and how many GPUs each takes, 0 or 1.

    Raises:
        SegnetError: GPUs are required and it has none.
    """
    has = ray.cluster_resources()
    gpus = int(has.get("GPU", 0)) if wants_gpu else 0
    if required and not gpus:
        raise SegnetError("--device cuda, but Ray sees no GPU in the cluster; take --device cpu")
    return (gpus, 1) if gpus else (int(has.get("CPU", 1)), 0)


def explained(error: Exception) -> Exception:
    """Return what to say of an error from a worker: its own line where it is ours, else what Ray says."""
    text = str(error)
    ours = _OURS.findall(text)
    if ours:
        return SegnetError(ours[-1])
    if "died" in text or "unavailable" in text.lower():
        return SegnetError(
            f"workers died and could not be replaced ({_last_line(text)}); what is done is kept, and a "
            "second start does the rest"
        )
    return RuntimeError(_last_line(text) or type(error).__name__)


def _last_line(text: str) -> str:
    return next((line.strip() for line in reversed(text.splitlines()) if line.strip()), "")


def _require_answer(address: str) -> None:
    host, _, port = address.rpartition(":")
    if not host or not port.isdigit() or "://" in address:
        raise SegnetError(f"--ray-address is HOST:PORT of a cluster's head, or auto, not {address}")
    try:
        socket.create_connection((host, int(port)), timeout=_CONNECT_S).close()
    except (OSError, OverflowError) as error:
        raise _no_cluster(address, reason(error)) from error
    # something listens; whether it is Ray, ray.init would take minutes to find out
    health = [sys.executable, "-m", "ray.scripts.scripts", "health-check", "--address", address]
    try:
        subprocess.run(health, capture_output=True, check=True, timeout=_ANSWER_S)
    except subprocess.TimeoutExpired as error:
        raise _no_cluster(address, f"what listens there didn't answer in {_ANSWER_S} s") from error
    except subprocess.CalledProcessError as error:
        raise _no_cluster(address, "what listens there is no Ray of this version") from error


def _no_cluster(address: str, why: str) -> SegnetError:
    return SegnetError(
        f"no Ray cluster can be reached at {address}: {why}; start one with: ray start --head, "
        "and segnet on one of its machines"
    )
