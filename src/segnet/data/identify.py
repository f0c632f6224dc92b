"""How a dataset's images are known again: read once, each as a record of its content."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping
from typing import Any

from segnet.base.errors import SegnetError
from segnet.base.threads import in_threads
from segnet.data.dataset import Dataset, Sample
from segnet.data.images.file_records import many_objects, one_look
from segnet.runs.identity import ID_BYTES, ImageRecord, Manifest


@one_look()
@many_objects()
def records_of(samples: Iterable[Sample]) -> tuple[ImageRecord, ...]:
    """Return how each image is known again; reads every file once, in a few threads.

    Raises:
        SegnetError: a file that can't be read, or a sample that doesn't say which image it is.
    """

    def record(sample: Sample) -> ImageRecord:
        ids = sample.image_ids() if hasattr(sample, "image_ids") else ()
        if not ids or any(len(each) != ID_BYTES for each in ids):
            raise SegnetError(
                f"the sample {sample.name} doesn't say which image it is: give it an image_ids() that "
                "returns (segnet.runs.identity.image_id(the image's bytes),)"
            )
        fingerprint = hashlib.sha256(sample.fingerprint()).digest()[:12]
        return ImageRecord(sample.name, ids, fingerprint)

    return tuple(in_threads(record, [*samples]))


def manifest_of(dataset: Dataset, options: Mapping[str, Any]) -> Manifest:
    """Return a dataset image by image; ``options`` are the ones it was opened with, paths absolute.

    Raises:
        SegnetError: a file that can't be read.
    """
    splits = {name: records_of(samples) for name, samples in dataset.splits.items()}
    return Manifest(dataset.name, options, dataset.classes.names, splits)
