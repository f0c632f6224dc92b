"""What a worker of a bulk prediction does, on whichever machine: open the model once, then piece by piece."""

from __future__ import annotations

import json
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from dataclasses import dataclass
from functools import cache, cached_property, partial
from pathlib import Path
from typing import Any, Literal

from segnet import __version__
from segnet.base.errors import SegnetError
from segnet.data.images.reading import allow_pixels
from segnet.inference.bulk.places import Address, Source, explained, open_address
from segnet.inference.opening import load
from segnet.inference.predict_files import Page, finish_files, pages_of, predict_files
from segnet.inference.segmentation import Segmentation
from segnet.inference.segmenter import Segmenter
from segnet.inference.write_results import describe, write_segmentation

_opened = cache(open_address)  # an archive once, not for each image in it
_ATTEMPTS = 3  # a piece that so many workers have begun and not ended is at fault itself

Line = dict[str, Any]
"""What is said of an image, or its ``error``."""


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


@dataclass
class Worker:
    """Segments pieces, batches of Ray Data with one row each.

    Nothing is opened before the first piece: of what is raised then, Ray hands on the error itself.
    """

    model: Mapping[str, bytes]
    """The files of the model by name, the one to open first."""
    options: Options
    place: Address
    """Where results go."""
    version: str
    """That of segnet where it was started."""
    start: str
    """Tells one start from the next."""
    temporary: str | None = None
    """The folder for what is left behind where a worker is killed; None for the system's own."""

    @cached_property
    def segmenter(self) -> Segmenter:
        """The model, opened; raises SegnetError for another version of segnet than where it was started."""
        here, there, options = __version__, self.version, self.options
        if here != there:
            raise SegnetError(f"a worker has segnet {here}, and not {there}; install one everywhere")
        # Ray ends workers by killing them, so nothing may wait for their end to be removed
        with self._folder() as folder:
            files = [Path(folder) / name for name in self.model]
            for file in files:
                file.write_bytes(self.model[file.name])
            # as many workers as cores: threads of each would be in the others' way
            opened = load(files[0], device=options.device, runtime=options.runtime, threads=1)
        return opened if options.threshold is None else opened.at_threshold(options.threshold)

    def __call__(self, batch: Mapping[str, Any]) -> dict[str, Any]:
        """Do a piece: columns ``piece``, its number, and ``sources``, JSON; gives ``lines``, JSON too."""
        lines = self.do(int(batch["piece"][0]), [Source(*each) for each in json.loads(batch["sources"][0])])
        return {"piece": batch["piece"], "lines": [json.dumps(lines)]}

    def do(self, number: int, sources: Sequence[Source]) -> list[Line]:
        """Segment a piece, publish its results and return its lines; results that are there stay.

        Raises:
            SegnetError: results that can't be written, images that can't be fetched, or as ``segmenter``.
        """
        # Ray tries again, but tells nobody which rows a worker died with, nor how often
        if not self.place.begin_again(f"{self.start}-{number}", _ATTEMPTS):
            raise SegnetError(
                f"{_ATTEMPTS} workers died while they did {sources[0].shown} and the files after it, perhaps "
                "for want of memory; what is done is kept, and a second start does the rest, with fewer "
                "--workers perhaps"
            )
        allowed = allow_pixels(self.options.max_megapixels)
        with self._folder() as folder, allowed:
            return list(self._segment(sources, Path(folder)))

    def _folder(self) -> tempfile.TemporaryDirectory[str]:
        return tempfile.TemporaryDirectory(prefix="segnet-", dir=self.temporary, ignore_cleanup_errors=True)

    def _segment(self, sources: Sequence[Source], folder: Path) -> Iterator[Line]:
        pages: list[tuple[Page, str]] = []  # and what each one's image is called

        def read() -> Iterator[Page]:
            targets = [folder / f"{number}" for number in range(len(sources))]
            with ThreadPoolExecutor(len(sources)) as pool:
                for source, file in zip(sources, pool.map(_fetch, sources, targets), strict=True):
                    for page in pages_of(file, source.name):
                        pages.append((page, source.shown))
                        yield page

        results = predict_files(self.segmenter, read(), samples=self.options.samples, seed=self.options.seed)
        finished = finish_files(results, partial(self._finish, folder / "results"))
        with closing(finished) as lines:
            for line, (page, shown) in zip(lines, pages, strict=False):  # pages grow ahead of the lines
                if isinstance(line, SegnetError):
                    number = {} if page.number is None else {"page": page.number}
                    yield {"image": shown, **number, "error": str(line).replace(str(page.file), shown)}
                else:
                    yield line | {"image": shown}

    def _finish(self, folder: Path, page: Page, result: Segmentation) -> Line:
        """Write what was found in an image, in any thread; return what is said of it."""
        options, files = self.options, {}
        wanted = {"overlay": options.overlay, "probabilities": options.probabilities}
        for kind, file in write_segmentation(result, folder, page.name, **wanted, like=page.like).items():
            name = file.relative_to(folder).as_posix()
            self.place.publish(name, file.read_bytes())
            file.unlink()
            files[kind] = self.place.show(name)
        least = options.least_region
        return describe(page, result, files, None if least is None else result.regions(least_px=least))


def _fetch(source: Source, target: Path) -> Path:
    """Return where a file is on this machine; one that isn't there will be missed where it is read."""
    file_system = _opened(source.address)[0] if source.address else None
    if file_system is None or getattr(file_system, "local_file", False):
        return Path(source.path)
    target = target.with_suffix(Path(source.path).suffix)
    with explained(f"can't fetch {source.shown}"):  # it may be there at the next start
        try:
            file_system.get_file(source.path, str(target))
        except FileNotFoundError:
            target.unlink(missing_ok=True)
    return target
