"""What looks after a user's own images: ``data check`` and ``data convert``."""

from __future__ import annotations

import json
import shlex
from dataclasses import asdict
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import cyclopts
from cyclopts import Parameter
from rich.console import Console

from segnet.cli.app import BAD_INPUT, app, print_whole
from segnet.core.files import expand_home
from segnet.core.settings import Whole

if TYPE_CHECKING:
    from segnet.data.inspection import Inspection
    from segnet.data.repair import Repaired

data = cyclopts.App(name="data", help="Check and convert your own images and masks.")
app.command(data)


@data.command
def check(
    folder: str,
    /,
    *,
    fix: Annotated[Path | None, Parameter(show_default=False)] = None,
    channels: Annotated[Whole | None, Parameter(show_default=False)] = None,
    shown: Whole = 5,
    json_: Annotated[bool, Parameter(name="--json", negative=())] = False,
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
    from segnet.data.inspection import inspect_folder
    from segnet.data.options import DataOptions
    from segnet.data.repair import require_new_folder, write_repaired
    from segnet.core.counting import counting

    root = expand_home(folder)
    target = None if fix is None else expand_home(fix)
    if target is not None:
        require_new_folder(target, root)
    if not json_ and root.is_dir():
        print(f"reading {root}", flush=True)
    said = Console(stderr=True)
    wanted = DataOptions(data=folder, channels=channels).channels or 3
    found = inspect_folder(root, partial(counting, said, "reading"), channels=wanted)
    repaired = None if target is None else write_repaired(found, target, partial(counting, said, "writing"))
    if json_:
        copy = {} if repaired is None else {"copy": {"folder": str(target)} | asdict(repaired)}
        print(json.dumps(found.to_dict() | copy))
    else:
        _print(found, shown)
        if repaired is None and not found.errors:
            _print_next(found, channels)
    if repaired is not None:
        if not json_:
            _print_copy(repaired, target)
        return 0
    return BAD_INPUT if found.errors else 0


def _print(found: Inspection, shown: int) -> None:
    from segnet.data.faults import KINDS, by_kind

    console = Console(highlight=False, soft_wrap=True)
    counted = ", ".join(f"{count:,} in {split}" for split, count in found.images.items()) or "none"
    console.print(f"{found.root}: pairs of image and mask: {counted}", markup=False)
    if found.smallest and found.largest:
        sizes = " to ".join(dict.fromkeys(f"{w}x{h}" for w, h in (found.smallest, found.largest)))
        console.print(f"images of {sizes} px{_stored(found)}", markup=False)
    level = ""
    for kind, faults in by_kind(found.faults).items():
        known = KINDS[kind]
        if known.level != level:
            level = known.level
            meaning = "training refuses this" if level == "error" else "training goes on, and says so"
            console.print(f"\n{level}s: {meaning}", style="bold red" if level == "error" else "bold yellow")
        files = f"{len(faults):,} " if len(faults) > 1 else ""
        console.print(f"  {files}{known.title}", markup=False, style="bold")
        few = faults[: max(1, shown)]
        for remedy in dict.fromkeys(fault.remedy for fault in few):
            for fault in few[:shown]:
                if fault.remedy == remedy:
                    said = f"{found.named(fault.file)} {found.shortened(fault.detail)}"
                    console.print(f"    {said}", markup=False)
            console.print(f"    -> {found.shortened(remedy)}", markup=False)
        if len(faults) > shown > 0:
            console.print(f"    .. and {len(faults) - shown:,} more; --json lists them all", markup=False)
    if found.classes:
        console.print()
        _print_classes(found)
    if found.suggestion:
        console.print(f"suggested: {found.suggestion}", markup=False)
    errors = len(found.errors)
    totals = (_counted(errors, "error"), _counted(len(found.faults) - errors, "warning"))
    console.print(", ".join(totals) if found.faults else "nothing is wrong with it", markup=False)


def _print_next(found: Inspection, channels: int | None) -> None:
    """Print what to type to train on a folder in which training refuses nothing."""
    names = [each.name for each in found.classes]
    if names and names == [f"class {number}" for number in range(len(names))]:
        listed = ", ".join(f"NAME_OF_{number}" for number in range(min(len(names), 3)))
        more = ", .." if len(names) > 3 else ""
        print(f"the classes have no names: write 'classes: [{listed}{more}]' to {found.root / 'dataset.yaml'}")
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
        f"{_counted(channels, 'channel')} of {bits} bits" + (f" ({count:,})" if len(layouts) > 1 else "")
        for (channels, bits), count in layouts
    ]
    return f", {', '.join(said)}"


def _counted(number: int, what: str) -> str:
    return f"{number:,} {what}{'' if number == 1 else 's'}"


def _print_classes(found: Inspection) -> None:
    from rich.table import Table

    from segnet.data.inspection import not_counted

    table = Table("class")
    for title in ("share of\npixels", *(f"images in\n{split}" for split in found.images), "thickness\nin px"):
        table.add_column(title, justify="right")
    for each in found.classes:
        table.add_row(
            each.name,
            f"{each.share:.2%}",
            *(f"{each.images.get(split, 0):,}" for split in found.images),
            "–" if each.thickness_px is None else f"{each.thickness_px:.1f}",
        )
    print_whole(table)
    console = Console(highlight=False, soft_wrap=True)
    if found.uncounted:
        console.print(f"{not_counted(found.uncounted)} here", markup=False)
    if found.without_objects:
        verb = "holds" if found.without_objects == 1 else "hold"
        said = f"{_counted(found.without_objects, 'mask')} {verb} nothing but {found.classes[0].name}"
        console.print(said, markup=False)


def _print_copy(repaired: Repaired, target: Path | None) -> None:
    from segnet.data.faults import KINDS

    console = Console(highlight=False, soft_wrap=True)
    console.print(f"\nwrote {_counted(repaired.pairs, 'pair')} to {target}", markup=False)
    for kind, count in repaired.mended.items():
        console.print(f"  mended {count:,}: {KINDS[kind].title} ({KINDS[kind].fix})", markup=False)
    for kind, count in repaired.left_out.items():
        console.print(f"  left out {count:,}: {KINDS[kind].title}", markup=False)
    console.print(f"next: segnet data check {shlex.quote(str(target))}", markup=False)


@data.command
def convert(
    source: str,
    folder: str,
    /,
    *,
    images: Annotated[tuple[str, ...], Parameter(negative=(), show_default=False)] = (),
) -> int:
    """Make a folder of images and masks from labels as annotation tools and datasets have them.

    What nothing is drawn on becomes background. Where shapes lie on each other, the later or higher one wins,
    with COCO the smaller. Everything that is wrong is told at once, and then nothing is written.

    Args:
        source: a .json of COCO or Label Studio, a .xml of CVAT, or a folder of COCO, LabelMe, YOLO (polygons,
            with data.yaml), Pascal VOC or Cityscapes, or one of images and mask files in other folders or
            under other names than segnet train takes; these masks are copied as they are.
        folder: the new folder.
        images: where the images are, if not where the labels are; may be given several times.
    """
    from segnet.data.convert import convert as write
    from segnet.core.counting import counting

    said = Console(stderr=True)
    print(f"reading {source}", flush=True)
    done = write(
        expand_home(source),
        expand_home(folder),
        images=[expand_home(each) for each in images],
        progress=partial(counting, said, "converting"),
    )
    console = Console(highlight=False, soft_wrap=True)
    for warning in done.warnings:
        console.print(f"warning: {warning}", markup=False)
    counted = ", ".join(f"{count:,}{split and f' in {split}'}" for split, count in done.images.items())
    console.print(f"wrote {counted} images with masks to {folder}, from {done.format}", markup=False)
    total = sum(done.pixels.values()) or 1
    shares = ", ".join(f"{name} {count / total:.1%}" for name, count in done.pixels.items())
    console.print(f"classes: {shares or 'the masks are copied as they are'}", markup=False)
    console.print(f"next: segnet data check {shlex.quote(folder)}", markup=False)
    return 0
