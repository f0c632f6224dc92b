"""What makes something of data: ``train``, ``resume`` and ``predict``."""

from __future__ import annotations

import io
import json
import sys
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import cyclopts
from cyclopts import Parameter
from rich.console import Console

from segnet.cli.app import BAD_INPUT, INTERRUPTED, SOME_FAILED, app, say_error
from segnet.cli.score import RuntimeName, print_scores
from segnet.core.errors import SegnetError
from segnet.core.files import expand_home
from segnet.core.settings import Whole
from segnet.training.config import RUN, TrainConfig

if TYPE_CHECKING:
    from cyclopts.argument import ArgumentCollection

    from segnet.inference.segmentation import Segmentation
    from segnet.training.loop import Run

_everything = Parameter(name="*")  # the fields of a dataclass become options of their own


def _read_config_option(
    command: cyclopts.App, commands: tuple[str, ...], arguments: ArgumentCollection
) -> None:
    """Fill the options that were not typed from the file that ``--config`` names."""
    from segnet.training.config_file import read_options

    typed = {argument.name: argument.tokens[-1].value for argument in arguments if argument.tokens}
    file = typed.get("--config")
    if file is None:
        return
    fields = {name.removeprefix("--").replace("-", "_"): value for name, value in typed.items()}
    settings = read_options(Path(file), fields)
    # below the command's own name: at the top a setting called like a command, such as data, is passed over
    fill = cyclopts.config.Dict({commands[-1]: settings}, source=file)
    fill(command, commands, arguments)


@app.command(config=_read_config_option)
def train(
    config: Annotated[TrainConfig, _everything] = TrainConfig(),  # noqa: B008
    *,
    file: Annotated[
        Path | None, Parameter(name="--config", negative=(), group=RUN, show_default=False)
    ] = None,
    seeds: Annotated[str | None, Parameter(group=RUN, show_default=False)] = None,
) -> int:
    """Train a model. With no option: the article's SegNet on Oxford-IIIT Pet, with its settings exactly.

    Leaves a run folder with the best model, the learning GIF and report.html. Ctrl-C ends it cleanly.

    Args:
        config: everything that decides the run.
        file: a YAML file with options, such as the config.yaml of a run; those on the command line win.
        seeds: one run for each of so many seeds, such as 3, or of these, such as 0,1,2, all in one folder.
    """
    from segnet.training.interrupt import stop_like_ctrl_c
    from segnet.training.loop import train as fit

    if seeds is not None:
        from segnet.runs.seeds import parse_seeds
        from segnet.training.several import require_seedless, train_seeds

        which = parse_seeds(seeds)
        require_seedless(config)
        stop_like_ctrl_c()
        return _say_seeds(train_seeds(config, which))
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
        run: the run folder, or a folder of --seeds, in which the seeds that are missing are then trained too.
        epochs: train to this epoch in place of the planned one.
        data: where its data is now, if it has moved.
    """
    from segnet.runs.seeds import SeedFolder
    from segnet.training.interrupt import stop_like_ctrl_c
    from segnet.training.resume import resume as fit

    if run.strip() and SeedFolder(expand_home(run)).exists:
        from segnet.training.several import resume_seeds

        if epochs is not None or data is not None:
            raise SegnetError(f"{run} holds several runs; --epochs and --data are for one of them")
        stop_like_ctrl_c()
        return _say_seeds(resume_seeds(run))
    stop_like_ctrl_c()
    return _say_result(fit(run, epochs=epochs, data=data))


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


def _say_seeds(path: Path) -> int:
    from segnet.cli.app import print_whole
    from segnet.report.spread import spread_table
    from segnet.runs.seeds import SeedFolder, read_seeds

    summary = SeedFolder(path).summary
    if not summary.is_file():
        print(f"stopped; go on with: segnet resume {path}")
        return INTERRUPTED
    found = read_seeds(path)
    print_whole(spread_table(found))
    print(found.sentence())
    print(f"summary  {summary}")
    return 0


def _say_result(run: Run) -> int:
    from segnet.runs.run_folder import RunFolder

    console = Console(highlight=False, soft_wrap=True)
    if run.val is not None:
        console.print(f"epoch {run.best_epoch}, the best, on {run.val.scored_on}")
        print_scores(run.val)
        majority, share = run.val.majority
        console.print(f"predicting {majority} everywhere gives pixel accuracy {share:.3f}")
    if run.test is not None:
        console.print(f"the same model on {run.test.scored_on}")
        print_scores(run.test)
    folder = RunFolder(run.folder)
    if run.val is not None:
        console.print(f"model    {folder.model}")
        console.print(f"GIF      {folder.gif}")
    console.print(f"report   {folder.report}")
    if not run.finished:
        console.print(f"stopped; go on with: segnet resume {run.folder}")
        return INTERRUPTED
    return 0
