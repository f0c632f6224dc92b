"""Truth masks play the person who labels: what a tool would export for images that were given out."""

import json

import numpy as np
from PIL import Image

from segnet.base.classes import ClassTable
from segnet.data.synthetic import load_synthetic
from segnet.inference.annotations import AnnotationWriter
from segnet.inference.predict_files import Page
from segnet.inference.segmentation import Segmentation

CLASSES = ("background", "pet")


def draw_photos(folder, count, seed=5):
    """Write drawn pets to ``photos`` and their masks, 1 where the pet or its border is, to ``truth``."""
    for kind in ("photos", "truth"):
        (folder / kind).mkdir(parents=True, exist_ok=True)
    for sample in load_synthetic(seed=seed, train=count, val=1).train:
        image, mask = sample.read()
        image.save(folder / "photos" / f"{sample.name}.png")
        Image.fromarray((mask != 1).astype(np.uint8)).save(folder / "truth" / f"{sample.name}.png")


def truth_of(here, name):
    return np.asarray(Image.open(here / "truth" / f"{name}.png"))


def correct(here, given, tool, names=None, classes=CLASSES):
    """Write what a tool has of the images in a folder after somebody drew the truth; return what to take.

    Args:
        here: holds ``photos`` and ``truth``.
        given: the folder that was given out.
        tool: labelme, coco or label-studio.
        names: of the images that were labelled; all by default.
        classes: the names of the truth's values.
    """
    writer = AnnotationWriter(tool, given, ClassTable.named(classes), tolerance_px=0)
    for file in sorted(given.glob("*.png")):
        if names is not None and file.stem not in names:
            continue
        truth = truth_of(here, file.stem)
        logits = (truth[None] == np.arange(len(classes))[:, None, None]).astype(np.float32)
        result = Segmentation(Image.open(file), ClassTable.named(classes), logits)
        place = file if tool == "labelme" else given.relative_to(given.parent) / file.name
        place = file.relative_to(given) if tool == "coco" else place
        writer.keep(writer.describe(result, Page(place, file.stem)))
    writer.finish()
    if tool == "labelme":
        return given
    if tool == "coco":
        return given / "annotations.json"
    tasks = json.loads((given / "tasks.json").read_text())
    export = given.parent / "export.json"  # elsewhere than the images, as a browser saves it
    for number, task in enumerate(tasks, 1):
        annotation = {"result": task.pop("predictions")[0]["result"], "was_cancelled": False}
        task |= {"id": number, "annotations": [annotation]}
    export.write_text(json.dumps(tasks))
    return export
