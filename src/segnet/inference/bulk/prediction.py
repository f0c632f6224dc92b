"""Prediction on many machines, or many processes of one, by Ray Data: ``segnet predict --engine ray``.

The images are cut into pieces of a few files. Workers, each with the model opened once, fetch a piece,
segment it as ``predict_files`` does and publish its results; a piece that was lost with its worker is done
again by another, and whatever of it is there already stays. The manifest beside the results lets a second
start do the rest: ``manifest/settings.json`` says what was asked for, and for each piece that is done
``manifest/part-NUMBER.jsonl`` has its lines.
"""

from __future__ import annotations

import hashlib
import json
import re
import secrets
from collections.abc import Generator, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import PurePath
from typing import Any

from segnet import __version__
from segnet.base.errors import SegnetError, refuse
from segnet.base.extras import require_package
from segnet.base.threads import count_cores
from segnet.data.images.reading import pixels_of
from segnet.inference.bulk.cluster import cluster
from segnet.inference.bulk.places import MANIFEST, Address, find_sources
from segnet.inference.bulk.worker import Line, Options, Worker
from segnet.inference.opening import find_model, load, wants_exported
from segnet.inference.predict_files import FILES_TOGETHER

_BLOCKS = 1000  # so many tasks at most, however many pieces: each costs Ray memory, and moves the progress
_SETTINGS = f"{MANIFEST}/settings.json"
_PART = re.compile(r"part-(\d{8})\.jsonl")
_SAID = {"True": "on", "False": "off", "None": "left out"}


@dataclass(frozen=True)
class Begun:
    """A bulk prediction: what was done before, and what yields the rest as it is done."""

    files: int
    left: int
    """How many of the files no earlier start has done."""
    before: list[Line]
    """The lines of the images that an earlier start has done. Each page of a file is an image."""
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
    own = f"Ray gives each worker a GPU of its own; give --device cuda, not {options.device}"
    refuse(
        (workers is not None and workers < 1, f"--workers is a number from 1, got {workers}"),
        (options.device.startswith("cuda:"), own),
    )
    pixels_of(options.max_megapixels)
    place = Address.at(out)
    path = find_model(model, exported=wants_exported(options.runtime, options.device))
    # where others compute, this machine needn't have their GPU
    segmenter = load(path, device=options.device if ray_address is None else "cpu", runtime=options.runtime)
    if options.threshold is not None:
        segmenter = segmenter.at_threshold(options.threshold)
    segmenter.require_sampling(options.samples, options.seed)
    options = replace(options, runtime=segmenter.runtime.name, threshold=segmenter.threshold)
    beside = [path.with_suffix(".bin")] if path.suffix.lower() == ".xml" else []
    files = {file.name: file.read_bytes() for file in (path, *beside)}
    skipped: list[PurePath] = []
    images = find_sources(sources, skipped)
    listed = json.dumps([(image.shown, image.name) for image in images]).encode()
    digest, *of_model = [hashlib.sha256(content).hexdigest() for content in (listed, *files.values())]
    asked = {"model": of_model, "images": len(images), "list": digest, **asdict(options), "format": 1}
    done = begin(place, asked)
    pieces = enumerate(
        images[first : first + FILES_TOGETHER] for first in range(0, len(images), FILES_TOGETHER)
    )
    todo = {number: piece for number, piece in pieces if number not in done}
    worker = Worker(files, options, place, __version__, secrets.token_hex(4))

    def lines() -> Generator[list[Line], None, None]:
        rows = [{"piece": number, "sources": json.dumps(piece)} for number, piece in todo.items()]
        for number, said in _computed(rows, worker, workers, ray_address) if rows else ():
            place.publish(part_name(number), "".join(f"{json.dumps(line)}\n" for line in said).encode())
            yield said
        place.drop_temporaries()

    before = [line for said in done.values() for line in said]
    return Begun(len(images), sum(map(len, todo.values())), before, lines(), skipped)


def _computed(
    rows: list[dict[str, Any]], worker: Worker, workers: int | None, ray_address: str | None
) -> Generator[tuple[int, list[Line]], None, None]:
    """Yield number and lines of each piece that workers have done."""
    options = worker.options
    with cluster(ray_address, workers or count_cores()) as (ray, temporary):
        has = ray.cluster_resources()
        on_gpus = options.device == "cuda" or (options.device == "auto" and options.runtime == "torch")
        gpus = int(has.get("GPU", 0)) if on_gpus else 0
        if options.device == "cuda" and not gpus:
            raise SegnetError("--device cuda, but Ray sees no GPU in the cluster; take --device cpu")
        room = gpus or int(has.get("CPU", 1))
        size = max(1, min(workers or room, room, len(rows)))
        done = ray.data.from_items(rows, override_num_blocks=min(len(rows), _BLOCKS)).map_batches(
            Worker,
            fn_constructor_kwargs=vars(worker) | {"temporary": temporary},
            batch_size=1,
            compute=ray.data.ActorPoolStrategy(min_size=1, max_size=size, initial_size=size),
            num_cpus=1,
            num_gpus=min(gpus, 1),
        )
        try:
            for row in done.iter_rows():
                yield row["piece"], json.loads(row["lines"])
        except ray.exceptions.RayTaskError as error:  # what the worker raised; below it Ray puts advice
            what, said = type(error.cause), str(error.cause).partition("\n")[0]
            if issubclass(what, SegnetError):
                raise SegnetError(said) from error
            raise RuntimeError(f"{what.__name__}: {said}") from error
        except ray.exceptions.RayError as error:
            why = str(error).splitlines()[-1].strip()
            raise SegnetError(
                f"workers died and could not be replaced ({why}); what is done is kept, and a second start "
                "does the rest"
            ) from error


def begin(place: Address, settings: Mapping[str, Any]) -> dict[int, list[Line]]:
    """Return the lines of the pieces that are done, and write down what is asked for.

    Args:
        place: where the results are, or will be.
        settings: what decides them, as JSON takes it; ``images`` counts them, ``list`` and ``model`` are
            digests.

    Raises:
        SegnetError: there is something else, or the results of other settings, or it can't be written to.
    """
    before = place.read(_SETTINGS)
    has_results = any(name != MANIFEST for name in place.names())
    if before is None and has_results:
        raise SegnetError(f"{place.shown} holds files, and not of a bulk prediction; give --out a new folder")
    parts = {int(part[1]): part[0] for part in map(_PART.fullmatch, place.names(MANIFEST)) if part}
    text = (json.dumps(settings, indent=2) + "\n").encode()
    if before is not None and (parts or has_results):
        _require_same(place, before, settings)
    elif before != text:  # of an earlier start that came to nothing
        place.publish(_SETTINGS, text, anew=True)
    contents = {number: place.read(f"{MANIFEST}/{name}") or b"" for number, name in sorted(parts.items())}
    return {number: [*map(json.loads, content.splitlines())] for number, content in contents.items()}


def part_name(number: int) -> str:
    """Return where a piece's lines are."""
    return f"{MANIFEST}/part-{number:08}.jsonl"


def _require_same(place: Address, before: bytes, settings: Mapping[str, Any]) -> None:
    try:
        theirs = dict(json.loads(before))
    except ValueError as error:
        raise SegnetError(f"{place.show(_SETTINGS)} is damaged; give --out a new folder") from error
    for key in (*settings, *theirs):
        one, other = theirs.get(key), settings.get(key)
        if one != other:
            counted = f", {one} and not {other}" if key == "images" else ""
            what = {"model": "another model", "images": "other images", "list": "other images"}.get(key)
            said = what or f"{key} {_SAID.get(str(one), one)} and not {_SAID.get(str(other), other)}"
            raise SegnetError(
                f"{place.shown} was begun with {said}{counted}; go on so, or give another --out"
            )
