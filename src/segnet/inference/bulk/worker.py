"""What a worker of a bulk prediction does, on whichever machine: open the model once, then piece by piece."""

from __future__ import annotations

import json
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from segnet import __version__
from segnet.base.errors import SegnetError
from segnet.base.threads import in_order
from segnet.data.images.reading import allow_pixels
from segnet.inference.bulk.manifest import Line, read_part, write_part
from segnet.inference.bulk.places import Address, Source, is_local, reason
from segnet.inference.opening import load
from segnet.inference.predict_files import FILES_TOGETHER, Page, finish_files, pages_of, predict_files
from segnet.inference.segmentation import Segmentation
from segnet.inference.write_results import describe, write_segmentation

if TYPE_CHECKING:
    from fsspec import AbstractFileSystem


_ATTEMPTS = 3  # a piece that so many workers have begun and not ended is at fault itself


@dataclass(frozen=True)
class Options:
    """What ``segnet predict`` is asked for, as far as it decides what is written."""

    runtime: str = "auto"
    device: str = "auto"
    threshold: float | Literal["chosen"] | None = None
    overlay: bool = True
    probabilities: bool = False
    least_region: int | None = None
    """Regions are listed from so many pixels on; None lists none."""
    samples: int = 0
    seed: int = 0
    max_megapixels: int = 178


class Worker:
    """Segments pieces, batches of Ray Data with one row each.

    Args:
        model: the files of the model by name, the one to open first, or Ray's reference to them.
        options: what is asked for.
        place: where results go.
        file_systems: what the images lie in.
        version: that of segnet where it was started.
        start: tells one start from the next.

    Raises:
        SegnetError: another version of segnet here, or a model that can't be opened here.
    """

    def __init__(
        self,
        model: Any,
        options: Options,
        place: Address,
        file_systems: Sequence[AbstractFileSystem],
        version: str,
        start: str,
    ) -> None:
        if version != __version__:
            raise SegnetError(f"a worker has segnet {__version__}, and not {version}; install one everywhere")
        if not isinstance(model, Mapping):
            import ray

            model = ray.get(model)
        # Ray ends workers by killing them, so nothing may wait for their end to be removed
        with tempfile.TemporaryDirectory(prefix="segnet-model-", ignore_cleanup_errors=True) as folder:
            for name, content in model.items():
                (Path(folder) / name).write_bytes(content)
            # as many workers as cores: threads of each would be in the others' way
            self.segmenter = load(
                Path(folder) / next(iter(model)), device=options.device, runtime=options.runtime, threads=1
            )
        if options.threshold is not None:
            self.segmenter = self.segmenter.at_threshold(options.threshold)
        self.options = options
        self.place = place
        self.file_systems = file_systems
        self.start = start

    def __call__(self, batch: Mapping[str, Any]) -> dict[str, Any]:
        """Do the pieces of a batch: columns ``piece``, a number, and ``sources``, JSON; gives ``lines``."""
        lines = [
            self.do(int(number), [Source(*each) for each in json.loads(sources)])
            for number, sources in zip(batch["piece"], batch["sources"], strict=True)
        ]
        return {"piece": batch["piece"], "lines": np.array([json.dumps(each) for each in lines])}

    def do(self, number: int, sources: Sequence[Source]) -> list[Line]:
        """Segment a piece and return its lines; one that is done is left as it is.

        Raises:
            SegnetError: results that can't be written, or images that can't be fetched.
        """
        done = read_part(self.place, number)
        if done is not None:
            return done
        if self.place.begin_again(f"{self.start}-{number}", _ATTEMPTS) is None:
            raise SegnetError(
                f"{_ATTEMPTS} workers died while they did {sources[0].shown} and the files after it, perhaps "
                "for want of memory; what is done is kept, and a second start does the rest, with fewer "
                "--workers perhaps"
            )
        allowed = allow_pixels(self.options.max_megapixels)
        with tempfile.TemporaryDirectory(prefix="segnet-piece-") as folder, allowed:
            lines = list(self._segment(sources, Path(folder)))
        write_part(self.place, number, lines)
        return lines

    def _segment(self, sources: Sequence[Source], folder: Path) -> Iterator[Line]:
        pages: list[tuple[Page, str]] = []

        def fetch(numbered: tuple[int, Source]) -> Path:
            return self._fetch(numbered[1], folder / f"{numbered[0]}")

        def pictures() -> Iterator[Page]:
            fetched = in_order(fetch, enumerate(sources), most=FILES_TOGETHER, weigh=lambda _: 0, budget=0)
            for source, file in zip(sources, fetched, strict=True):
                for page in pages_of(file, source.name):
                    pages.append((page, source.shown))
                    yield page

        def finish(page: Page, result: Segmentation) -> Line:
            return self._finish(page, result, folder / "results")

        options = self.options
        results = predict_files(self.segmenter, pictures(), samples=options.samples, seed=options.seed)
        with closing(finish_files(results, finish)) as lines:
            for line, (found, shown) in zip(lines, pages, strict=False):  # pages grow ahead of the lines
                if isinstance(line, SegnetError):
                    page = {} if found.number is None else {"page": found.number}
                    error = str(line).replace(str(found.file), shown)
                    yield {"image": shown, **page, "error": error}
                else:
                    yield line | {"image": shown}

    def _fetch(self, source: Source, target: Path) -> Path:
        """Return where a file is on this machine; one that isn't there will be missed where it is read."""
        file_system = self.file_systems[source.file_system]
        if is_local(file_system):
            return Path(source.path)
        target = target.with_suffix(Path(source.path).suffix)
        try:
            file_system.get_file(source.path, str(target))
        except FileNotFoundError:
            target.unlink(missing_ok=True)
        except Exception as error:  # nothing that says the image is bad: the next start may get it
            raise SegnetError(f"can't fetch {source.shown}: {reason(error)}") from error
        return target

    def _finish(self, page: Page, result: Segmentation, folder: Path) -> Line:
        """Write what was found in an image, in any thread; return what is said of it."""
        options = self.options
        written = write_segmentation(
            result,
            folder,
            page.name,
            overlay=options.overlay,
            probabilities=options.probabilities,
            like=page.like,
        )
        files = {}
        for kind, file in written.items():
            name = file.relative_to(folder).as_posix()
            self.place.publish(file, name)
            file.unlink()
            files[kind] = self.place.show(name)
        least = options.least_region
        regions = None if least is None else result.regions(least_px=least)
        return describe(page, result, files, regions)
