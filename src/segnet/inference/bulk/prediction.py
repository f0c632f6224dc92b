"""Prediction on many machines, or many processes of one, by Ray Data: ``segnet predict --engine ray``.

The images are cut into pieces of a few files. Workers, each with the model opened once, fetch a piece,
segment it as ``predict_files`` does and publish its results, then its lines in the manifest. A piece that was
lost with its worker is done again by another, and whatever of it is there already stays.
"""

from __future__ import annotations

import hashlib
import json
import secrets
from collections.abc import Generator, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path, PurePath
from typing import Any

from segnet import __version__
from segnet.base.errors import SegnetError
from segnet.base.extras import require_package
from segnet.base.threads import count_cores
from segnet.data.images.reading import pixels_of
from segnet.inference.bulk.cluster import cluster, explained, places_for_workers
from segnet.inference.bulk.manifest import Line, begin, read_part
from segnet.inference.bulk.places import Address, find_sources
from segnet.inference.bulk.worker import Options, Worker
from segnet.inference.opening import find_model, load, wants_exported
from segnet.inference.predict_files import FILES_TOGETHER

_BLOCKS = 1000  # so many tasks at most, however many pieces: each costs Ray memory, and moves the progress


@dataclass(frozen=True)
class Begun:
    """A bulk prediction: what was done before, and what yields the rest as it is done."""

    files: int
    left: int
    """How many of the files no earlier start has done."""
    done: int
    """How many images, each page of a file one, an earlier start has done."""
    failed: list[Line]
    """What was said of those of them that couldn't be read."""
    lines: Generator[list[Line], None, None]
    """The lines of each piece that is done now, in no order. Closing it ends the workers; until then what is
    printed to ``sys.stdout``, where Ray prints too, is dropped."""
    skipped: list[PurePath]
    """Files of folders that are no images."""


def predict_bulk(
    sources: Sequence[str],
    out: str,
    model: str,
    options: Options,
    *,
    workers: int | None = None,
    ray_address: str | None = None,
) -> Begun:
    """Check everything, and begin or go on; workers start when the ``lines`` are asked for.

    Args:
        sources: paths, folders, patterns, and addresses of the file systems that fsspec knows.
        out: the folder or address that results go to; new, or that of an earlier start of the same.
        model: as ``load`` takes it. The workers get its file from here.
        options: what is asked for.
        workers: how many; by default one a core, or one a GPU where they compute on GPUs.
        ray_address: ``HOST:PORT`` of a cluster's head, or auto for the one that this machine belongs to.
            None makes a cluster of this machine alone, which ends with the prediction.

    Raises:
        SegnetError: what the user can mend; nothing has been computed then.
    """
    for package in ("ray", "fsspec", "psutil"):
        require_package("--engine ray", package)
    if workers is not None and workers < 1:
        raise SegnetError(f"--workers is a number from 1, got {workers}")
    if options.device.startswith("cuda:"):
        raise SegnetError(f"Ray gives each worker a GPU of its own; give --device cuda, not {options.device}")
    pixels_of(options.max_megapixels)
    place = Address.at(out)
    path = find_model(model, exported=wants_exported(options.runtime, options.device))
    # where others compute, this machine needn't have their GPU
    segmenter = load(path, device=options.device if ray_address is None else "cpu", runtime=options.runtime)
    if options.threshold is not None:
        segmenter = segmenter.at_threshold(options.threshold)
    segmenter.require_sampling(options.samples, options.seed)
    options = replace(options, runtime=segmenter.runtime.name, threshold=segmenter.threshold)
    skipped: list[PurePath] = []
    file_systems, images = find_sources(sources, skipped)
    rows = [[each.file_system, each.path, each.shown, each.name] for each in images]
    pieces = [rows[start : start + FILES_TOGETHER] for start in range(0, len(rows), FILES_TOGETHER)]
    files = _model_files(path)
    listed = hashlib.sha256(json.dumps([row[2:] for row in rows]).encode()).hexdigest()
    digests = [hashlib.sha256(content).hexdigest() for content in files.values()]
    settings = {"model": digests, "images": len(rows), "list": listed, **asdict(options), "format": 1}
    done = begin(place, settings)
    images_done, failed = 0, []
    for number in sorted(done):
        said = read_part(place, number) or []
        images_done += len(said)
        failed += [line for line in said if "error" in line]
    left = sum(len(piece) for number, piece in enumerate(pieces) if number not in done)
    arguments = (options, place, file_systems, __version__, secrets.token_hex(4))

    def lines() -> Generator[list[Line], None, None]:
        todo = [
            {"piece": number, "sources": json.dumps(piece)}
            for number, piece in enumerate(pieces)
            if number not in done
        ]
        if todo:
            yield from _computed(todo, files, arguments, workers, ray_address)
        place.drop_temporaries()

    return Begun(len(rows), left, images_done, failed, lines(), skipped)


def _computed(
    todo: list[dict[str, Any]],
    files: dict[str, bytes],
    arguments: tuple[Any, ...],
    workers: int | None,
    ray_address: str | None,
) -> Generator[list[Line], None, None]:
    options: Options = arguments[0]
    with cluster(ray_address, workers or count_cores(), sum(map(len, files.values()))) as ray:
        wants_gpu = options.device == "cuda" or (options.device == "auto" and options.runtime == "torch")
        at_once, gpus = places_for_workers(ray, wants_gpu, required=options.device == "cuda")
        at_once = max(1, min(workers or at_once, at_once, len(todo)))
        rows = ray.data.from_items(todo, override_num_blocks=min(len(todo), _BLOCKS))
        done = rows.map_batches(
            Worker,
            fn_constructor_args=(ray.put(files), *arguments),
            batch_size=1,
            compute=ray.data.ActorPoolStrategy(min_size=1, max_size=at_once, initial_size=at_once),
            num_cpus=1,
            num_gpus=gpus,
        )
        try:
            for row in done.iter_rows():
                yield json.loads(row["lines"])
        except Exception as error:
            raise explained(error) from error


def _model_files(path: Path) -> dict[str, bytes]:
    """Return what a model consists of, by name, the file to open first."""
    beside = [path.with_suffix(".bin")] if path.suffix.lower() == ".xml" else []
    return {file.name: file.read_bytes() for file in (path, *beside)}
