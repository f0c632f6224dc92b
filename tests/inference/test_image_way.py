"""An image's way: which files of the package it enters between its path and its pixels; it is opened once."""

import os
import sys
import threading
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

import segnet
from segnet.data.folder import load_folder
from segnet.data.store.cache_folder import read_checked
from segnet.data.store.fit_to_size import Fit
from segnet.inference.find_pictures import find_images, pictures_of
from segnet.inference.predict_files import predict_files

PACKAGE = str(Path(segnet.__file__).parent)


def files_entered(work):
    """Do some work and return the files of the package whose functions it called, in threads too."""
    entered = set()

    def note(frame, event, argument):
        if event == "call" and frame.f_code.co_filename.startswith(PACKAGE):
            entered.add(frame.f_code.co_filename.removeprefix(PACKAGE + os.sep))

    threading.setprofile(note)
    sys.setprofile(note)
    try:
        work()
    finally:
        sys.setprofile(None)
        threading.setprofile(None)
    return sorted(entered)


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """Photos with masks."""
    root = tmp_path_factory.mktemp("data")
    random = np.random.default_rng(0)
    for part in ("images", "masks"):
        (root / part).mkdir()
    for number in range(6):
        Image.fromarray(random.integers(0, 255, (40, 50, 3), np.uint8)).save(root / f"images/{number}.jpg")
        Image.fromarray(random.integers(0, 3, (40, 50), np.uint8)).save(root / f"masks/{number}.png")
    return root


@pytest.fixture(scope="module")
def photo(folder):
    return folder / "images" / "0.jpg"


def test_an_image_reaches_memory_through_seven_files(folder):
    dataset, fit = load_folder(folder), Fit((32, 32), "bilinear")

    def read():
        image, mask = read_checked(dataset.train[0], dataset.classes, fit.intensity)
        return fit.image(image), fit.mask(mask, beyond=255)

    read()
    print(*files_entered(read), sep="\n")


@pytest.mark.parametrize("kind", ["onnx_file", "tiny_file"])
def test_a_photo_becomes_a_mask_through_eight_files(kind, photo, request):
    segmenter = segnet.load(request.getfixturevalue(kind))
    segmenter.predict(photo)
    print(*files_entered(lambda: segmenter.predict(photo).mask), sep="\n")

    def many():
        for page, found in predict_files(segmenter, pictures_of(find_images([str(photo)]))):
            found.mask

    many()
    print()
    print(*files_entered(many), sep="\n")
