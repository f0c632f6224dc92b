"""What looks after a user's own images: ``data check`` and ``data convert``."""

from __future__ import annotations

import json
import shlex
from collections.abc import Sequence
from dataclasses import asdict
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

from cyclopts import Parameter
from rich.box import HEAVY_HEAD
from rich.console import Console
from rich.text import Text

from segnet.base.errors import refuse
from segnet.base.files import expand_home
from segnet.base.readable import counted, number_table
from segnet.base.settings import Whole
from segnet.cli.app import (
    BAD_INPUT,
    SOME_FAILED,
    App,
    Flag,
    Json,
    OptionalPath,
    OptionalWhole,
    app,
    print_all,
    print_whole,
)

if TYPE_CHECKING:
    from segnet.data.check.inspect_folder import Inspection
    from segnet.data.check.repair import Repaired
    from segnet.data.faults import Fault
    from segnet.data.labels.convert import Converted
    from segnet.data.labels.shapes import Tally

data = App(name="data", help="Check and convert your own images and masks.")
app.command(data)


@data.command
def check(
    folder: str,
    /,
    *,
    fix: OptionalPath = None,
    channels: OptionalWhole = None,
    shown: Whole = 5,
    json_: Json = False,
) -> int:
    """Find everything that is wrong with a folder of images and masks, in one go; it is never written to.

    Errors are what training would refuse, and end with exit code 2; warnings are what it would mention.

    Args:
        folder: images/ and masks/, or train/, val/ and test/ with images/ and masks/ in each.
        fix: write a repaired copy to this new folder; what can't be mended is left out.
        channels: that the images are to have, as for segnet train; else RGB, or grey to be read as RGB.
        shown: files that are listed of each fault.
        json_: print JSON with every file in place of the report.
    """
    root = expand_home(folder)
    if not json_ and root.is_dir():
        print(f"reading {root}", flush=True)  # before libraries are imported, which may take a while

    from segnet.base.progress import counting
    from segnet.data.check.inspect_folder import inspect_folder
    from segnet.data.check.repair import require_new_folder, write_repaired
    from segnet.data.options import DataOptions

    target = None if fix is None else expand_home(fix)
    if target is not None:
        require_new_folder(target, root)
    said = Console(stderr=True)
    wanted = DataOptions(data=folder, channels=channels).channels or 3
    found = inspect_folder(root, partial(counting, said, "reading"), channels=wanted)
    repaired = None if target is None else write_repaired(found, target, partial(counting, said, "writing"))
    if json_:
        copy = {} if repaired is None else {"copy": {"folder": str(target)} | asdict(repaired)}
        print(json.dumps(found.to_dict() | copy))
    else:
        _print(found, shown)
        if repaired is not None:
            _print_copy(repaired, target)
        elif not found.errors:
            _print_next(found, channels)
    return BAD_INPUT if found.errors and repaired is None else 0


_LEVELS = {
    "error": ("training refuses this", "red"),
    "warning": ("training goes on, and says so", "yellow"),
}


def _print(found: Inspection, shown: int) -> None:
    from segnet.data.faults import by_kind

    listed = ", ".join(f"{count:,} in {split}" for split, count in found.images.items() if count) or "none"
    print(f"{found.root}: pairs of image and mask: {listed}")
    if found.smallest and found.largest:
        sizes = " to ".join(dict.fromkeys(f"{w}x{h}" for w, h in (found.smallest, found.largest)))
        print(f"images of {sizes} px{_stored(found)}")
    level = ""
    for kind, faults in by_kind(found.faults).items():
        level = _print_faults(found, kind, faults, shown, level)
    if found.classes:
        print()
        _print_classes(found)
    if found.suggestion:
        print(f"suggested: {found.suggestion}")
    errors = len(found.errors)
    totals = f"{counted(errors, 'error')}, {counted(len(found.faults) - errors, 'warning')}"
    print(totals if found.faults else "nothing is wrong with it")


def _print_faults(found: Inspection, kind: str, faults: Sequence[Fault], shown: int, level: str) -> str:
    """Print the faults of one kind, below a headline where their level isn't that of those before."""
    from segnet.data.faults import KINDS

    console, known = Console(highlight=False, soft_wrap=True), KINDS[kind]
    if known.level != level:
        meaning, colour = _LEVELS[known.level]
        console.print(f"\n{known.level}s: {meaning}", style=f"bold {colour}")
    files = f"{len(faults):,} " if len(faults) > 1 else ""
    console.print(f"  {files}{known.title}", markup=False, style="bold")
    few = faults[: max(1, shown)]
    for remedy in dict.fromkeys(fault.remedy for fault in few):
        for fault in few[:shown]:
            if fault.remedy == remedy:
                print(f"    {found.named(fault.file)} {found.shortened(fault.detail)}")
        print(f"    -> {found.shortened(remedy)}")
    if len(faults) > shown > 0:
        print(f"    .. and {len(faults) - shown:,} more; --json lists them all")
    return known.level


def _print_next(found: Inspection, channels: int | None) -> None:
    """Print what to type to train on a folder in which training refuses nothing."""
    names = [each.name for each in found.classes]
    if names and names == [f"class {number}" for number in range(len(names))]:
        listed = ", ".join(f"NAME_OF_{number}" for number in range(min(len(names), 3)))
        more = ", .." if len(names) > 3 else ""
        print(
            f"the classes have no names: write 'classes: [{listed}{more}]' to {found.root / 'dataset.yaml'}"
        )
    options = [found.suggestion.partition(":")[0]] if found.suggestion else []
    options += [] if channels is None else [f"--channels {channels}"]
    data = shlex.quote(str(found.root))
    print(" ".join(["next: segnet train --data", data, "--model segnet-lite --recipe modern", *options]))


def _stored(found: Inspection) -> str:
    """Return what the images store, where that isn't 8 bits of grey or colour alone."""
    layouts = sorted(found.layouts.items())
    if all(bits == 8 and channels in (1, 3) for (channels, bits), _ in layouts):
        return ""
    said = [
        f"{counted(channels, 'channel')} of {bits} bits" + (f" ({count:,})" if len(layouts) > 1 else "")
        for (channels, bits), count in layouts
    ]
    return f", {', '.join(said)}"


def _print_classes(found: Inspection) -> None:
    from segnet.data.check.inspect_folder import not_counted

    rows = (
        (
            each.name,
            f"{each.share:.2%}",
            *(f"{each.images.get(split, 0):,}" for split in found.images),
            "–" if each.thickness_px is None else f"{each.thickness_px:.1f}",
        )
        for each in found.classes
    )
    columns = ("class", "share of\npixels", *(f"images in\n{each}" for each in found.images))
    print_whole(number_table((*columns, "thickness\nin px"), rows, box=HEAVY_HEAD))
    if found.uncounted:
        print(f"{not_counted(found.uncounted)} here")
    if found.without_objects:
        verb = "holds" if found.without_objects == 1 else "hold"
        print(f"{counted(found.without_objects, 'mask')} {verb} nothing but {found.classes[0].name}")


def _print_copy(repaired: Repaired, target: Path | None) -> None:
    from segnet.data.faults import KINDS

    print_all(
        f"\nwrote {counted(repaired.pairs, 'pair')} to {target}",
        *(
            f"  mended {count:,}: {KINDS[kind].title} ({KINDS[kind].fix})"
            for kind, count in repaired.mended.items()
        ),
        *(f"  left out {count:,}: {KINDS[kind].title}" for kind, count in repaired.left_out.items()),
        f"next: segnet data check {shlex.quote(str(target))}",
    )


@data.command
def convert(
    source: str,
    folder: str,
    /,
    *,
    images: Annotated[tuple[str, ...], Parameter(negative=(), show_default=False)] = (),
    classes: Annotated[str, Parameter(show_default=False)] = "",
    like: Annotated[str, Parameter(show_default=False)] = "",
    skip: Flag = False,
    empty_as_background: Flag = False,
) -> int:
    """Make a folder of images and masks from labels as annotation tools and datasets have them.

    Pixels that no shape covers become background. Where shapes overlap, the later or higher one wins, with
    COCO the smaller. Images that nobody has annotated are left out. A table says which shapes were drawn, and
    which were left out and why. Labels that can't be read are all named at once, and nothing is written; with
    --skip the rest is written, and the exit code is 1.

    Args:
        source: a .json of COCO or Label Studio, a .xml of CVAT, a folder of COCO, LabelMe, CVAT, YOLO
            (polygons, with data.yaml), Pascal VOC, Cityscapes, Roboflow's masks or one mask file an object,
            or a .zip of any of these; or a folder of images and mask files in other folders or under other
            names than segnet train takes, which are copied as they are.
        folder: the new folder.
        images: a folder or .zip with the images, if they aren't where the labels are; may be given several
            times.
        classes: the names of the classes in the order of their ids, with commas between them: a,b,c. Without
            it the order is that of the source, behind the background.
        like: take the classes of this model: a bundled name, a run folder or a model file.
        skip: leave out what can't be read. The pixels of such a shape are ignored, or its image is left out
            where nothing tells where the shape lies.
        empty_as_background: write images without any label as background, also where the format doesn't tell
            whether anybody has looked at them (COCO, CVAT and YOLO).
    """
    print(f"reading {source}", flush=True)  # before libraries are imported, which may take a while

    from segnet.base.progress import counting
    from segnet.data.labels.convert import convert as write

    done = write(
        expand_home(source),
        expand_home(folder),
        images=[expand_home(each) for each in images],
        classes=class_names(classes, like),
        skip=skip,
        empty_as_background=empty_as_background,
        progress=partial(counting, Console(stderr=True), "converting"),
    )
    _print_converted(done, folder)
    return SOME_FAILED if done.some_failed else 0


def class_names(classes: str, like: str) -> tuple[str, ...]:
    """Return the classes that are wanted, none where the labels' own are."""
    names = tuple(name.strip() for name in classes.split(",")) if classes.strip() else ()
    refuse(
        (classes and like, "--classes and --like both name the classes; leave one of them out"),
        (not all(names), f"--classes {classes} has an empty name; write a,b,c"),
    )
    if like:
        from segnet.inference.opening import read_classes

        return read_classes(like).names
    return names


def _print_converted(done: Converted, folder: str) -> None:
    from segnet.base.class_roles import is_background

    print_all(*(f"warning: {warning}" for warning in done.warnings))
    _print_tally(done.tally)
    splits = ", ".join(f"{count:,} in {split}" for split, count in done.images.items() if split)
    pairs = counted(sum(done.images.values()), "pair")
    print(f"wrote {pairs} of image and mask to {folder}, from {done.format}{f': {splits}' if splits else ''}")
    total = sum(done.pixels.values())
    shares = ", ".join(f"{name} {count / (total or 1):.1%}" for name, count in done.pixels.items())
    print(f"classes: {shares or 'the masks are copied as they are'}")
    if done.ignored:
        share = done.ignored / (done.ignored + total)
        print(f"{done.ignored:,} pixels ({share:.1%}) belong to no class and are ignored")
    if done.around and not is_background(done.around):
        print(
            f"pixels that no shape covers are of the class {done.around}; where that is wrong, name a class "
            "background with --classes"
        )
    print(f"next: segnet data check {shlex.quote(folder)}")


def _print_tally(tally: Tally) -> None:
    """Print which shapes and images were taken, and which weren't."""
    from segnet.data.labels.shapes import NOT_ANNOTATED

    if shapes := tally.rows():
        rows = (
            (Text(kind), f"{read:,}", f"{drawn:,}", Text(reasons or "–"))
            for kind, read, drawn, reasons in shapes
        )
        columns = ("shapes", "read", "drawn", "left out")
        print_whole(number_table(columns, rows, texts=(0, 3), box=HEAVY_HEAD))
    if tally.no_shapes:
        listed = ", ".join(f"{count:,} {kind}" for kind, count in tally.no_shapes.most_common())
        print(f"ignored, since these are no shapes: {listed}")
    if tally.images_left_out:
        left_out, of = tally.images_left_out.total(), counted(tally.images_read, "image")
        print(f"left out {left_out:,} of {of}: {tally.images_said()}")
    if NOT_ANNOTATED in tally.images_left_out:
        print("--empty-as-background takes images without labels as background")
    if tally.empty:
        print(f"{counted(tally.empty, 'image')} without a shape: background alone")
