"""The ``segnet`` command: each subcommand is one function whose signature is its options.

Heavy libraries are imported inside the functions: ``segnet --help`` must not wait for torch.
"""

from __future__ import annotations

import io
import json
import os
import sys
import traceback
from collections.abc import Sequence
from dataclasses import fields
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal, NoReturn

import cyclopts
from cyclopts import Parameter
from rich.console import Console
from rich.measure import Measurement

from segnet import __version__
from segnet.core.errors import SegnetError
from segnet.core.files import expand_home
from segnet.data.options import DataOptions
from segnet.training.config import RECIPES, ModelOptions, SizeOption, TrainConfig, read_settings

if TYPE_CHECKING:
    from rich.table import Table

    from segnet.objectives.metrics import Scores
    from segnet.training.loop import Run

SOME_FAILED, BAD_INPUT, OUR_FAULT, INTERRUPTED, PIPE_CLOSED = 1, 2, 70, 130, 141
_EXPECTED = (SegnetError, cyclopts.CycloptsError, OSError)

app = cyclopts.App(
    name="segnet",
    version=__version__,
    help="Train, understand and ship compact image-segmentation networks in PyTorch.",
)
_everything = Parameter(name="*")  # the fields of a dataclass become options of their own


@app.command
def train(config: Annotated[TrainConfig, _everything] = TrainConfig()) -> int:  # noqa: B008
    """Train a model. With no option: the article's SegNet on Oxford-IIIT Pet, with its settings exactly.

    Leaves a run folder with the best model, the learning GIF and report.html. Ctrl-C ends it cleanly.
    --config FILE takes the options from a YAML file, such as the config.yaml of a run folder.
    """
    from segnet.training.interrupt import stop_like_ctrl_c
    from segnet.training.loop import train as fit

    stop_like_ctrl_c()
    return _say_result(fit(config))


@app.command
def resume(run: Path, /) -> int:
    """Go on with a run that was stopped or killed; it ends with the same bits as if it never was.

    Args:
        run: the run folder.
    """
    from segnet.training.interrupt import stop_like_ctrl_c
    from segnet.training.loop import resume as fit

    stop_like_ctrl_c()
    return _say_result(fit(run))


@app.command(name="eval")
def evaluate(
    model: str,
    /,
    options: Annotated[DataOptions, _everything] = DataOptions(),  # noqa: B008
    *,
    split: Literal["train", "val", "test"] | None = None,
    device: str = "auto",
    json_: Annotated[bool, Parameter(name="--json", negative=())] = False,
) -> int:
    """Score a model on a dataset: one confusion matrix over the whole split.

    A run is scored on its own data unless other data is named, a bundled model on oxford-pets. Where a part
    of the training images was held out, the model remembers which: it is held out here too.

    Args:
        model: a run folder, a .safetensors file or a bundled name.
        options: which images to use.
        split: which part; by default test, or val where there is no test.
        device: auto, or a device by name.
        json_: print one JSON object in place of the table.
    """
    from segnet.data.sources import load_dataset
    from segnet.inference.evaluate import default_split
    from segnet.inference.evaluate import evaluate as score
    from segnet.inference.segmenter import load

    segmenter = load(model, device=device)
    trained = segmenter.description.training
    if options.data == trained.get("data") == "oxford-pets" and options.border != trained["border"]:
        raise SegnetError(f"{model} was trained with --border {trained['border']}; evaluate it with the same")
    own = Path(options.data).name == trained.get("data")
    dataset = load_dataset(
        options,
        holdout=trained.get("holdout", 0.0) if own else 0.0,
        seed=trained.get("seed", 0) if own else 0,
    )
    name = split or default_split(dataset)
    scores = score(segmenter, dataset, split=name)
    if json_:
        print(json.dumps(scores.to_dict()))
    else:
        _print_scores(scores, f"{model} on {dataset.name}, {name} split")
    return 0


@app.command
def predict(
    images: Annotated[tuple[str, ...], Parameter(negative=(), show_default=False)] = (),
    /,
    *,
    stdin: Annotated[bool, Parameter(name="-", negative=(), show_default=False)] = False,
    model: str = "pets-lite",
    out: Annotated[str, Parameter(allow_leading_hyphen=True)] = "masks",
    samples: int = 0,
    seed: int = 0,
    device: str = "auto",
) -> int:
    """Segment images of any size and kind; each mask has its image's own size.

    Writes NAME.mask.png (class ids, with a palette) and NAME.overlay.png (to look at), and prints one JSON
    line for each image with the share of each class. Files with such names are taken for outputs and never
    segmented. A file that can't be read is reported and skipped; the exit code is then 1, or 2 where none
    could be read.

    With --samples also NAME.uncertainty.png, black where the samples agree and brighter where they differ
    (magma, over standard deviations of 0 to 0.5 in every picture), and the line has the mean variance.

    Args:
        images: files, folders (searched to the bottom) and patterns; one that names nothing ends the command.
        stdin: read one image from standard input, in place of files.
        model: a run folder, a .safetensors file or a bundled name.
        out: the folder to write to, or - to write the mask PNG of a single image to standard output.
        samples: predict by the mean of so many passes with dropout (Bayesian SegNet: 50); for a model trained
            with dropout. 0 is one pass without.
        seed: decides what the samples drop.
        device: auto, or a device by name.
    """
    from segnet.inference.files import find_images, predict_files, write_segmentation
    from segnet.inference.sampling import require_sampling
    from segnet.inference.segmenter import load

    if stdin and images:
        raise SegnetError("- stands for one image from standard input; give it alone, or files alone")
    if not stdin and not images:
        raise SegnetError("no image given; name files, folders or patterns, or - for standard input")
    files = [] if stdin else find_images(images)
    if out == "-" and len(files) > 1:
        raise SegnetError(f"--out - writes one mask, but there are {len(files)} images; give --out a folder")
    segmenter = load(model, device=device)
    require_sampling(segmenter.model, samples, seed)
    results = (
        [(Path("-"), "stdin", segmenter.predict(_standard_input(), samples=samples, seed=seed))]
        if stdin
        else predict_files(segmenter, files, samples=samples, seed=seed)
    )
    failed = 0
    for image, name, result in results:
        if isinstance(result, SegnetError):
            failed += 1
            _say_error(result)
            continue
        line: dict[str, Any] = {"image": str(image)}
        if out == "-":
            result.index_image().save(sys.stdout.buffer, format="PNG")
        else:
            written = write_segmentation(result, expand_home(out), name)
            line |= {"mask": str(written.mask), "overlay": str(written.overlay)}
            if written.uncertainty is not None:
                line["uncertainty_map"] = str(written.uncertainty)
        line["size"] = [result.image.height, result.image.width]
        line["areas"] = {name: round(share, 6) for name, share in result.areas().items()}
        if result.uncertainty is not None:
            line["uncertainty"] = float(f"{result.uncertainty.mean(dtype='float64'):.6g}")
        print(json.dumps(line), file=sys.stderr if out == "-" else sys.stdout, flush=True)
    if failed and len(files) > 1:
        _say_error(f"{failed} of {len(files)} images could not be read")
    return 0 if not failed else BAD_INPUT if failed == len(files) else SOME_FAILED


@app.command
def models(
    name: Annotated[str | None, Parameter(show_default=False)] = None,
    /,
    *,
    size: SizeOption = (128, 128),
    num_classes: Annotated[int | None, Parameter(show_default=False)] = None,
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
            _print_whole(layers_table(facts, size))
            print(summary(facts))
        return 0
    if model_options is not None or num_classes is not None:
        raise SegnetError("--num-classes and --model-options are for one model; name it")
    every, refused = [], []
    for each in MODELS:
        try:
            every.append(describe_model(each, size=size))
        except SegnetError as mistake:  # an image too small for this one, or that it can't cut up
            refused.append(mistake)
    if not every:
        raise refused[0]
    if json_:
        print(json.dumps([facts.to_dict() for facts in every]))
    else:
        _print_whole(costs_table(every, size))
        _print_whole(figures_table(every))
        print(LEGEND)
        for each_refused in refused:
            print(f"left out: {each_refused}")
    return 0


show = cyclopts.App(name="show", help="Draw the articles' figures from live code.")
app.command(show)


@show.command(name="pooling")
def show_pooling(*, seed: int = 0, out: Annotated[Path | None, Parameter(show_default=False)] = None) -> int:
    """A small map, its 2x2 maxima, their two-bit codes, the bytes and the un-pooled map (Part 2, Figure 5).

    Args:
        seed: which map of random digits.
        out: also draw it, as .png or .svg.
    """
    from segnet.report.concepts import describe_pooling, draw_pooling, pooling_example

    example = pooling_example(seed)
    print(describe_pooling(example))
    if out is not None:
        _require_suffix(out, (".png", ".svg"))
        draw_pooling(example, expand_home(out))
        print(f"drawn in {out}")
    return 0


bench = cyclopts.App(name="bench", help="Measure this machine, ours beside stock PyTorch in one run.")
app.command(bench)


@bench.command(name="pooling")
def bench_pooling(
    *,
    batch_size: int = 16,
    repeats: int = 15,
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

    if batch_size < 1 or repeats < 1:
        raise SegnetError(f"--batch-size and --repeats must be at least 1, got {batch_size} and {repeats}")
    if plot is not None:
        _require_suffix(plot, (".png", ".svg"))
    machine = describe_machine(torch.get_num_threads())
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


def _require_suffix(path: Path, known: Sequence[str]) -> None:
    if path.suffix not in known:
        raise SegnetError(f"{path}: the file's name must end in {' or '.join(known)}")


def _standard_input() -> io.BytesIO:
    data = io.BytesIO(sys.stdin.buffer.read())
    data.name = "the image from standard input"
    return data


@app.meta.default
def _launch(
    *tokens: Annotated[str, Parameter(show=False, allow_leading_hyphen=True)],
    config: Annotated[Path | None, Parameter(negative=())] = None,
    debug: Annotated[bool, Parameter(negative=())] = False,
) -> Any:
    """Take what concerns every command off the command line.

    Args:
        tokens: the rest.
        config: train: a YAML file with options; those on the command line win.
        debug: show the traceback of an error.
    """
    app.config = ()
    command, *rest = tokens or ("",)
    if config is not None and command != "train":
        raise SegnetError("--config is for segnet train")
    source = config or _config_of_run(command, rest)
    if source is not None:
        settings = read_settings(source)
        if command == "eval":
            options = {entry.name for entry in fields(DataOptions)}
            settings = {name: value for name, value in settings.items() if name in options}
        elif any(token.startswith("--recipe") for token in rest):
            # another recipe on the command line must bring its own settings, not a name alone
            recipe_settings = RECIPES["article"]
            settings = {name: value for name, value in settings.items() if name not in recipe_settings}
        app.config = cyclopts.config.Dict(settings, use_commands_as_keys=False, source=str(source))
    return app(tokens, exit_on_error=False, print_error=False, result_action="return_value")


def _config_of_run(command: str, rest: Sequence[str]) -> Path | None:
    """Return the configuration of the run that is evaluated: its data is the data unless others are named."""
    places = [Path(token) / "config.yaml" for token in rest[:1] if command == "eval"]
    return next((place for place in places if place.is_file()), None)


def main() -> NoReturn:
    """Run the command; a mistake of the user's is one line and exit code 2."""
    # GNU OpenMP's threads spin for milliseconds before they sleep: on a machine that does other things too,
    # that takes the cores from whom they wait for. A short spin costs an idle machine next to nothing
    # (benchmarks/cpu_settings.py). This must be set before torch is imported.
    os.environ.setdefault("GOMP_SPINCOUNT", "1000")
    try:
        code = app.meta(sys.argv[1:], exit_on_error=False, print_error=False, result_action="return_value")
        sys.stdout.flush()
    except KeyboardInterrupt:
        code = INTERRUPTED
    except BrokenPipeError:  # the reader of our output has gone, as in `| head`
        _drop_output()
        code = PIPE_CLOSED
    except Exception as error:
        if "--debug" in sys.argv:
            traceback.print_exc()
        _say_error(_as_line(error))
        if isinstance(error, OSError) and error.filename is None:  # it was our output that found no room
            _drop_output()
        code = BAD_INPUT if isinstance(error, _EXPECTED) or _is_out_of_memory(error) else OUR_FAULT
    sys.exit(code if isinstance(code, int) else 0)


def _as_line(error: Exception) -> str:
    if isinstance(error, cyclopts.CycloptsError):
        text = str(error)
        if isinstance(error, cyclopts.UnusedCliTokensError):
            text = f"No option takes {' '.join(error.unused_tokens or ())}."
        return f"{text} See: {' '.join(('segnet', *(error.command_chain or ())))} --help"
    if isinstance(error, OSError):
        return f"{error.filename or 'standard output'}: {error.strerror or error}"
    if _is_out_of_memory(error):
        return "there is not enough memory; lower --batch-size or --size, or make the image smaller"
    if isinstance(error, SegnetError):
        return str(error)
    return f"{type(error).__name__}: {error} (this is a fault of segnet; --debug shows where)"


def _is_out_of_memory(error: Exception) -> bool:
    # torch has a class for this on GPUs alone
    words = ("out of memory", "can't allocate memory")
    return isinstance(error, MemoryError) or (
        isinstance(error, RuntimeError) and any(word in str(error) for word in words)
    )


def _drop_output() -> None:
    """Keep Python from writing what is left in the buffer, and failing once more, when it ends."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def _say_error(error: object) -> None:
    text = " ".join(str(error).split())
    print(f"segnet: {text}", file=sys.stderr)


def _say_result(run: Run) -> int:
    console = Console(highlight=False, soft_wrap=True)
    if run.val is not None:
        _print_scores(run.val, f"epoch {run.best_epoch}, the best, on the validation split")
        majority, share = run.val.majority
        console.print(f"predicting {majority} everywhere gives pixel accuracy {share:.3f}")
    if run.test is not None:
        _print_scores(run.test, "the same model on the test split")
    if run.val is not None:
        console.print(f"model    {run.folder / 'model.safetensors'}")
        console.print(f"GIF      {run.folder / 'learning.gif'}")
    console.print(f"report   {run.folder / 'report.html'}")
    if not run.finished:
        console.print(f"stopped; go on with: segnet resume {run.folder}")
        return INTERRUPTED
    return 0


def _print_whole(table: Table) -> None:
    """Print a table as wide as it is: rich would cut numbers short where the terminal is narrow."""
    console = Console(highlight=False)
    unlimited = console.options.update(width=1000)
    console.width = max(console.width, Measurement.get(console, unlimited, table).maximum)
    console.print(table)


def _print_scores(scores: Scores, title: str) -> None:
    from rich.table import Table

    columns = ("iou", "dice", "precision", "recall", "share")
    table = Table(title=title, title_justify="left", title_style="bold")
    table.add_column("class")
    for column in columns:
        table.add_column(column, justify="right")
    for name, entry in scores.per_class.items():
        table.add_row(name, *(_shown(getattr(entry, column)) for column in columns))
    console = Console(highlight=False, soft_wrap=True)
    console.print(table)
    console.print(
        f"pixel accuracy {_shown(scores.pixel_accuracy)} · mean IoU {_shown(scores.mean_iou)} · "
        f"mean Dice {_shown(scores.mean_dice)} · loss {_shown(scores.loss)}"
    )
    console.print(
        f"the article's IoU {_shown(scores.article_iou)} and custom IoU {_shown(scores.article_custom_iou)}: "
        "neither compares with mean IoU, see the report"
    )


def _shown(value: float | None) -> str:
    return "absent" if value is None else f"{value:.4f}"
