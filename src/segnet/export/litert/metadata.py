"""What a ``.tflite`` file says of itself: our description, and what MediaPipe's ImageSegmenter asks for.

MediaPipe's two tables are written here field by field, since its own writer fails in its wheel (mediapipe
1.2.3 lacks ``mediapipe.tasks.cc``). The numbers are those of ``metadata_schema.fbs`` and
``image_segmenter_metadata_schema.fbs`` there.
"""

from __future__ import annotations

import io
import zipfile
from collections.abc import Mapping, Sequence
from typing import Any

import flatbuffers
import numpy as np

from segnet.export.litert.flat_graph import aligned_vector
from segnet.inference.description import KEY, Description
from segnet.inference.runtimes import INPUT, OUTPUT

LABELS = "labels.txt"
_NO_DATE = (1980, 1, 1, 0, 0, 0)  # the earliest that an archive can say: equal models give equal bytes

Table = Mapping[int, Any]
"""Values by the number of their field: a str, an int (of one byte), a Table, bytes, or a list of them or of
floats. A union takes two fields, its kind and its value."""


def tables(description: Description) -> dict[str, bytes]:
    """Return the metadata of a model by name."""
    normalised = {0: 1, 1: {0: [0.0], 1: [1.0]}}  # NormalizationOptions: the scaling is in the graph
    colours = {0: 1 if description.intensity.channels == 3 else 2}  # ImageProperties: RGB or grey
    image = {0: INPUT, 3: {0: 2, 1: colours}, 4: [normalised]}
    logits = {0: OUTPUT, 6: [{0: LABELS, 2: 2}]}  # a label for each place along an axis
    softmax = _packed({0: 2, 1: "1.0.0"}, b"V001")
    graph = {2: [image], 3: [logits], 9: [{0: "SEGMENTER_METADATA", 1: softmax}]}
    notice = {5: description.notice} if description.notice else {}
    whole = {0: description.model, 3: [graph], **notice, 7: "1.5.0"}
    return {"TFLITE_METADATA": _packed(whole, b"M001")}


def files(description: Description) -> bytes:
    """Return the ZIP archive that stands at the end of the file: labels, and the description as JSON."""
    archive = io.BytesIO()
    with zipfile.ZipFile(archive, "w") as opened:
        for name, text in (
            (LABELS, "\n".join(description.classes.names)),
            (f"{KEY}.json", description.to_json()),
        ):
            opened.writestr(zipfile.ZipInfo(name, _NO_DATE), text)
    return archive.getvalue()


def _packed(table: Table, identifier: bytes) -> bytes:
    builder = flatbuffers.Builder(1024)
    builder.Finish(_put(builder, table), file_identifier=identifier)
    return bytes(builder.Output())


def _put(builder: Any, value: Any) -> Any:
    """Write what a field points to, and return where it is."""
    if isinstance(value, str):
        return builder.CreateString(value)
    if isinstance(value, bytes):
        return aligned_vector(builder, value)
    if isinstance(value, list):
        return _put_list(builder, value)
    places = {field: _put(builder, each) for field, each in value.items() if not isinstance(each, int)}
    builder.StartObject(max(value) + 1)
    for field, each in value.items():
        if isinstance(each, int):
            builder.PrependInt8Slot(field, each, 0)
        else:
            builder.PrependUOffsetTRelativeSlot(field, places[field], 0)
    return builder.EndObject()


def _put_list(builder: Any, values: Sequence[Any]) -> Any:
    if isinstance(values[0], float):
        return builder.CreateNumpyVector(np.array(values, np.float32))
    places = [_put(builder, each) for each in values]
    builder.StartVector(4, len(places), 4)
    for place in reversed(places):  # a vector is written from its end
        builder.PrependUOffsetTRelative(place)
    return builder.EndVector()
