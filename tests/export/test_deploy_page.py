"""The lines on the deployment page that need no segnet, run as they stand: they give segnet's own mask."""

import re
import runpy
import shutil
import subprocess
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from segnet import ClassTable, load
from segnet.data.images.intensity import Intensity
from segnet.data.synthetic import SyntheticSample
from segnet.export.exporter import export
from segnet.export.web.under_node import ENGINE
from segnet.inference.description import Description

from ..exported import small_network, write_onnx

# What a browser has and Node hasn't: files by their names, and a canvas that holds the photo.
BROWSER = """
import { readFileSync, writeFileSync } from "node:fs";
globalThis.fetch = async (name) => {
  const bytes = Uint8Array.from(readFileSync(name));
  return { arrayBuffer: async () => bytes.buffer, blob: async () => bytes };
};
const [width0, height0] = readFileSync("size.txt", "utf8").split(" ").map(Number);
globalThis.createImageBitmap = async (bytes) => ({ width: width0, height: height0, bytes });
globalThis.OffscreenCanvas = class {
  getContext() { return this; }
  drawImage(photo) { this.photo = photo; }
  getImageData() { return { ...this.photo, data: new Uint8ClampedArray(this.photo.bytes) }; }
};
"""
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


@pytest.mark.skipif(shutil.which("node") is None, reason="needs Node on the PATH")
@pytest.mark.skipif(not ENGINE.is_file(), reason="needs the engine, built from web/engine")
def test_the_lines_for_a_browser_give_the_mask_of_predict(tmp_path, photos):
    done = export("pets-nano", to="web", images=str(photos), out=tmp_path / "model.segnet")
    assert done.failure == ""
    photo = SyntheticSample(0, 1).read()[0].resize((201, 150))
    (tmp_path / "photo.jpg").write_bytes(photo.convert("RGBA").tobytes())  # as a canvas has it
    (tmp_path / "size.txt").write_text("201 150")
    (lines,) = re.findall(r"```js\n(.*?)```", PAGE.read_text(encoding="utf-8"), re.DOTALL)
    (tmp_path / "page.mjs").write_text(f'{BROWSER}{lines}writeFileSync("mask", mask);\n')
    subprocess.run(["node", "page.mjs"], cwd=tmp_path, check=True)
    found = np.frombuffer((tmp_path / "mask").read_bytes(), np.uint8).reshape(150, 201)
    expected = load("pets-nano").predict(photo).mask
    assert np.mean(found == expected) >= 0.999
    assert len(np.unique(expected)) > 1
