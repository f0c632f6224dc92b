"""The way of an image to its pixels, and on to a mask: it is opened once, and few files are entered."""

import json
import subprocess
import sys
import threading
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

import segnet
from segnet.data.folder import load_folder
from segnet.data.store.fit_to_size import Fit
from segnet.data.store.open_split import read_checked
from segnet.inference.predict_files import pictures_of, predict_files

PACKAGE = Path(segnet.__file__).parent


def files_entered(work):
    """Do some work and return the package's files whose functions it calls, in threads too."""
    entered = set()

    def note(frame, event, _):
        if event == "call":
            entered.add(frame.f_code.co_filename)

    threading.setprofile(note)
    sys.setprofile(note)
    try:
        work()
    finally:
        sys.setprofile(None)
        threading.setprofile(None)
    return {str(Path(file).relative_to(PACKAGE)) for file in entered if Path(file).is_relative_to(PACKAGE)}


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """Photos with masks, and a dataset.yaml."""
    root = tmp_path_factory.mktemp("data")
    random = np.random.default_rng(0)
    for part, shape, values in (("images", (40, 50, 3), 256), ("masks", (40, 50), 3)):
        (root / part).mkdir()
        for number in range(6):
            file = root / part / f"{number}.{'jpg' if part == 'images' else 'png'}"
            Image.fromarray(random.integers(0, values, shape, np.uint8)).save(file)
    (root / "dataset.yaml").write_text("classes: [ground, leaf, stem]\n")
    return root


@pytest.fixture(scope="module")
def photo(folder):
    return folder / "images" / "0.jpg"


def test_an_image_and_its_mask_come_to_memory_by_seven_files(folder):
    dataset, fit = load_folder(folder), Fit((32, 32), "bilinear")

    def read():
        image, mask = read_checked(dataset.train[0], dataset.classes, fit.intensity)
        assert fit.image(image).shape == (32, 32, 3)
        assert fit.mask(mask, beyond=255).shape == (32, 32)

    assert len(files_entered(read)) <= 7


def test_a_photo_becomes_a_mask_by_eight_files(onnx_file, photo):
    segmenter = segnet.load(onnx_file)

    def predict():
        assert segmenter.predict(photo).mask.shape == (40, 50)

    def predict_as_the_command():
        [(page, found)] = predict_files(segmenter, pictures_of([photo]))
        assert (page.name, found.mask.shape) == ("0", (40, 50))

    for work in (predict, predict_as_the_command):
        work()  # what is imported late is imported now
        assert len(files_entered(work)) <= 8


COUNTED = """
import atexit, collections, json, sys
opened = collections.Counter()
sys.addaudithook(lambda event, found: event == "open" and opened.update([str(found[0])]))
atexit.register(lambda: print(json.dumps(opened)))
{work}
"""


@pytest.mark.parametrize(
    "work",
    [
        "import segnet; segnet.load({model!r}).predict({photo!r}).mask",
        "sys.argv[1:] = ['predict', {photo!r}, '--model', {model!r}, '--out', {out!r}]; "
        "from segnet.cli import main; main()",
        "import pathlib; from segnet.data.images.intensity import RGB; RGB.open(pathlib.Path({photo!r}))",
        # every image's header and digest
        "import pathlib; from segnet.data.folder import load_folder; load_folder(pathlib.Path({folder!r}))",
    ],
    ids=["Segmenter.predict", "segnet predict", "its pixels", "load_folder"],
)
def test_each_photo_is_opened_once(work, onnx_file, photo, folder, tmp_path):
    given = work.format(model=str(onnx_file), photo=str(photo), folder=str(folder), out=str(tmp_path / "out"))
    command = [sys.executable, "-c", COUNTED.format(work=given)]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    assert json.loads(done.stdout.splitlines()[-1])[str(photo)] == 1
