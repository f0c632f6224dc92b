"""``bench``: this machine, ours beside stock PyTorch."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Annotated

from cyclopts import Parameter, Token

from segnet.base.errors import SegnetError
from segnet.base.files import expand_home
from segnet.base.settings import Whole
from segnet.cli.app import App, OptionalPath, OptionalWhole, app, print_all
from segnet.training.configuration.option_types import SizeOption

bench = App(name="bench", help="Measure this machine, ours beside stock PyTorch in one run.")
app.command(bench)


@bench.command(name="pooling")
def bench_pooling(
    *,
    batch_size: Whole = 16,
    repeats: Whole = 15,
    device: str = "auto",
    training: bool = True,
    csv: OptionalPath = None,
) -> int:
    """Time, bytes and training memory of the two-bit pooling, on the maps of the article's model.

    Close other programs first: each side is timed in turn and the median counts, but a busy machine still
    shows. Takes one to three minutes on a laptop.

    Args:
        batch_size: images in a batch.
        repeats: how often each side is timed.
        device: auto, or a device by name.
        training: also measure training steps.
        csv: write the numbers to this file.
    """
    import torch

    from segnet.base.device import pick_device
    from segnet.bench.machine import describe_machine
    from segnet.bench.pooling import compare_pooling, write_csv

    if batch_size < 1 or repeats < 1:
        raise SegnetError(f"--batch-size and --repeats must be at least 1, got {batch_size} and {repeats}")
    machine = describe_machine(torch.get_num_threads(), pick_device(device))
    print_all(machine.removeprefix("# "), f"{'':42}{'stock':>10}{'ours':>10}{'':5}{'ours/stock':>12}")
    rows = []
    for row in compare_pooling(batch_size=batch_size, repeats=repeats, device=device, training=training):
        rows.append(row)
        what = f"{row.quantity}, {row.case}"
        print(f"{what:42}{row.stock:10.4g}{row.ours:10.4g} {row.unit:4}{row.ratio:12.3f}", flush=True)
    if csv is not None:
        write_csv(expand_home(csv), rows, machine)
    return 0


def _parse_wholes(type_: object, tokens: Sequence[Token]) -> tuple[int, ...]:
    try:
        return tuple(int(part) for part in tokens[0].value.split(","))
    except ValueError:
        raise ValueError(f"whole numbers with commas between, such as 1,16, not {tokens[0].value}") from None


_Wholes = Annotated[
    tuple[int, ...],
    Parameter(
        converter=_parse_wholes, n_tokens=1, negative=(), metavar="N,N", show_default=lambda value: "1,16"
    ),
]
_Names = Annotated[
    tuple[str, ...] | None,
    Parameter(
        converter=lambda type_, tokens: tuple(tokens[0].value.split(",")),
        n_tokens=1,
        negative=(),
        metavar="NAME,NAME",
        show_default=False,
    ),
]


@bench.command(name="models")
def bench_models(
    *models: str,
    beside: Annotated[list[Path] | None, Parameter(show_default=False, negative=())] = None,
    runtimes: _Names = None,
    size: SizeOption = (128, 128),
    batch_sizes: _Wholes = (1, 16),
    threads: OptionalWhole = None,
    repeats: Whole = 15,
    stock: bool = True,
    csv: OptionalPath = None,
) -> int:
    """Size, latency and memory of models in torch and other runtimes, also in int8, taken in turns.

    Close other programs first. Two models take five minutes on a laptop, half of them to export. Weights are
    fresh for a model's name: how fast a model is doesn't depend on them.

    Args:
        models: names, run folders, .safetensors and .onnx files; by default segnet-lite and segnet-dsc.
        beside: an ONNX file of anyone's to compare with, if it takes one float (N, 3, H, W); may be repeated.
        runtimes: torch, torch-compiled, onnxruntime, openvino, litert, onnxruntime-int8, openvino-int8 and
            litert-int8, with commas between; by default those that are installed but torch-compiled, which
            compiles for minutes and needs a C++ compiler, and LiteRT, which takes SegNets alone.
        size: pixels of the images, one number or HEIGHTxWIDTH.
        batch_sizes: images in a batch, with commas between.
        threads: how many compute in every runtime; by default one for each core.
        repeats: rounds, in each of which every model runs up to three times in every runtime.
        stock: also measure each SegNet made of stock layers and exported by stock PyTorch.
        csv: write the numbers to this file.
    """
    from segnet.base.extras import require_package
    from segnet.base.threads import count_cores

    for package in ("torch", "onnx", "onnxscript", "onnxruntime"):
        require_package("segnet bench models", package)
    from segnet.bench import latency
    from segnet.bench.machine import describe_machine

    computing = count_cores() if threads is None else threads
    machine = describe_machine(computing)
    title = f"{size[0]}x{size[1]}, {computing} threads"
    print(machine.removeprefix("# "))
    rows = latency.compare_models(
        models or latency.USUAL_MODELS,
        beside=beside or (),
        runtimes=runtimes,
        size=size,
        batch_sizes=batch_sizes,
        threads=computing,
        repeats=repeats,
        stock=stock,
        say=lambda line: print(line, flush=True),
    )
    print_all(latency.latency_table(rows, title), latency.LEGEND.rstrip("\n"))
    if csv is not None:
        latency.write_csv(expand_home(csv), rows, machine)
    return 0
