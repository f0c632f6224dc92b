"""``segnet eval``: what a model gets right, and what it gets wrong, on which images."""

from __future__ import annotations

import io
import json
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

from cyclopts import Parameter
from rich.console import Console

from segnet.base.class_roles import foreground_of
from segnet.base.errors import SegnetError
from segnet.base.files import expand_home
from segnet.base.settings import Whole
from segnet.cli.app import app, print_whole
from segnet.data.options import BorderPolicy
from segnet.runs.image_scores import Worst

if TYPE_CHECKING:
    from PIL import Image

    from segnet.runs.image_scores import GroupScores
    from segnet.runs.scores import ScoredOn, Scores
    from segnet.scoring.evaluate import ModelScores

RuntimeName = Literal["auto", "onnxruntime", "openvino", "torch"]


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
    image_column: Annotated[str | None, Parameter(show_default=False)] = None,
    mask_column: Annotated[str | None, Parameter(show_default=False)] = None,
    dataset_yaml: Annotated[Path | None, Parameter(show_default=False)] = None,
    split: Annotated[
        Literal["train", "val", "test", "all", "unseen"] | None, Parameter(show_default=False)
    ] = None,
    allow_trained_on: Annotated[bool, Parameter(negative=())] = False,
    out: Annotated[Path | None, Parameter(show_default=False)] = None,
    worst: Annotated[Whole | None, Parameter(show_default=False)] = None,
    by: Worst = "iou",
    group_by: Annotated[str | None, Parameter(show_default=False)] = None,
    group_table: Annotated[Path | None, Parameter(show_default=False)] = None,
    tta: Annotated[Literal["flip"] | None, Parameter(show_default=False)] = None,
    device: str = "auto",
    runtime: RuntimeName = "auto",
    json_: Annotated[bool, Parameter(name="--json", negative=())] = False,
) -> int:
    """Score a model: one confusion matrix over all the images, and first how many of which those are.

    A model is scored on the part of its own data that was held out from it, told by the images' content: it
    doesn't matter where they are now. Of a folder or a Hugging Face dataset that it never saw all images are
    scored, of oxford-pets the test split. Images that it was trained on are refused.

    With --out: scores.json, images.csv with each image's own scores, the confusion matrix, and report.html,
    one page that opens offline, with the worst images.

    Args:
        model: a run folder, a .safetensors, .onnx or .xml file or a bundled name.
        data: oxford-pets, synthetic, a folder or hf: with a Hugging Face dataset; by default the run's own.
        data_root: oxford-pets: a folder in the official layout; without it the archives are downloaded.
        archive: oxford-pets: images.tar.gz and annotations.tar.gz that are already here; give it twice.
        extra_list: oxford-pets: one more list of training images, to look at what it was trained on.
        border: oxford-pets: class, pet or ignore; by default as the model was trained.
        image_column: hf: the column of images, where its name and type don't tell.
        mask_column: hf: the column of masks, where its name and type don't tell.
        dataset_yaml: hf: a file that says what the masks' values mean.
        split: train, val or test; all of the data; or unseen: all of it that the model was not trained on.
        allow_trained_on: score images that the model was trained on too, and say so beside every number.
        out: the folder to write to.
        worst: how many of the worst images to name, and to show in the page; the page has 24 by default.
        by: what makes an image one of the worst: a low iou, a high loss, a low boundary F1, or a large share
            of pixels that are wrong though the model is at least 0.9 sure, which is how wrong truth is found.
        group_by: score groups of images too: species or breed of oxford-pets, or a column of --group-table.
        group_table: a CSV file with a column image, the files' names, and columns of groups.
        tta: flip predicts by the mean of the probabilities for each image and its mirror image.
        device: auto, or a device by name.
        runtime: what computes: torch, or for exported models onnxruntime or openvino; auto takes what fits.
        json_: print one JSON object in place of the table.
    """
    from segnet.inference.opening import load
    from segnet.report.evaluation import require_no_run
    from segnet.runs.image_scores import rank_worst
    from segnet.scoring.data_to_score import open_data
    from segnet.scoring.evaluate import score_model
    from segnet.scoring.mistakes import WORST

    if worst is not None and worst < 1:
        raise SegnetError(f"--worst must be 1 or more, got {worst}")
    if by != "iou" and worst is None and out is None:
        raise SegnetError("--by ranks the worst images; give --worst or --out too")
    if group_table is not None and group_by is None:
        raise SegnetError("--group-table needs --group-by, the column to group by")
    if out is not None:
        out = expand_home(out)
        require_no_run(out)
    segmenter = load(model, device=device, runtime=runtime)
    given = {
        "data": data,
        "data_root": data_root,
        "archive": archive or None,
        "extra_list": extra_list,
        "border": border,
        "image_column": image_column,
        "mask_column": mask_column,
        "dataset_yaml": dataset_yaml,
    }

    def say_what(scored_on: ScoredOn) -> None:
        if not json_:
            print(f"{model} on {scored_on}", flush=True)
            if scored_on.note:
                print(scored_on.note, flush=True)

    found = score_model(
        segmenter,
        open_data(model, segmenter, {name: value for name, value in given.items() if value is not None}),
        split=split,
        allow_trained_on=allow_trained_on,
        flip=tta == "flip",
        group_by=group_by,
        group_table=group_table,
        begin=say_what,
    )
    ranked = rank_worst(found.images, by, worst if worst is not None else WORST if out is not None else 0)
    if json_:
        _print_json(found, ranked, group_by)
    else:
        _print_all(found, ranked if worst is not None else (), group_by)
    if out is not None:
        report = _write(out, found, ranked, model=model, by=by, group_by=group_by, flip=tta == "flip")
        if not json_:
            print(f"report {report}")
    return 0


def _print_json(found: ModelScores, ranked: Sequence[int], group_by: str | None) -> None:
    from segnet.runs.remarks import warnings_of

    plain = found.scores.to_dict() | {"warnings": [*warnings_of(found.scores)]}
    if found.groups:
        plain["groups"] = {"by": group_by, "scores": [dict(vars(group)) for group in found.groups]}
    if ranked:
        plain["worst"] = [found.images[i].image for i in ranked]
    print(json.dumps(plain))


def _print_all(found: ModelScores, ranked: Sequence[int], group_by: str | None) -> None:
    from segnet.report.sections import describe_image

    print_scores(found.scores)
    _print_remarks(found.scores)
    if found.groups:
        _print_groups(str(group_by), found.groups)
    for i in ranked:
        print(f"{found.images[i].image}: {describe_image(found.images[i])}")


def _write(
    out: Path,
    found: ModelScores,
    ranked: Sequence[int],
    *,
    model: str,
    by: Worst,
    group_by: str | None,
    flip: bool,
) -> Path:
    from segnet.report.evaluation import EvaluationPage, write_evaluation

    pictures = zip(ranked, found.draw(ranked), strict=True)
    page = EvaluationPage(
        model=model,
        scores=found.scores,
        images=found.images,
        classes=found.classes,
        how="each with its mirror image" if flip else "",
        worst_by=by,
        worst=[(found.images[i], _as_png(picture)) for i, picture in pictures],
        group_by=group_by or "",
        groups=found.groups,
    )
    return write_evaluation(out, page)


def _as_png(picture: Image.Image) -> bytes:
    content = io.BytesIO()
    picture.save(content, format="PNG")
    return content.getvalue()


def _print_groups(by: str, groups: Sequence[GroupScores]) -> None:
    from rich.table import Table

    from segnet.runs.scores import score_text

    table = Table(by, *("images", "mean IoU", "pixel accuracy", "boundary F1"))
    for column in table.columns[1:]:
        column.justify = "right"
    for group in groups:
        scores = (group.mean_iou, group.pixel_accuracy, group.boundary_f1)
        table.add_row(group.group, f"{group.images:,}", *(score_text(each, digits=4) for each in scores))
    print_whole(table)


def _print_remarks(scores: Scores) -> None:
    """Print what was most often taken for what, and what else is worse than the scores look."""
    from segnet.runs.remarks import largest_confusions, shortcomings

    console = Console(highlight=False, soft_wrap=True)
    for each in largest_confusions(scores):
        console.print(
            f"{each.truth} is taken for {each.predicted}, {100 * each.share:.1f} % of its pixels",
            markup=False,
        )
    for line in shortcomings(scores):
        console.print(f"warning: {line}", markup=False)


def print_scores(scores: Scores) -> None:
    """Print the table of classes, and below it the scores of all of them together."""
    from rich.table import Table

    from segnet.runs.remarks import misleading, tolerance_line
    from segnet.runs.scores import score_text

    shown = partial(score_text, digits=4)
    warning = scores.scored_on.warning if scores.scored_on else ""
    trained_on = scores.scored_on is not None and scores.scored_on.trained_on
    columns = ["iou", "dice", "precision", "recall", "share"]
    if scores.calibration:
        columns.append("boundary_f1")
    table = Table("class")
    for column in columns:
        title = column.replace("_f1", " F1")
        table.add_column(f"{title}\nTRAINED ON" if trained_on else title, justify="right")
    for name, entry in scores.classes():
        table.add_row(name, *(shown(getattr(entry, column)) for column in columns))
    print_whole(table)
    console = Console(highlight=False, soft_wrap=True)
    if scores.threshold is not None:
        console.print(
            f"{foreground_of(scores.per_class)} IoU {shown(scores.foreground_iou)}, "
            f"{shown(scores.foreground_iou_at_threshold)} above a probability of {scores.threshold:g}, "
            f"which was chosen on validation images{warning}"
        )
    console.print(
        f"pixel accuracy {shown(scores.pixel_accuracy)} · mean IoU {shown(scores.mean_iou)} · "
        f"mean Dice {shown(scores.mean_dice)} · cross-entropy {shown(scores.loss)}{warning}"
    )
    if scores.calibration:
        console.print(
            f"mean class accuracy {shown(scores.mean_class_accuracy)} · "
            f"boundary F1 {shown(scores.boundary_f1)} · "
            f"accuracy at edges {shown(scores.band_accuracy)} · "
            f"calibration error {shown(scores.calibration_error)}{warning}"
        )
        console.print(tolerance_line(scores))
    if scores.mean_iou_without_border is not None:
        console.print(f"mean IoU without border {shown(scores.mean_iou_without_border)}{warning}")
    if scores.article_iou is not None:
        console.print(
            f"the article's IoU {shown(scores.article_iou)} and custom IoU "
            f"{shown(scores.article_custom_iou)}: neither compares with mean IoU, see the report{warning}"
        )
    for line in misleading(scores):
        console.print(f"warning: {line}", markup=False)
