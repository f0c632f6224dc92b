"""What uses a model: ``predict``."""

from __future__ import annotations

import json
import sys
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import AbstractContextManager, closing, nullcontext
from dataclasses import dataclass, field
from itertools import islice
from pathlib import Path, PurePath
from typing import TYPE_CHECKING, Annotated, Any, Literal, TextIO

from cyclopts import Parameter
from rich.console import Console

from segnet.base.errors import SegnetError, refuse
from segnet.base.extras import require_package
from segnet.base.files import expand_home
from segnet.base.settings import Whole
from segnet.cli.app import BAD_INPUT, SOME_FAILED, app, say_error
from segnet.cli.eval import RuntimeName
from segnet.data.images.embedded_files import Blob

_LISTED = 20  # files of a bulk prediction that couldn't be read; the manifest has all
_TINY_REGION_PX = 20

if TYPE_CHECKING:
    from segnet.inference.annotations import Annotated as AnnotatedImage
    from segnet.inference.annotations import AnnotationWriter
    from segnet.inference.bulk.worker import Options
    from segnet.inference.predict_files import Page, Result
    from segnet.inference.segmentation import Segmentation


@app.command
def predict(
    images: Annotated[tuple[str, ...], Parameter(negative=(), show_default=False)] = (),
    /,
    *,
    stdin: Annotated[bool, Parameter(name="-", negative=(), show_default=False)] = False,
    model: str = "pets-lite",
    out: Annotated[str, Parameter(allow_leading_hyphen=True)] = "masks",
    format_: Annotated[
        Literal["masks", "coco", "labelme", "label-studio", "geojson"], Parameter(name="--format")
    ] = "masks",
    overlay: bool = True,
    cutout: Annotated[bool, Parameter(negative=())] = False,
    probabilities: Annotated[bool, Parameter(negative=())] = False,
    regions: Annotated[bool, Parameter(negative=())] = False,
    least_region: Annotated[Whole | None, Parameter(show_default=False)] = None,
    tolerance: float = 1.0,
    samples: Whole = 0,
    seed: Whole = 0,
    threshold: Annotated[str | None, Parameter(show_default=False)] = None,
    max_megapixels: Whole = 178,
    device: str = "auto",
    runtime: RuntimeName = "auto",
    engine: Literal["local", "ray"] = "local",
    workers: Annotated[Whole | None, Parameter(show_default=False)] = None,
    ray_address: Annotated[str | None, Parameter(show_default=False)] = None,
) -> int:
    """Segment images of any size and kind; each mask has its image's own size.

    Writes NAME.mask.png (class ids, with a palette) and NAME.overlay.png (to look at), and prints one JSON
    line for each image with its width and height, and each class with its id in the mask, its colour and its
    share of the pixels. The mask of a GeoTIFF is a GeoTIFF at the same place, NAME.mask.tif; pixels without
    data (NoData) are 255 in it. Images of a folder keep the folders they lie in; each page or frame of a file
    has its number. Files named like outputs are never segmented. A file that can't be read is reported and
    skipped; the exit code is then 1, or 2 where none could be read.

    With --samples also NAME.uncertainty.png, black where the samples agree and brighter where they differ
    (magma, over standard deviations of 0 to 0.5 in every picture), and the line has the mean variance.

    Args:
        images: files, folders (searched to the bottom) and patterns; one that names nothing ends the command.
        stdin: read one image from standard input, in place of files.
        model: a run folder, a .safetensors, .onnx or .xml file or a bundled name.
        out: the folder to write to, or - to write the mask PNG of a single image to standard output.
        format_: masks, or the regions' outlines for an annotation tool: coco (annotations.json for all
            images), labelme (NAME.json), label-studio (tasks.json and label_config.xml) or geojson
            (NAME.geojson, in pixels).
        overlay: write NAME.overlay.png beside each mask.
        cutout: write NAME.cutout.png beside each mask: the image with its background transparent, edges soft.
        probabilities: write NAME.probabilities.npy beside each mask: softmax by class, float16.
        regions: list the connected regions in each line, with class, area in pixels, box
            (left, top, right, bottom) and centroid.
        least_region: leave out regions of fewer pixels, also from outlines, and say how many these are.
            Without it none is left out, and a last line says how many regions have fewer than 20 pixels.
        tolerance: pixels that a simplified outline may be from the exact one; 0 keeps every corner.
        samples: predict by the mean of so many passes with dropout, 6 or more by its paper; for a model
            trained with dropout. 0 is one pass without.
        seed: decides what the samples drop.
        threshold: of two classes, call foreground what has more than this probability, 0 to 1; or chosen, the
            one that was best on validation images. Without it the more probable class wins.
        max_megapixels: refuse images of more million pixels, which may be small files made to fill memory.
        device: auto, or a device by name.
        runtime: what computes: torch, or for exported models onnxruntime, openvino or litert; auto takes
            what fits.
        engine: local computes in this process; ray in many, also on other machines, from and to any address
            of fsspec's (s3://...), and a second start goes on where the first was stopped.
        workers: with ray, how many processes compute; by default one a core, or one a GPU.
        ray_address: HOST:PORT of a Ray cluster's head, or auto for the one this machine belongs to; without
            it ray takes this machine's own cores.
    """
    from segnet.data.images.reading import allow_pixels
    from segnet.data.images.suffixes import said_skipped
    from segnet.inference.opening import is_bundled, load
    from segnet.inference.predict_files import find_images, pages_of, pictures_of, predict_files

    is_ray, no_masks = engine == "ray", format_ != "masks"
    to_cluster = workers is not None or ray_address is not None
    _check(images, stdin, out, format_, probabilities, least_region, is_ray=is_ray, to_cluster=to_cluster)
    refuse(
        (
            cutout and (out == "-" or no_masks or is_ray),
            "--cutout goes with masks in a folder alone; leave it out, or --out -, --format and --engine ray",
        )
    )
    if samples and runtime == "auto" and is_bundled(model):
        runtime = "torch"  # no exported model has dropout
    if regions or no_masks:  # before an image is read
        for package in ("scipy", "shapely"):
            require_package("--regions" if format_ == "masks" else f"--format {format_}", package)
    if is_ray:
        from segnet.inference.bulk.worker import Options

        options = Options(
            runtime,
            device,
            None if threshold is None else _threshold(threshold),
            overlay,
            probabilities,
            (least_region or 1) if regions else None,
            samples,
            seed,
            max_megapixels,
        )
        return _predict_bulk(images, out, model, options, workers, ray_address)
    skipped: list[PurePath] = []
    files = [] if stdin else find_images(images, skipped)
    if len(files) > 1 and out == "-":
        raise SegnetError(f"--out - writes one mask, but there are {len(files)} images; give --out a folder")
    segmenter = load(model, device=device, runtime=runtime)
    if threshold is not None:
        segmenter = segmenter.at_threshold(_threshold(threshold))
    wanted = _Wanted(out, overlay, cutout, probabilities, regions, least_region)
    if format_ != "masks":
        from segnet.inference.annotations import AnnotationWriter

        folder = expand_home(out)
        wanted.writer = AnnotationWriter(format_, folder, segmenter.classes, tolerance, least_region or 1)
    if skipped:
        say_error(said_skipped(skipped))
    pictures = pages_of(Path("-"), "stdin", _StandardInput()) if stdin else pictures_of(files, images)
    with allow_pixels(max_megapixels):
        if out == "-":
            first = [*islice(pictures, 2)]
            if len(first) > 1:
                raise SegnetError("--out - writes one mask, but there are several pages; give --out a folder")
            pictures = iter(first)
        results = predict_files(segmenter, pictures, samples=samples, seed=seed)
        return _finish(results, wanted, len(files), sys.stderr if out == "-" else sys.stdout)


def _check(
    images: Sequence[str],
    stdin: bool,
    out: str,
    format_: str,
    probabilities: bool,
    least_region: int | None,
    *,
    is_ray: bool,
    to_cluster: bool,
) -> None:
    """Raise SegnetError for options that don't go with each other."""
    no_masks, to_pipe = format_ != "masks", out == "-"
    other = {"-": stdin, "--out -": to_pipe, f"--format {format_}": no_masks}
    unfit = next(filter(other.get, other), "")
    refuse(
        (stdin and images, "- stands for one image from standard input; give it alone, or files alone"),
        (
            not stdin and not images,
            "no image given; name files, folders or patterns, or - for standard input",
        ),
        (
            least_region is not None and least_region < 1,
            f"--least-region is a number of pixels from 1, got {least_region}",
        ),
        (
            is_ray and unfit,
            f"--engine ray writes masks of many files; leave {unfit} or --engine ray out",
        ),
        (
            not is_ray and to_cluster,
            "--workers and --ray-address go with --engine ray; add it or leave them out",
        ),
        (
            to_pipe and probabilities,
            "--out - writes a mask alone; give --out a folder for --probabilities",
        ),
        (
            no_masks and (to_pipe or probabilities),
            f"{'--out -' if to_pipe else '--probabilities'} goes with masks alone; leave it or "
            f"--format {format_} out",
        ),
    )


def _finish(results: Iterable[tuple[Page, Result]], wanted: _Wanted, files: int, lines_to: TextIO) -> int:
    """Write what is wanted of each picture and a line on it; return the exit code."""
    from segnet.inference.predict_files import finish_files

    failed = done = 0
    with closing(finish_files(results, wanted.finish)) as lines, _counted(files) as count_one:
        for line in lines:
            done += 1
            count_one()
            if isinstance(line, SegnetError):
                failed += 1
                say_error(line)
            else:
                said, annotated, counted = line
                wanted.counted += counted
                if wanted.writer is not None and annotated is not None:
                    wanted.writer.keep(annotated)
                print(json.dumps(said), file=lines_to, flush=True)
    if wanted.writer is not None and failed < done:
        wanted.writer.finish()
    wanted.say_small()
    return _exit_code(failed, done)


def _predict_bulk(
    images: Sequence[str],
    out: str,
    model: str,
    options: Options,
    workers: int | None,
    ray_address: str | None,
) -> int:
    from segnet.data.images.suffixes import said_skipped
    from segnet.inference.bulk.prediction import predict_bulk

    begun = predict_bulk(images, out, model, options, workers=workers, ray_address=ray_address)
    if begun.skipped:
        say_error(said_skipped(begun.skipped))
    if begun.left < begun.files:
        print(f"segnet: {begun.files - begun.left} of {begun.files} files are done already", file=sys.stderr)
    failed, done = [line for line in begun.before if "error" in line], len(begun.before)
    with _counted(begun.left) as count_one, closing(begun.lines) as pieces:
        printed = sys.stdout  # Ray prints to what bears this name later
        for lines in pieces:
            done += len(lines)
            for line in lines:
                if line.get("page", 1) == 1:
                    count_one()
                if "error" in line:
                    failed.append(line)
                else:
                    print(json.dumps(line), file=printed, flush=True)
    for line in failed[:_LISTED]:
        say_error(line["error"])
    return _exit_code(len(failed), done, f"; all are in {out}/manifest" if len(failed) > _LISTED else "")


def _exit_code(failed: int, done: int, where: str = "") -> int:
    """Return the exit code, and say how many images failed, where that isn't the only one."""
    if failed and done > 1:
        say_error(f"{failed} of {done} images could not be read{where}")
    return 0 if not failed else BAD_INPUT if failed == done else SOME_FAILED


def _threshold(text: str) -> float | Literal["chosen"]:
    if text == "chosen":
        return "chosen"
    try:
        return float(text)
    except ValueError:
        raise SegnetError(f"--threshold is a probability between 0 and 1, or chosen, not {text}") from None


@dataclass
class _Wanted:
    """What is written of each image, and said of it."""

    out: str
    overlay: bool
    cutout: bool
    probabilities: bool
    regions: bool
    least_region: int | None
    writer: AnnotationWriter | None = None
    counted: Counter[str] = field(default_factory=Counter)
    """Regions: those ``listed``, the ``tiny`` ones of them, and those that were ``left out``."""

    def finish(
        self, page: Page, result: Segmentation
    ) -> tuple[dict[str, Any], AnnotatedImage | None, Counter[str]]:
        """Write what was found in an image, in any thread; return what is said of it."""
        from segnet.inference.write_results import describe, write_segmentation

        annotated, regions = None, None
        files: Mapping[str, object] = {}
        if self.writer is not None:
            annotated = self.writer.describe(result, page)
            files = {"annotations": annotated.file}
            regions = annotated.regions
        elif self.out == "-":
            result.index_image().save(sys.stdout.buffer, format="PNG")
        else:
            files = write_segmentation(
                result,
                expand_home(self.out),
                page.name,
                overlay=self.overlay,
                cutout=self.cutout,
                probabilities=self.probabilities,
                like=page.like,
            )
        if self.regions and regions is None:
            regions = list(result.regions(least_px=self.least_region or 1))
        counted = Counter[str]()
        if regions is not None:
            tiny = sum(region.area_px < _TINY_REGION_PX for region in regions)
            counted.update({"listed": len(regions), "tiny": tiny})
            if self.least_region is not None:
                counted["left out"] = sum(1 for _ in result.regions()) - len(regions)
        return describe(page, result, files, regions if self.regions else None), annotated, counted

    def say_small(self) -> None:
        """Say how many regions are small, or were left out as such."""
        left_out, tiny, listed = (self.counted[what] for what in ("left out", "tiny", "listed"))
        if left_out:
            say_error(f"{left_out} regions of fewer than {self.least_region} pixels were left out")
        elif tiny and self.least_region is None:
            say_error(
                f"{tiny} of {listed} regions have fewer than {_TINY_REGION_PX} pixels; "
                f"--least-region {_TINY_REGION_PX} leaves them out"
            )


def _counted(images: int) -> AbstractContextManager[Callable[[], None]]:
    """Show how many images are done where a person looks at standard error; the function counts one more."""
    console = Console(stderr=True)
    if images < 2 or not console.is_terminal:
        return nullcontext(lambda: None)
    from segnet.base.progress import counting

    # Lines that go to a file or a pipe must stay there; those that share the terminal pass above the bar.
    return counting(console, "images", images, redirect_stdout=sys.stdout.isatty())


class _StandardInput(Blob):
    """The image that is piped in; it is read once, whole."""

    def __init__(self) -> None:
        if sys.stdin is None:
            raise SegnetError(
                "standard input is closed; give the image as a file, or as `segnet predict - < photo.jpg`"
            )
        self._content = sys.stdin.buffer.read()

    def read(self) -> bytes:
        return self._content

    def __str__(self) -> str:
        return "the image from standard input"
