"""What works on data: ``train``, ``resume``, ``eval`` and ``predict``."""

from __future__ import annotations

import io
import json
import sys
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import cyclopts
from cyclopts import Parameter
from rich.console import Console

from segnet.cli.app import BAD_INPUT, INTERRUPTED, SOME_FAILED, app, say_error
from segnet.core.errors import SegnetError
from segnet.core.files import expand_home
from segnet.core.settings import Whole
from segnet.data.options import BorderPolicy
from segnet.training.config import RUN, TrainConfig

if TYPE_CHECKING:
    from cyclopts.argument import ArgumentCollection

    from segnet.inference.segmentation import Segmentation
    from segnet.runs.scores import Scores
    from segnet.training.loop import Run

RuntimeName = Literal["auto", "onnxruntime", "openvino", "torch"]

_everything = Parameter(name="*")  # the fields of a dataclass become options of their own


def _read_config_option(root: cyclopts.App, commands: tuple[str, ...], arguments: ArgumentCollection) -> None:
    """Fill the options that were not typed from the file that ``--config`` names."""
    from segnet.training.config_file import read_options

    typed = {argument.name: argument.tokens[-1].value for argument in arguments if argument.tokens}
    file = typed.get("--config")
    if file is None:
        return
    fields = {name.removeprefix("--").replace("-", "_"): value for name, value in typed.items()}
    settings = read_options(Path(file), fields)
    fill = cyclopts.config.Dict(settings, use_commands_as_keys=False, source=file)
    fill(root, commands, arguments)


@app.command(config=_read_config_option)
def train(
    config: Annotated[TrainConfig, _everything] = TrainConfig(),  # noqa: B008
    *,
    file: Annotated[
        Path | None, Parameter(name="--config", negative=(), group=RUN, show_default=False)
    ] = None,
) -> int:
    """Train a model. With no option: the article's SegNet on Oxford-IIIT Pet, with its settings exactly.

    Leaves a run folder with the best model, the learning GIF and report.html. Ctrl-C ends it cleanly.

    Args:
        config: everything that decides the run.
        file: a YAML file with options, such as the config.yaml of a run; those on the command line win.
    """
    from segnet.training.interrupt import stop_like_ctrl_c
    from segnet.training.loop import train as fit

    stop_like_ctrl_c()
    return _say_result(fit(config))


@app.command
def resume(
    run: str,
    /,
    *,
    epochs: Annotated[Whole | None, Parameter(show_default=False)] = None,
    data: Annotated[str | None, Parameter(show_default=False)] = None,
) -> int:
    """Go on with a run that was stopped or killed; it ends with the same bits as if it never was.

    A run whose settings or data have changed since it began is refused.

    Args:
        run: the run folder.
        epochs: train to this epoch in place of the planned one.
        data: where its data is now, if it has moved.
    """
    from segnet.training.interrupt import stop_like_ctrl_c
    from segnet.training.resume import resume as fit

    stop_like_ctrl_c()
    return _say_result(fit(run, epochs=epochs, data=data))


@app.command(name="eval")
def evaluate(
    model: str,
    /,
    *,
    data: Annotated[str | None, Parameter(show_default=False)] = None,
    data_root: Annotated[Path | None, Parameter(show_default=False)] = None,
    archive: Annotated[tuple[Path, ...], Parameter(negative=(), show_default=False)] = (),
    extra_list: Annotated[str | None, Parameter(show_default=False)] = None,
    border: Annotated[BorderPolicy | None, Parameter(show_default=False)] = None,
    split: Annotated[
        Literal["train", "val", "test", "all", "unseen"] | None, Parameter(show_default=False)
    ] = None,
    allow_trained_on: Annotated[bool, Parameter(negative=())] = False,
    device: str = "auto",
    runtime: RuntimeName = "auto",
    json_: Annotated[bool, Parameter(name="--json", negative=())] = False,
) -> int:
    """Score a model: one confusion matrix over all the images, and first how many of which those are.

    A model is scored on the part of its own data that was held out from it, told by the images' content: it
    doesn't matter where they are now. Of a folder that it never saw all images are scored, of oxford-pets the
    test split. Images that it was trained on are refused.

    Args:
        model: a run folder, a .safetensors, .onnx or .xml file or a bundled name.
        data: oxford-pets, synthetic or a folder; by default the run's own data.
        data_root: oxford-pets: a folder in the official layout; without it the archives are downloaded.
        archive: oxford-pets: images.tar.gz and annotations.tar.gz that are already here; give it twice.
        extra_list: oxford-pets: one more list of training images, to look at what it was trained on.
        border: oxford-pets: class, pet or ignore; by default as the model was trained.
        split: train, val or test; all of the data; or unseen: all of it that the model was not trained on.
        allow_trained_on: score images that the model was trained on too, and say so beside every number.
        device: auto, or a device by name.
        runtime: what computes: torch, or for exported models onnxruntime or openvino; auto takes what fits.
        json_: print one JSON object in place of the table.
    """
    from segnet.inference.evaluate import choose_samples, require_classes, score_samples
    from segnet.inference.opening import load
    from segnet.inference.own_data import open_data

    segmenter = load(model, device=device, runtime=runtime)
    given = {
        "data": data,
        "data_root": data_root,
        "archive": archive or None,
        "extra_list": extra_list,
        "border": border,
    }
    dataset = open_data(model, segmenter, {name: value for name, value in given.items() if value is not None})
    require_classes(segmenter, dataset)
    samples, scored_on = choose_samples(segmenter, dataset, split, allow_trained_on=allow_trained_on)
    if not json_:
        print(f"{model} on {scored_on}", flush=True)
    scores = score_samples(segmenter, dataset, samples, scored_on)
    if json_:
        print(json.dumps(scores.to_dict()))
    else:
        _print_scores(scores)
    return 0


@app.command
def predict(
    images: Annotated[tuple[str, ...], Parameter(negative=(), show_default=False)] = (),
    /,
    *,
    stdin: Annotated[bool, Parameter(name="-", negative=(), show_default=False)] = False,
    model: str = "pets-lite",
    out: Annotated[str, Parameter(allow_leading_hyphen=True)] = "masks",
    samples: Whole = 0,
    seed: Whole = 0,
    device: str = "auto",
    runtime: RuntimeName = "auto",
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
        model: a run folder, a .safetensors, .onnx or .xml file or a bundled name.
        out: the folder to write to, or - to write the mask PNG of a single image to standard output.
        samples: predict by the mean of so many passes with dropout, 6 or more by its paper; for a model
            trained with dropout. 0 is one pass without.
        seed: decides what the samples drop.
        device: auto, or a device by name.
        runtime: what computes: torch, or for exported models onnxruntime or openvino; auto takes what fits.
    """
    from segnet.inference.opening import is_bundled, load
    from segnet.inference.predict_files import find_images, finish_files, predict_files

    if stdin and images:
        raise SegnetError("- stands for one image from standard input; give it alone, or files alone")
    if not stdin and not images:
        raise SegnetError("no image given; name files, folders or patterns, or - for standard input")
    files = [] if stdin else find_images(images)
    if out == "-" and len(files) > 1:
        raise SegnetError(f"--out - writes one mask, but there are {len(files)} images; give --out a folder")
    if samples and runtime == "auto" and is_bundled(model):
        runtime = "torch"  # no exported model has dropout
    segmenter = load(model, device=device, runtime=runtime)
    results = (
        [(Path("-"), "stdin", segmenter.predict(_standard_input(), samples=samples, seed=seed))]
        if stdin
        else predict_files(segmenter, files, samples=samples, seed=seed)
    )
    failed = 0
    with closing(finish_files(results, partial(_finish, out))) as lines, _counted(len(files)) as count_one:
        for line in lines:
            count_one()
            if isinstance(line, SegnetError):
                failed += 1
                say_error(line)
            else:
                print(json.dumps(line), file=sys.stderr if out == "-" else sys.stdout, flush=True)
    if failed and len(files) > 1:
        say_error(f"{failed} of {len(files)} images could not be read")
    return 0 if not failed else BAD_INPUT if failed == len(files) else SOME_FAILED


def _finish(out: str, image: Path, name: str, result: Segmentation) -> dict[str, Any]:
    """Write what was found in an image, and return what is said of it."""
    from segnet.inference.predict_files import write_segmentation

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
    return line


@contextmanager
def _counted(images: int) -> Iterator[Callable[[], None]]:
    """Show how many images are done where a person looks at standard error; the function counts one more."""
    console = Console(stderr=True)
    if images < 2 or not console.is_terminal:
        yield lambda: None
        return
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

    columns = (TextColumn("images"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    # Lines that go to a file or a pipe must stay there; those that share the terminal pass above the bar.
    shared = sys.stdout.isatty()
    with Progress(*columns, console=console, transient=True, redirect_stdout=shared) as bar:
        task = bar.add_task("images", total=images)
        yield lambda: bar.advance(task)


def _standard_input() -> io.BytesIO:
    if sys.stdin is None:
        raise SegnetError(
            "standard input is closed; give the image as a file, or as `segnet predict - < photo.jpg`"
        )
    data = io.BytesIO(sys.stdin.buffer.read())
    data.name = "the image from standard input"
    return data


def _say_result(run: Run) -> int:
    from segnet.runs.run_folder import RunFolder

    console = Console(highlight=False, soft_wrap=True)
    if run.val is not None:
        console.print(f"epoch {run.best_epoch}, the best, on {run.val.scored_on}")
        _print_scores(run.val)
        majority, share = run.val.majority
        console.print(f"predicting {majority} everywhere gives pixel accuracy {share:.3f}")
    if run.test is not None:
        console.print(f"the same model on {run.test.scored_on}")
        _print_scores(run.test)
    folder = RunFolder(run.folder)
    if run.val is not None:
        console.print(f"model    {folder.model}")
        console.print(f"GIF      {folder.gif}")
    console.print(f"report   {folder.report}")
    if not run.finished:
        console.print(f"stopped; go on with: segnet resume {run.folder}")
        return INTERRUPTED
    return 0


def _print_scores(scores: Scores) -> None:
    from rich.table import Table

    from segnet.runs.scores import score_text

    shown = partial(score_text, digits=4)
    warning = scores.scored_on.warning if scores.scored_on else ""
    trained_on = scores.scored_on is not None and scores.scored_on.trained_on
    columns = ("iou", "dice", "precision", "recall", "share")
    table = Table("class")
    for column in columns:
        table.add_column(f"{column}\nTRAINED ON" if trained_on else column, justify="right")
    for name, entry in scores.per_class.items():
        table.add_row(name, *(shown(getattr(entry, column)) for column in columns))
    console = Console(highlight=False, soft_wrap=True)
    console.print(table)
    console.print(
        f"pixel accuracy {shown(scores.pixel_accuracy)} · mean IoU {shown(scores.mean_iou)} · "
        f"mean Dice {shown(scores.mean_dice)} · cross-entropy {shown(scores.loss)}{warning}"
    )
    console.print(
        f"the article's IoU {shown(scores.article_iou)} and custom IoU {shown(scores.article_custom_iou)}: "
        f"neither compares with mean IoU, see the report{warning}"
    )
