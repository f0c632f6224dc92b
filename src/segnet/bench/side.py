"""One side of ``segnet bench models``: a model in one runtime, in a process that sleeps between its turns.

A process of its own keeps threads, allocators and settings of the runtimes apart, and is what memory can be
measured on. The functions below the class run in it; nothing there imports torch but torch's own sides.
"""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Callable, Sequence
from concurrent.futures import Future, ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from contextlib import suppress
from dataclasses import dataclass
from functools import partial
from multiprocessing import get_context
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from segnet.base.errors import SegnetError

_ONLY_FATAL = 4  # of what ONNX Runtime logs; what goes wrong is raised as well
_WARM_UP_RUNS = 3
# A turn is one run that isn't counted, since the others have had the caches, and up to this many that are;
# slow models get one.
_RUNS_A_TURN, _TURN_S = 3, 0.2

Floats = npt.NDArray[np.float32]
Run = Callable[[Floats], object]


@dataclass(frozen=True)
class Side:
    """What one process opens."""

    model: str
    runtime: str
    path: Path
    """An ``.onnx`` file, or a module that ``torch.save`` wrote."""
    scale: float
    """What the model takes for full brightness, 1 or 255."""
    parameters: int
    size_bytes: int
    """Of the file that a user would ship."""
    batch_sizes: Sequence[int]
    """Those that it takes, ascending."""
    is_beside: bool = False
    """Someone else's model, which ours are compared with."""

    @property
    def engine(self) -> str:
        """The runtime's package, whatever the precision."""
        return self.runtime.removesuffix("-int8")


class SideProcess:
    """A side's process, for the time of a ``with`` block.

    Args:
        side: what it opens.
        images: an ``.npy`` file of float32 ``(N, 3, H, W)`` in [0, 1], as many as the largest batch.
        threads: how many compute.
    """

    def __init__(self, side: Side, images: Path, threads: int) -> None:
        self.side = side
        self._start = (side, images, threads)
        # As the segnet command does, for whoever calls this from Python: torch's waiting threads must not
        # take the cores from whose turn is next. The process needs it before it imports torch.
        os.environ.setdefault("GOMP_SPINCOUNT", "1000")
        self._process = ProcessPoolExecutor(1, mp_context=get_context("spawn"))
        self.memory_mib: dict[int, float | None] = {}
        """By batch size: the most memory so far on top of what was there before the model was opened."""

    def __enter__(self) -> SideProcess:
        """Open the model and run each batch size a few times.

        Raises:
            SegnetError: a file that the runtime can't open or run.
        """
        try:
            self._result(self._process.submit(_open, *self._start))
            for batch_size in self.side.batch_sizes:
                self.memory_mib[batch_size] = self._result(self._process.submit(_warm_up, batch_size))
        except BaseException:
            self.__exit__()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        """End the process."""
        self._process.shutdown()

    def take_turn(self, batch_size: int) -> list[float]:
        """Return the seconds of a few runs while the other sides sleep."""
        return self._result(self._process.submit(_take_turn, batch_size))

    def _result(self, future: Future[Any]) -> Any:
        what = f"{self.side.model} can't be run by {self.side.runtime}"
        try:
            return future.result()
        except BrokenProcessPool as error:
            raise SegnetError(f"{what}: its process was ended, perhaps for want of memory") from error
        except Exception as error:  # runtimes' errors have nothing but Exception in common
            lines = [line.strip() for line in str(error).splitlines() if line.strip()]
            raise SegnetError(f"{what}: {lines[-1] if lines else type(error).__name__}") from error


_opened: tuple[Run, Floats, int | None]


def _open(side: Side, images: Path, threads: int) -> None:
    global _opened
    openers: dict[str, Callable[[int], Callable[[Path], Run]]] = {
        "torch": _open_torch,
        "torch-compiled": partial(_open_torch, compiled=True),
        "onnxruntime": _open_onnxruntime,
        "openvino": _open_openvino,
        "litert": _open_litert,
    }
    scaled = np.load(images) * np.float32(side.scale)
    open_file = openers[side.engine](threads)  # imports the runtime
    before = _peak_bytes(anew=True)
    _opened = open_file(side.path), scaled, before


def _warm_up(batch_size: int) -> float | None:
    run, images, before = _opened
    for _ in range(_WARM_UP_RUNS):
        run(images[:batch_size])
    after = _peak_bytes()
    return None if before is None or after is None else (after - before) / 2**20


def _take_turn(batch_size: int) -> list[float]:
    run, images, _ = _opened
    batch = images[:batch_size]
    run(batch)
    seconds: list[float] = []
    while len(seconds) < _RUNS_A_TURN and sum(seconds) < _TURN_S:
        started = time.perf_counter()
        run(batch)
        seconds.append(time.perf_counter() - started)
    return seconds


def _open_torch(threads: int, *, compiled: bool = False) -> Callable[[Path], Run]:
    import torch

    from segnet.base.device import move

    torch.set_num_threads(threads)

    def open_file(path: Path) -> Run:
        # ours, from the temporary folder of this comparison
        model = move(torch.load(path, weights_only=False), torch.device("cpu")).eval()
        forward = torch.compile(model, dynamic=False) if compiled else model

        def run(images: Floats) -> object:
            with torch.inference_mode():
                batch = torch.from_numpy(images).to(memory_format=torch.channels_last)
                return forward(batch).numpy()

        return run

    return open_file


def _open_onnxruntime(threads: int) -> Callable[[Path], Run]:
    import onnxruntime

    def open_file(path: Path) -> Run:
        options = onnxruntime.SessionOptions()
        options.log_severity_level = _ONLY_FATAL
        options.intra_op_num_threads, options.inter_op_num_threads = threads, 1
        # Threads that spin while they wait would take the cores from whose turn is next.
        options.add_session_config_entry("session.intra_op.allow_spinning", "0")
        session = onnxruntime.InferenceSession(path, options, providers=["CPUExecutionProvider"])
        name = session.get_inputs()[0].name
        return lambda images: session.run(None, {name: images})

    return open_file


def _open_openvino(threads: int) -> Callable[[Path], Run]:
    import openvino

    core = openvino.Core()
    core.get_property("CPU", "FULL_DEVICE_NAME")  # loads the part for CPUs, which is no model's memory

    def open_file(path: Path) -> Run:
        settings = {
            "INFERENCE_PRECISION_HINT": "f32",  # bfloat16 is taken unasked where the processor has it
            "PERFORMANCE_HINT": "LATENCY",
            "INFERENCE_NUM_THREADS": threads,
        }
        request = core.compile_model(core.read_model(path), "CPU", settings).create_infer_request()
        return lambda images: request.infer([images])

    return open_file


def _open_litert(threads: int) -> Callable[[Path], Run]:
    from ai_edge_litert.interpreter import Interpreter

    def open_file(path: Path) -> Run:
        interpreter = Interpreter(model_path=str(path), num_threads=threads)
        interpreter.allocate_tensors()
        image, logits = interpreter.get_input_details()[0], interpreter.get_output_details()[0]

        def run(images: Floats) -> object:
            for each in images:  # a file takes one at a time, its channels last
                interpreter.set_tensor(image["index"], each.transpose(1, 2, 0)[None])
                interpreter.invoke()
            return interpreter.get_tensor(logits["index"])

        return run

    return open_file


def _peak_bytes(*, anew: bool = False) -> int | None:
    """Return the most memory that this process has held, None where the system doesn't say.

    Linux's ``ru_maxrss`` would start with the most that the parent has held, so there it is ``VmHWM`` that is
    read, and set back with ``anew``.
    """
    status = Path("/proc/self/status")
    if status.exists():
        if anew:
            with suppress(OSError):  # not everywhere allowed; then it is the most since the start
                Path("/proc/self/clear_refs").write_text("5")
        lines = (line.split() for line in status.read_text().splitlines())
        return next((1024 * int(words[1]) for words in lines if words[0] == "VmHWM:"), None)
    if sys.platform == "win32":
        return None
    import resource

    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak if sys.platform == "darwin" else 1024 * peak
