"""The label loop: ``label start``, ``next``, ``take``, ``train`` and ``status``."""

from __future__ import annotations

import shlex
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

from cyclopts import Parameter
from rich.console import Console

from segnet.base.files import expand_home
from segnet.base.readable import counted, number_table
from segnet.base.settings import Whole
from segnet.cli.app import (
    SOME_FAILED,
    App,
    Flag,
    OptionalPath,
    OptionalText,
    OptionalWhole,
    app,
    print_all,
    print_whole,
)
from segnet.training.interrupt import INTERRUPTED

if TYPE_CHECKING:
    from segnet.labelling.project import Project

label = App(name="label", help="Label the images that are worth it, train, and see what it brought.")
app.command(label)

Names = Annotated[str, Parameter(show_default=False)]


@label.command
def start(
    photos: str, /, *, project: Path, classes: Names = "", model: Names = "", scored: OptionalWhole = None
) -> int:
    """Begin a label project for a folder of photos, which is only ever read.

    Some photos are set aside for scoring, for good and by chance: a score on images that a model has picked,
    or was trained on, says nothing.

    Args:
        photos: a folder of images, searched to the bottom. Masks that you have are taken in by segnet label
            take.
        project: the project's new folder, beside the photos.
        classes: the names of the classes, with commas between them: a,b,c. A background is added where none
            is among them. Without it the classes are those of --model, or of the first masks.
        model: whose outlines are to be corrected first: a run folder, a model file or a bundled name.
        scored: how many photos are set aside; by default a tenth, from 10 to 100 and at most half.
    """
    from segnet.cli.data import class_names
    from segnet.labelling.project import start_project

    names = class_names(classes, "")
    begun, lines = start_project(
        expand_home(photos), expand_home(project), classes=names, model=model, scored=scored
    )
    print_all(*lines)
    aside = len(begun.chosen(scored=True, labelled=False))
    print(
        f"{project}: {counted(len(begun.images), 'photo')}, {aside} of them set aside for scoring, by chance"
    )
    print(f"classes: {', '.join(begun.classes) or 'those of the first masks'}")
    print(f"next: segnet label next {shlex.quote(str(project))}")
    return 0


@label.command(name="next")
def next_(
    project: str,
    /,
    *,
    count: Whole = 20,
    by: Literal["uncertainty+distance", "uncertainty", "random"] = "uncertainty+distance",
    format_: Annotated[Literal["labelme", "coco", "label-studio"], Parameter(name="--format")] = "labelme",
    out: OptionalPath = None,
    again: Flag = False,
) -> int:
    """Give out the images that are worth a person's time next, with the newest model's outlines to correct.

    Images set aside for scoring come first. They are chosen by chance, since only that makes scores honest,
    and come without outlines, which would sway whoever draws the masks that judge the model.

    Args:
        project: the project's folder.
        count: how many images.
        by: uncertainty+distance (the model is unsure of them, and they are unlike those with masks and each
            other), uncertainty or random. Without a model: distance alone.
        format_: of the outlines: labelme (NAME.json beside each image), coco (annotations.json) or
            label-studio (tasks.json and label_config.xml).
        out: a new folder for copies of the images; by default next-001 and so on in the project.
        again: give out again what was given out and has no mask yet.
    """
    from segnet.base.progress import counting
    from segnet.labelling.giving_out import give_out
    from segnet.labelling.project import open_project

    with open_project(expand_home(project)) as opened:
        given = give_out(
            opened,
            count=count,
            by=by,
            tool=format_,
            out=None if out is None else expand_home(out),
            again=again,
            progress=partial(counting, Console(stderr=True), "looking at images"),
        )
    print_all(*given.lines)
    if given.scored:
        print(f"{counted(given.scored, 'image')} for scoring, chosen by chance and without outlines")
    if given.picked:
        outlines = (
            f"{given.outlined} with outlines of {opened.model}" if given.outlined else "without outlines"
        )
        way = f", picked by {by}" if opened.model or by == "random" else ""  # else a line has said it
        print(f"{counted(given.picked, 'image')} to train on{way}, {outlines}")
    print(f"wrote {given.folder}")
    print(f"then: segnet label take {shlex.quote(project)} {_export(given.folder, format_)}")
    return 0


def _export(folder: Path, format_: str) -> str:
    """Return what the tool leaves when somebody has labelled a folder."""
    return shlex.quote(str(folder)) if format_ == "labelme" else "EXPORT.json"


@label.command
def take(
    project: str,
    source: str,
    /,
    *,
    images: Annotated[tuple[str, ...], Parameter(negative=(), show_default=False)] = (),
    classes: Names = "",
    by: Names = "",
    skip: Flag = False,
    empty_as_background: Flag = False,
    accept_unchanged: Flag = False,
) -> int:
    """Read back what was labelled, in any format that segnet data convert reads.

    Images are known by their content. What isn't taken is counted and named.

    Args:
        project: the project's folder.
        source: the tool's export: a file, a folder or a .zip; or a folder of images and masks.
        images: where the images are besides the photos and the folders that were given out; several times.
        classes: all classes from now on, with commas: those that masks have already come first, in their
            order.
        by: who has labelled them, for the project's file.
        skip: leave out what can't be read; the exit code is then 1.
        empty_as_background: take images without a shape as background where the format doesn't tell whether
            anybody has looked at them (COCO, CVAT and YOLO).
        accept_unchanged: take the model's outlines that came back untouched as masks, since somebody has
            looked.
    """
    from segnet.base.progress import counting
    from segnet.cli.data import class_names
    from segnet.labelling.project import listed, open_project
    from segnet.labelling.taking_back import lines_left_out
    from segnet.labelling.taking_back import take as read_back

    with open_project(expand_home(project)) as opened:
        taken = read_back(
            opened,
            expand_home(source),
            images=[expand_home(each) for each in images],
            classes=class_names(classes, ""),
            skip=skip,
            empty_as_background=empty_as_background,
            accept_unchanged=accept_unchanged,
            by=by,
            progress=partial(counting, Console(stderr=True), "reading"),
        )
        left_out = lines_left_out(taken)
    print_all(*taken.lines)
    print_all(*(f"left out {line}" for line in left_out))
    if taken.empty:
        print(f"{counted(len(taken.empty), 'mask')} of background alone: {listed(taken.empty)}")
    print(
        f"took {counted(len(taken.new), 'new mask')}, {taken.scored} of them for scoring, from "
        f"{taken.format}; replaced {len(taken.replaced)}"
    )
    _print_masks(opened)
    return SOME_FAILED if taken.some_failed else 0


@label.command
def train(
    project: str,
    /,
    *,
    model: OptionalText = None,
    start_from: OptionalText = None,
    unlabeled: Flag = False,
    epochs: OptionalWhole = None,
    size: Whole = 128,
    seed: Whole = 0,
    more: Whole = 20,
) -> int:
    """Train on what is labelled, score on the photos set aside, and say what the last masks brought.

    Every training of the project is scored anew on the same photos, so that they compare. For any other
    setting, and for a score at another size, the masks are in PROJECT/data: segnet train --data PROJECT/data.

    Args:
        project: the project's folder.
        model: segnet-efficient where its pretrained encoder is installed, else segnet-lite; or any other.
        start_from: a model of the same kind, or last for the project's newest. By default segnet-lite goes on
            from the last, and segnet-efficient begins with its pretrained encoder each time.
        unlabeled: learn from the photos without masks too; takes twice the time, and seldom pays.
        epochs: passes over the images, in place of what the recipe modern takes for so few.
        size: pixels that images are resized to, each way.
        seed: decides everything random.
        more: masks that the forecast speaks of.
    """
    from segnet.labelling.project import open_project
    from segnet.labelling.rounds import Plan, train_round

    plan = Plan(model, start_from, unlabeled, epochs, size, seed, more)
    with open_project(expand_home(project)) as opened:
        done = train_round(opened, plan, print)
    if done is None:
        return INTERRUPTED
    print()
    _print_rounds(opened)
    print(f"next: segnet label next {shlex.quote(project)}")
    return 0


@label.command
def status(project: str, /) -> int:
    """Show on one screen what is labelled, what is given out, and what each training brought.

    Args:
        project: the project's folder.
    """
    from segnet.labelling.project import read_project

    opened = read_project(expand_home(project))
    print(f"photos   {len(opened.images):,}, in {opened.photos}")
    print(f"classes  {', '.join(opened.classes) or 'those of the first masks'}")
    print(f"model    {opened.model or 'none yet'}")
    _print_masks(opened)
    out: dict[str, int] = {}
    for each in opened.images:
        if each.given and not each.labelled:
            out[each.given] = out.get(each.given, 0) + 1
    print_all(
        *(f"{folder}: {counted(count, 'image')} given out and not taken yet" for folder, count in out.items())
    )
    _print_rounds(opened)
    return 0


def _print_masks(project: Project) -> None:
    for scored, what in ((False, "to train on"), (True, "for scoring")):
        done, left = (len(project.chosen(scored=scored, labelled=each)) for each in (True, False))
        print(f"{what}: {done} of {counted(done + left, 'photo')} have a mask")


def _print_rounds(project: Project) -> None:
    """Print the trainings, and what the last one brought."""
    if project.rounds:
        rows = (
            (
                each.run,
                f"{each.masks:,}",
                "–" if each.mean_iou is None else f"{100 * each.mean_iou:.1f}",
                each.finished,
            )
            for each in project.rounds
        )
        on = counted(project.rounds[-1].scored_on, "image")
        columns = ("training", "masks", f"mean IoU in points\non {on} set aside", "finished")
        print_whole(number_table(columns, rows, texts=(0, 3)))
    print_all(*project.said)
