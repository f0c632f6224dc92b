"""What works on data: ``train``, ``resume``, ``eval`` and ``predict``."""

from __future__ import annotations

import io
import json
import sys
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

from cyclopts import Parameter
from rich.console import Console

from segnet.cli.app import BAD_INPUT, INTERRUPTED, SOME_FAILED, app, say_error
from segnet.core.errors import SegnetError
from segnet.core.files import expand_home
from segnet.data.options import DataOptions
from segnet.training.config import TrainConfig

if TYPE_CHECKING:
    from segnet.objectives.metrics import Scores
    from segnet.training.loop import Run

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
        samples: predict by the mean of so many passes with dropout, 6 or more by its paper; for a model
            trained with dropout. 0 is one pass without.
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
            say_error(result)
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
        say_error(f"{failed} of {len(files)} images could not be read")
    return 0 if not failed else BAD_INPUT if failed == len(files) else SOME_FAILED


def _standard_input() -> io.BytesIO:
    data = io.BytesIO(sys.stdin.buffer.read())
    data.name = "the image from standard input"
    return data


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


def _print_scores(scores: Scores, title: str) -> None:
    from rich.table import Table

    from segnet.objectives.metrics import score_text

    shown = partial(score_text, digits=4)
    columns = ("iou", "dice", "precision", "recall", "share")
    table = Table(title=title, title_justify="left", title_style="bold")
    table.add_column("class")
    for column in columns:
        table.add_column(column, justify="right")
    for name, entry in scores.per_class.items():
        table.add_row(name, *(shown(getattr(entry, column)) for column in columns))
    console = Console(highlight=False, soft_wrap=True)
    console.print(table)
    console.print(
        f"pixel accuracy {shown(scores.pixel_accuracy)} · mean IoU {shown(scores.mean_iou)} · "
        f"mean Dice {shown(scores.mean_dice)} · loss {shown(scores.loss)}"
    )
    console.print(
        f"the article's IoU {shown(scores.article_iou)} and custom IoU {shown(scores.article_custom_iou)}: "
        "neither compares with mean IoU, see the report"
    )
