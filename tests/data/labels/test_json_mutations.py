"""Changed JSON labels: never a traceback, and every shape and image is drawn or left out by name.

Fields are removed, mistyped, nested, doubled or become huge; an independent count over the raw file must
equal what was read. ``SEGNET_MUTATIONS=500 SEGNET_SEED=7`` runs more cases of another seed.
"""

import copy
import json

import pytest

from segnet.base.errors import SegnetError
from segnet.data.labels.convert import convert
from segnet.data.labels.recognise import read_labels

from . import json_labels
from .label_files import photo
from .test_label_mutations import CASES, outcome, seeded

ODD = (
    None, True, 0, -1, 7, 3.5, -0.0, 1e308, 10**30, float("nan"), float("inf"), "", "x", "12", "-3.5", "ä", "1e5",  # noqa: E501
    "../../etc/hosts", "/etc/hosts", "C:\\a.jpg", "\ud800", "\x00", "a" * 400, [], {}, [[]], [[1, 2]], [{}],
    {"a": 1}, [None], [1, 2, 3], ["leaf"],
)  # fmt: skip


def places(content, above=()):
    """The path of everything within JSON content but the whole."""
    pairs = content.items() if isinstance(content, dict) else enumerate(content)
    for key, value in pairs:
        yield (*above, key)
        if isinstance(value, dict | list):
            yield from places(value, (*above, key))


def changed(content, choose):
    """One to three changes, of which fields near the top are as likely as the many numbers below."""
    content = copy.deepcopy(content)
    for _ in range(choose.choice((1, 1, 2, 3))):
        found = [*places(content)]
        if not found:
            break
        depth = choose.choice(sorted({len(path) for path in found}))
        path = choose.choice([path for path in found if len(path) == depth])
        parent = content
        for key in path[:-1]:
            parent = parent[key]
        key, kind = path[-1], choose.randrange(7)
        value = parent[key]
        if kind == 0:
            del parent[key]
        elif kind == 1:
            parent[key] = copy.deepcopy(choose.choice(ODD))
        elif kind == 2:
            parent[key] = str(value) if isinstance(value, int | float) else [value]
        elif kind == 3:
            parent[key] = {"value": value} if choose.random() < 0.5 else [value, copy.deepcopy(value)]
        elif kind == 4 and isinstance(parent, list):
            parent.append(copy.deepcopy(value))
        elif kind == 5 and isinstance(value, int | float):
            parent[key] = value * choose.choice((-1, 0, 1000, 10**12, 0.5))
        else:
            other = content
            for step in choose.choice(found):
                other = other[step] if not isinstance(other, list) or step < len(other) else other
            parent[key] = copy.deepcopy(other)
    return content


def listed(content, key):
    found = content.get(key) if isinstance(content, dict) else None
    return found if isinstance(found, list) else []


def of_coco(content):
    annotations = listed(content, "annotations")
    captions = [
        each
        for each in annotations
        if isinstance(each, dict) and "caption" in each and not each.get("segmentation")
    ]
    return len(listed(content, "images")), len(annotations) - len(captions)


def of_labelme(content):
    return 1, len(listed(content, "shapes"))


def of_geojson(content):
    features = content if isinstance(content, list) else listed(content, "features")
    if isinstance(content, dict) and "features" not in content and "geometry" in content:
        features = [content]
    nowhere = [each for each in features if isinstance(each, dict) and each.get("geometry", 0) is None]
    return 1, len(features) - len(nowhere)


AREAS = ("polygon", "rectangle", "ellipse", "brush", "bitmask", "vector")
NO_AREAS = ("choices", "relation", "textarea", "keypointlabels", "labels", "rating", "keypoint")
PLACED = ("x", "points", "rle", "imageDataURL", "vertices", "sequence")


def is_region(result):
    kind = result.get("type") if isinstance(result, dict) else None
    if not isinstance(kind, str) or not 0 < len(kind) <= 40:
        return True
    if kind in NO_AREAS:
        return False
    value = result.get("value")
    is_placed = isinstance(value, dict) and any(key in value for key in PLACED)
    return kind.removesuffix("labels") in AREAS or is_placed or kind == "unknown"


def of_label_studio(content):
    tasks = content if isinstance(content, list) else [content]
    shapes = sum(
        is_region(result)
        for task in tasks
        for annotation in listed(task, "annotations")
        for result in listed(annotation, "result")
    )
    return len(tasks), shapes


FORMATS = {
    "coco.json": (json_labels.COCO, of_coco),
    "a.json": (json_labels.LABELME, of_labelme),
    "a.geojson": (json_labels.GEOJSON, of_geojson),
    "export.json": (json_labels.LABEL_STUDIO, of_label_studio),
}


@pytest.mark.parametrize("number", range(CASES))
@pytest.mark.parametrize("name", FORMATS)
def test_changed_json_is_accounted_for(name, number, tmp_path):
    good, count = FORMATS[name]
    content = changed(good, seeded(name, number))
    root = tmp_path / "labels"
    for letter in "abcd":
        photo(root / f"{letter}.png")
    (root / name).write_text(json.dumps(content))
    try:
        labels = read_labels(root / name)
    except SegnetError:
        labels = None
    else:
        shapes = sum(len(image.shapes) for image in labels.images) + labels.tally.left_out.total()
        assert (len(labels.images), shapes) == count(content)
    tally = outcome(root / name, tmp_path / "new")
    if tally is not None:
        assert (tally.images_read, tally.read.total()) == count(content)
    said = ""
    try:
        convert(root / name, tmp_path / "whole")
    except SegnetError as error:
        said = str(error)
    assert said or tally is not None
    assert "\n" not in said
