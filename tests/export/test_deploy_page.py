"""The lines on the deployment page that need no segnet, run as they stand: they give segnet's own mask."""

import re
import runpy
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from segnet import ClassTable, load
from segnet.data.images.intensity import Intensity
from segnet.inference.description import Description

from ..exported import small_network, write_onnx

PAGE = Path(__file__).parents[2] / "docs" / "how-to" / "deploy.md"


@pytest.fixture
def lines(tmp_path, monkeypatch):
    """The page's Python in a file, and a photo that lies on its side."""
    blocks = re.findall(r"```python\n(.*?)```", PAGE.read_text(encoding="utf-8"), re.DOTALL)
    (text,) = [block for block in blocks if "InferenceSession" in block]
    assert not re.search(r"^(import|from) (segnet|torch)", text, re.MULTILINE)
    (tmp_path / "lines.py").write_text(text)
    exif = Image.Exif()
    exif[0x0112] = 6
    rng = np.random.default_rng(0)
    coarse = Image.fromarray(rng.integers(0, 256, (25, 37, 3), np.uint8))
    coarse.resize((370, 251), Image.Resampling.BICUBIC).save(tmp_path / "photo.jpg", exif=exif)
    monkeypatch.chdir(tmp_path)
    return tmp_path / "lines.py"


def describe(**changes):
    classes = ClassTable.named(("pet", "background", "border"))
    return Description("own.Small", classes, (48, 40), changes.pop("resize", "area"), **changes).to_json()


@pytest.mark.parametrize("keep_aspect", [False, True])
@pytest.mark.parametrize("resize", ["nearest", "area", "bilinear"])
@pytest.mark.parametrize("mode", ["RGB", "L"])
def test_the_lines_give_the_pixels_and_the_palette_of_predict(lines, resize, keep_aspect, mode):
    write_onnx(lines.parent / "model.onnx", small_network(), describe(resize=resize, keep_aspect=keep_aspect))
    if mode == "L":
        Image.open("photo.jpg").convert("L").save("photo.jpg")
    runpy.run_path(str(lines))
    expected = load("model.onnx", runtime="onnxruntime").predict("photo.jpg").index_image()
    with Image.open("photo.mask.png") as found:
        assert (found.mode, found.size) == (expected.mode, expected.size)
        assert np.array_equal(np.asarray(found), np.asarray(expected))
        assert np.array_equal(np.asarray(found.convert("RGB")), np.asarray(expected.convert("RGB")))
    assert len(np.unique(np.asarray(expected))) == 3


@pytest.mark.parametrize(
    ("changes", "mode", "says"),
    [
        ({"patch_scale": 0.5}, "RGB", "takes patches"),
        ({"intensity": Intensity(1)}, "RGB", "takes other channels"),
        ({"intensity": Intensity(3, ((0.0, 900.0),) * 3)}, "RGB", "takes other channels"),
        ({}, "RGBA", "not RGBA; segnet.load reads more"),
        ({}, "I;16", "not I;16; segnet.load reads more"),
    ],
)
def test_what_the_lines_cannot_do_they_refuse_by_name(lines, changes, mode, says):
    write_onnx(lines.parent / "model.onnx", small_network(), describe(**changes))
    if mode != "RGB":
        Image.new(mode, (30, 20)).save("photo.jpg", format="PNG")
    with pytest.raises(SystemExit, match=says):
        runpy.run_path(str(lines))
    assert not Path("photo.mask.png").exists()
