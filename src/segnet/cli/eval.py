"""``segnet eval``: what a model gets right, and what it gets wrong, on which images."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

from cyclopts import Parameter

from segnet.base.errors import refuse
from segnet.base.files import expand_home
from segnet.cli.app import (
    Flag,
    Json,
    OptionalBorder,
    OptionalPath,
    OptionalText,
    OptionalWhole,
    app,
    given,
    print_all,
)
from segnet.runs.image_scores import Worst, rank_worst

if TYPE_CHECKING:
    from segnet.runs.scores import ScoredOn, Scores
    from segnet.scoring.evaluate import ModelScores

RuntimeName = Literal["auto", "onnxruntime", "openvino", "litert", "torch"]


@app.command(name="eval")
def evaluate(
    model: str,
    /,
    *,
    data: OptionalText = None,
    data_root: OptionalPath = None,
    archive: Annotated[tuple[Path, ...], Parameter(negative=(), show_default=False)] = (),
    extra_list: OptionalText = None,
    border: OptionalBorder = None,
    image_column: OptionalText = None,
    mask_column: OptionalText = None,
    dataset_yaml: OptionalPath = None,
    split: Annotated[
        Literal["train", "val", "test", "all", "unseen"] | None, Parameter(show_default=False)
    ] = None,
    allow_trained_on: Flag = False,
    out: OptionalPath = None,
    worst: OptionalWhole = None,
    by: Worst = "iou",
    group_by: OptionalText = None,
    group_table: OptionalPath = None,
    tta: Annotated[Literal["flip"] | None, Parameter(show_default=False)] = None,
    device: str = "auto",
    runtime: RuntimeName = "auto",
    json_: Json = False,
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
        runtime: what computes: torch, or for exported models onnxruntime, openvino or litert; auto takes
            what fits.
        json_: print one JSON object in place of the table.
    """
    from segnet.inference.opening import load
    from segnet.report.evaluation import require_no_run, to_plain, write_evaluation
    from segnet.scoring.data_to_score import open_data
    from segnet.scoring.evaluate import score_model
    from segnet.scoring.mistakes import WORST

    out = None if out is None else expand_home(out)
    _check(worst, by, out, group_by, group_table)
    if out is not None:
        require_no_run(out)
    segmenter = load(model, device=device, runtime=runtime)
    images = given(image_column=image_column, mask_column=mask_column, dataset_yaml=dataset_yaml)
    pets = given(data_root=data_root, archive=archive, extra_list=extra_list, border=border)
    found = score_model(
        segmenter,
        open_data(model, segmenter, given(data=data) | pets | images),
        split=split,
        allow_trained_on=allow_trained_on,
        flip=tta == "flip",
        group_by=group_by,
        group_table=group_table,
        begin=lambda scored_on: None if json_ else _print_begin(model, scored_on),
    )
    ranked = rank_worst(found.images, by, worst or (WORST if out is not None else 0))
    if out is not None:
        write_evaluation(out, model, found, ranked, by=by, group_by=group_by, flip=tta == "flip")
    if json_:
        print(json.dumps(to_plain(found, ranked, group_by)))
    else:
        _print(found, ranked if worst is not None else (), group_by)
        if out is not None:
            print(f"report {out / 'report.html'}")
    return 0


def _check(worst: int | None, by: Worst, out: Path | None, group_by: str | None, table: Path | None) -> None:
    refuse(
        (worst is not None and worst < 1, f"--worst must be 1 or more, got {worst}"),
        (
            by != "iou" and worst is None and out is None,
            "--by ranks the worst images; give --worst or --out too",
        ),
        (
            table is not None and group_by is None,
            "--group-table needs --group-by, the column to group by",
        ),
    )


def _print_begin(model: str, scored_on: ScoredOn) -> None:
    print(f"{model} on {scored_on}", flush=True)
    if scored_on.note:
        print(scored_on.note, flush=True)


def _print(found: ModelScores, ranked: Sequence[int], group_by: str | None) -> None:
    from segnet.report.evaluation import groups_table
    from segnet.report.sections import describe_image
    from segnet.runs.remarks import largest_confusions, shortcomings

    print_scores(found.scores)
    print_all(
        *(
            f"{each.truth} is taken for {each.predicted}, {100 * each.share:.1f} % of its pixels"
            for each in largest_confusions(found.scores)
        ),
        *(f"warning: {line}" for line in shortcomings(found.scores)),
        *([groups_table(str(group_by), found.groups)] if found.groups else []),
        *(f"{found.images[i].image}: {describe_image(found.images[i])}" for i in ranked),
    )


def print_scores(scores: Scores) -> None:
    """Print the table of classes, and below it the scores of all of them together."""
    from segnet.report.evaluation import classes_table, score_lines

    print_all(classes_table(scores), *score_lines(scores))
