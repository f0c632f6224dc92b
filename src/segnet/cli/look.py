"""What looks at models, runs and this machine: ``models``, ``compare`` and ``bench``."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated

import cyclopts
from cyclopts import Parameter, Token
from rich.console import Console

from segnet.cli.app import SOME_FAILED, app, print_folded, print_whole, require_suffix, say_error
from segnet.core.errors import SegnetError
from segnet.core.files import expand_home
from segnet.core.settings import Whole
from segnet.training.option_types import ModelOptions, SizeOption


@app.command
def models(
    name: Annotated[str | None, Parameter(show_default=False)] = None,
    /,
    *,
    size: SizeOption = (128, 128),
    num_classes: Annotated[Whole | None, Parameter(show_default=False)] = None,
    model_options: ModelOptions | None = None,
    json_: Annotated[bool, Parameter(name="--json", negative=())] = False,
) -> int:
    """Compare the models, or show one layer by layer: all counted and measured now, on the model itself.

    Args:
        name: the model to show; without it all of them, as they ship.
        size: pixels of the image, one number or HEIGHTxWIDTH.
        num_classes: of one model, how many classes it tells apart; 3 where this is left out.
        model_options: of one model, its options as JSON, such as '{"stages": 5}'.
        json_: print JSON in place of the table.
    """
    from segnet.models import MODELS
    from segnet.report.models import LEGEND, costs_table, describe_model, figures_table, layers_table, summary

    if name is not None:
        facts = describe_model(
            name, num_classes=3 if num_classes is None else num_classes, options=model_options, size=size
        )
        if json_:
            print(json.dumps(facts.to_dict()))
        else:
            print_whole(layers_table(facts, size))
            print(summary(facts))
        return 0
    if model_options is not None or num_classes is not None:
        raise SegnetError("--num-classes and --model-options are for one model; name it")
    every, refused = [], []
    with Console(stderr=True).status("") as status:  # on a terminal alone
        for each in MODELS:
            status.update(f"measuring {each}")
            try:
                every.append(describe_model(each, size=size))
            except SegnetError as mistake:  # an image too small for this one, or that it can't cut up
                refused.append(mistake)
    if not every:
        raise refused[0]
    if json_:
        print(json.dumps([facts.to_dict() for facts in every]))
    else:
        print_whole(costs_table(every, size))
        print_whole(figures_table(every))
        print(LEGEND)
        for each_refused in refused:
            print(f"left out: {each_refused}")
    return 0


@app.command
def compare(
    *runs: Path,
    out: Annotated[Path | None, Parameter(show_default=False)] = None,
    score: str = "mean_iou",
    assert_equal: Annotated[bool, Parameter(negative=())] = False,
) -> int:
    """Put runs side by side: cost, the best epoch's validation scores, and the settings in which they differ.

    Of two runs that have ended it says whether their difference is more than other test images would make:
    the 95 % interval of the difference in mean IoU, by paired bootstrap. Folders of --seeds are compared by
    the spread of their seeds, each with the first.

    Args:
        runs: run folders, finished or not; or folders that segnet train --seeds has left.
        out: also draw a score over the epochs, as .png or .svg.
        score: which one: mean_iou, pixel_accuracy, mean_dice, or a class for its IoU.
        assert_equal: in place of all this, compare the losses of two runs' first steps to the last digit: a
            change that should change no number must leave them equal. Ends with 1 where a step differs.
    """
    if assert_equal:
        if out is not None:
            raise SegnetError("--assert-equal draws nothing; leave --out out")
        return _compare_steps(runs)
    from segnet.report.compare import (
        beside_each_other,
        differences,
        draw_runs,
        read_runs,
        require_drawable,
        runs_table,
        settings_table,
    )
    from segnet.report.spread import (
        difference_table,
        has_images,
        read_groups,
        require_alike,
        spread_table,
        verdict_of_images,
        verdict_of_seeds,
    )

    if not runs:
        raise SegnetError("no run given; name the run folders to compare")
    groups = read_groups(runs)
    if groups is not None:
        if out is not None:
            raise SegnetError("--out draws single runs over their epochs; name runs in the folders of seeds")
        require_alike(groups)
        first, *others = groups
        for other in others:
            print_folded(difference_table(first, other))
            print(verdict_of_seeds(first, other))
        if not others:
            print_folded(spread_table(first))
        return 0
    if out is not None:
        require_suffix(out, (".png", ".svg"))
    records = read_runs(runs)
    if out is not None or score != "mean_iou":
        require_drawable(records, score)
    for some in beside_each_other(records, Console().width):
        print_folded(runs_table(some))
    for some in beside_each_other(records, Console().width):
        settings = settings_table(some, of=records)
        if settings is not None:
            print_folded(settings)
    verdict = ""
    if len(records) == 2 and all(record.outcome and record.outcome.finished for record in records):
        older = [record.name for record in records if not has_images(record)]
        if older:
            say_error(f"{older[0]}, of an older segnet, has no images.csv, so chance can't be told apart")
        else:
            verdict = verdict_of_images(*records)
    found = [f"{setting} ({', '.join(values)})" for setting, values in differences(records).items()]
    for record in records:
        if record.best.val.scored_on is not None and record.best.val.scored_on.warning:
            say_error(f"the scores of {record.name} were taken on {record.best.val.scored_on}")
    if found:
        say_error(f"these scores don't compare: the runs differ in {', '.join(found)}")
    if out is not None:
        draw_runs(records, expand_home(out), score=score)
        print(f"drawn in {out}")
    if verdict:
        print(verdict)
    return 0


def _compare_steps(runs: Sequence[Path]) -> int:
    from segnet.runs.steps import first_difference, read_steps

    if len(runs) != 2:
        raise SegnetError(f"--assert-equal compares two runs with each other, got {len(runs)}; name two")
    one, other = (read_steps(run) for run in runs)
    if (found := first_difference(one, other)) is not None:
        print(f"not equal: {runs[0]} has {found[0]}, {runs[1]} has {found[1]}")
        return SOME_FAILED
    steps = min(len(one), len(other))
    print(f"equal: the losses of the first {'step' if steps == 1 else f'{steps} steps'}, to the last digit")
    return 0


bench = cyclopts.App(name="bench", help="Measure this machine, ours beside stock PyTorch in one run.")
app.command(bench)


@bench.command(name="pooling")
def bench_pooling(
    *,
    batch_size: Whole = 16,
    repeats: Whole = 15,
    device: str = "auto",
    training: bool = True,
    csv: Annotated[Path | None, Parameter(show_default=False)] = None,
    plot: Annotated[Path | None, Parameter(show_default=False)] = None,
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
        plot: draw them, as .png or .svg.
    """
    import torch

    from segnet.bench.machine import describe_machine
    from segnet.bench.pooling import compare_pooling, draw, write_csv
    from segnet.core.device import pick_device

    if batch_size < 1 or repeats < 1:
        raise SegnetError(f"--batch-size and --repeats must be at least 1, got {batch_size} and {repeats}")
    if plot is not None:
        require_suffix(plot, (".png", ".svg"))
    machine = describe_machine(torch.get_num_threads(), pick_device(device))
    print(machine.removeprefix("# "))
    print(f"{'':42}{'stock':>10}{'ours':>10}{'':5}{'ours/stock':>12}")
    rows = []
    for row in compare_pooling(batch_size=batch_size, repeats=repeats, device=device, training=training):
        rows.append(row)
        what = f"{row.quantity}, {row.case}"
        print(f"{what:42}{row.stock:10.4g}{row.ours:10.4g} {row.unit:4}{row.ratio:12.3f}", flush=True)
    if csv is not None:
        write_csv(expand_home(csv), rows, machine)
    if plot is not None:
        draw(expand_home(plot), rows, machine)
    return 0


def _parse_wholes(type_: object, tokens: Sequence[Token]) -> tuple[int, ...]:
    try:
        return tuple(int(part) for part in tokens[0].value.split(","))
    except ValueError:
        raise ValueError(f"whole numbers with commas between, such as 1,16, not {tokens[0].value}") from None


def _parse_names(type_: object, tokens: Sequence[Token]) -> tuple[str, ...]:
    return tuple(tokens[0].value.split(","))


_Wholes = Annotated[
    tuple[int, ...],
    Parameter(
        converter=_parse_wholes, n_tokens=1, negative=(), metavar="N,N", show_default=lambda value: "1,16"
    ),
]
_Names = Annotated[
    tuple[str, ...] | None,
    Parameter(converter=_parse_names, n_tokens=1, negative=(), metavar="NAME,NAME", show_default=False),
]


@bench.command(name="models")
def bench_models(
    *models: str,
    beside: Annotated[list[Path] | None, Parameter(show_default=False, negative=())] = None,
    runtimes: _Names = None,
    size: SizeOption = (128, 128),
    batch_sizes: _Wholes = (1, 16),
    threads: Annotated[Whole | None, Parameter(show_default=False)] = None,
    repeats: Whole = 15,
    stock: bool = True,
    profile: Annotated[bool, Parameter(negative=())] = False,
    csv: Annotated[Path | None, Parameter(show_default=False)] = None,
) -> int:
    """Size, latency and memory of models in torch, ONNX Runtime and OpenVINO, also in int8, taken in turns.

    Close other programs first. Two models take five minutes on a laptop, half of them to export. Weights are
    fresh for a model's name: how fast a model is doesn't depend on them.

    Args:
        models: names, run folders, .safetensors and .onnx files; by default segnet-lite and segnet-dsc.
        beside: an ONNX file of anyone's to compare with, if it takes one float (N, 3, H, W); may be repeated.
        runtimes: torch, torch-compiled, onnxruntime, openvino, onnxruntime-int8 and openvino-int8, with
            commas between; by default those that are installed but torch-compiled, which compiles for minutes
            and needs a C++ compiler.
        size: pixels of the images, one number or HEIGHTxWIDTH.
        batch_sizes: images in a batch, with commas between.
        threads: how many compute in every runtime; by default one for each core.
        repeats: rounds, in each of which every model runs up to three times in every runtime.
        stock: also measure each SegNet made of stock layers and exported by stock PyTorch.
        profile: in place of all this, the share of pooling in each model's time in ONNX Runtime.
        csv: write the numbers to this file.
    """
    from segnet.core.ahead import count_cores
    from segnet.core.extras import require_package

    for package in ("torch", "onnx", "onnxscript", "onnxruntime"):
        require_package("segnet bench models", package)
    from segnet.bench import latency, pooling_share
    from segnet.bench.machine import describe_machine

    computing = count_cores() if threads is None else threads
    machine = describe_machine(computing)
    title = f"{size[0]}x{size[1]}, {computing} threads"
    if profile:
        if beside or runtimes is not None:
            raise SegnetError(
                "--profile is for our own models in ONNX Runtime, without --beside and --runtimes"
            )
        print(machine.removeprefix("# "))
        spent = pooling_share.profile_pooling(
            models or latency.USUAL_MODELS,
            size=size,
            batch_sizes=batch_sizes,
            threads=computing,
            repeats=repeats,
        )
        print_whole(pooling_share.share_table(spent, title))
        if csv is not None:
            pooling_share.write_shares(expand_home(csv), spent, machine)
        return 0
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
    print_whole(latency.latency_table(rows, title))
    print(latency.LEGEND, end="")
    if csv is not None:
        latency.write_csv(expand_home(csv), rows, machine)
    return 0
