"""A device that isn't there: its tensors are computed on the CPU, and lie elsewhere for everybody who asks.

Run as a script, it trains on that device, goes on with the run, scores it, and prints as JSON what came of it
and when the host waited for the device. Two tensors that lie on different devices are an error, as on a GPU.
A process of its own, since PyTorch can't forget a device again.
"""

import json
import os
import sys
from collections import Counter
from concurrent.futures import Future
from pathlib import Path

import kornia
import torch
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves, tree_map
from torch.utils.backend_registration import _setup_privateuseone_for_python_backend

import segnet
from segnet.data.store import batches
from segnet.training import loss_watch

NAME = "pretended"
SEGNET, KORNIA = (f"{Path(package.__file__).parent}{os.sep}" for package in (segnet, kornia))
WAITS = ("_local_scalar_dense", "nonzero", "masked_select", "equal.", "unique", "_unique", "bincount")
noted = Counter()


class Elsewhere(torch.Tensor):
    """A tensor of the device; ``here`` holds its values."""

    __torch_function__ = torch._C._disabled_torch_function_impl

    @staticmethod
    def __new__(cls, here):
        return torch.Tensor._make_wrapper_subclass(
            cls,
            here.size(),
            strides=here.stride(),
            storage_offset=here.storage_offset(),
            dtype=here.dtype,
            device=torch.device(NAME, 0),
        )

    def __init__(self, here):
        self.here = here

    def tolist(self):
        note("tolist, waits")
        return self.here.tolist()

    def __reduce_ex__(self, protocol):
        return self.here.__reduce_ex__(protocol)  # a state is read onto the CPU

    @classmethod
    def __torch_dispatch__(cls, func, types, args=(), kwargs=None):
        return run(func, args, kwargs or {})


class Everything(TorchDispatchMode):
    """Lets tensors that are made on the device, or moved there, be such."""

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        return run(func, args, kwargs or {})


def note(what):
    """Count who did it, the innermost first: kornia, or functions of segnet."""
    frames, frame = [], sys._getframe()
    while frame := frame.f_back:  # inspect and traceback read every source file
        frames.append((frame.f_code.co_filename, frame.f_code.co_name))
    if any(file.startswith(KORNIA) for file, _ in frames):
        who = "kornia"
    else:
        who = " < ".join(f"{Path(file).stem}.{name}" for file, name in frames if file.startswith(SEGNET))
    noted[what, who] += 1


def run(func, args, kwargs):
    """Compute on the CPU, and say where the result is."""
    name = str(func).removeprefix("aten.")
    if name.startswith("to."):  # as it comes under inference mode
        return func.decompose(*args, **kwargs)
    tensors = [each for each in tree_leaves((args, kwargs)) if isinstance(each, torch.Tensor)]
    there = [each for each in tensors if isinstance(each, Elsewhere)]
    wanted = kwargs.get("device") and torch.device(kwargs["device"]).type
    look(name, args, kwargs, tensors, wanted)
    if wanted == NAME:
        kwargs = kwargs | {"device": torch.device("cpu")}
    done = func(*tree_map(inside, args), **tree_map(inside, kwargs))
    if wanted not in (None, NAME) or not (wanted or there):
        return done
    same = {id(each.here): each for each in there}  # what was changed in place stays the tensor it is
    return tree_map(lambda each: same[id(each)] if id(each) in same else outside(each), done)


def inside(value):
    return value.here if isinstance(value, Elsewhere) else value


def outside(value):
    return Elsewhere(value) if isinstance(value, torch.Tensor) else value


def look(name, args, kwargs, tensors, wanted):
    """Note what makes the host wait for the device, and refuse what a device refuses."""
    there = [isinstance(each, Elsewhere) for each in tensors]
    if name.startswith("_to_copy"):
        if wanted is not None and there[0] != (wanted == NAME):
            wait = "no wait" if kwargs.get("non_blocking") else "waits"
            note(f"move {'from' if there[0] else 'to'}, {wait}")
    elif name.startswith("copy_"):
        if len(set(there)) > 1:
            note("copy, waits")
    elif any(there):
        if any(name.startswith(each) for each in WAITS):
            note(f"{name}, waits")
        elif name.startswith("index."):
            if any(each is not None and each.dtype == torch.bool for each in args[1]):
                note(f"{name} with booleans, waits")  # how many are true is the result's shape
        elif any(each.ndim for each, is_there in zip(tensors, there, strict=True) if not is_there):
            raise RuntimeError(f"{name}: expected all tensors to be on the same device")


class Inline:
    """What reads batches in a thread, without the thread: a dispatch mode is a thread's own."""

    def __init__(self, *args, **kwargs):
        pass

    def __enter__(self):
        return self

    def __exit__(self, *args):
        pass

    def submit(self, function, *args):
        future = Future()
        future.set_result(function(*args))
        return future


class Event:
    """A point on the device's way: everything has been computed by the time that anybody asks."""

    def record(self):
        pass

    def synchronize(self):
        pass


def as_on_a_gpu():
    """Let losses be looked at a step later, as they are where the device is called cuda."""
    first = loss_watch.LossWatch.__init__

    def init(self, *args):
        first(self, *args)
        self._late = not self._skips

    loss_watch.LossWatch.__init__ = init
    loss_watch.torch.cuda.Event = Event
    batches.ThreadPoolExecutor = Inline
    torch.inference_mode = torch.no_grad  # whose tensors a wrapper can't change in place


def main():
    _setup_privateuseone_for_python_backend(NAME)
    as_on_a_gpu()
    config = segnet.TrainConfig(**json.loads(sys.argv[1]) | {"out": Path(sys.argv[2]), "device": NAME})
    with Everything():
        done = segnet.train(config)
        trained = dict(noted)
        segnet.resume(done.folder, epochs=config.epochs + 1)
    lines = (done.folder / "metrics.jsonl").read_text().splitlines()
    print(
        json.dumps(
            {
                "noted": [[*key, count] for key, count in trained.items()],
                "losses": [json.loads(line)["train_loss"] for line in lines],
            }
        )
    )


if __name__ == "__main__":
    main()
