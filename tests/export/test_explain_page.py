"""``segnet show network``: the page that is written, what is in it, and what is refused."""

import base64
import io
import json
import re
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from segnet import ClassTable, create_model, load
from segnet.data.images.intensity import Intensity
from segnet.data.synthetic import SyntheticSample
from segnet.export.web.explain_page import EXPLAINER, PETS, explain_page
from segnet.export.web.learning_data import demo_learning
from segnet.export.web.web_file import from_bytes
from segnet.export.web.web_page import model_in
from segnet.inference.description import Description
from segnet.inference.model_file import write_model_file
from segnet.inference.runtimes.with_torch import TorchRuntime
from segnet.inference.segmenter import Segmenter

pytestmark = pytest.mark.skipif(not EXPLAINER.is_file(), reason="needs the page, built from web/")


def contents_of(page):
    return json.loads(re.search('<script type="application/json" id="contents">(.*?)</script>', page)[1])


def examples_in(page):
    return contents_of(page)["examples"]


def image(text):
    return Image.open(io.BytesIO(base64.b64decode(text)))


def segmenter(classes, model="segnet-nano", **described):
    channels = described.pop("channels", 3)
    network = create_model(model, len(classes.names), in_channels=channels)
    return Segmenter(TorchRuntime(network), Description(model, classes, (64, 96), "area", **described))


def test_the_command_writes_a_page_with_the_network_and_drawn_pets(segnet, here):
    done = segnet("show", "network", "pets-nano", "--out", "nano.html")
    assert (done.code, done.err) == (0, "")
    assert re.fullmatch(r"written to nano\.html \(\d+ kB\); open it in a browser\n", done.out)
    page = (here / "nano.html").read_text(encoding="utf-8")
    assert len(page.encode()) <= 1_000_000
    header, network = from_bytes(model_in(page, here / "nano.html"), here / "nano.html")
    assert header["model"] == "segnet-nano"
    assert len(network.layers) == 42
    examples = examples_in(page)
    assert [each["name"] for each in examples] == [f"Drawn pet {number}" for number in range(1, 13)]
    pet, mask = PETS[0].read()
    fit = load("pets-nano").description.fit
    assert np.array_equal(np.asarray(image(examples[0]["image"])), fit.image(pet))
    expected = Image.fromarray(mask).resize((128, 128), Image.Resampling.NEAREST)
    assert np.array_equal(np.asarray(image(examples[0]["mask"]).convert("L")), np.asarray(expected))
    assert contents_of(page)["learning"] == demo_learning()
    assert contents_of(page)["tutorial"] is None


def test_a_norm_as_it_is_written_is_what_pytorch_computes():
    nano = load("pets-nano", runtime="torch")
    conv, norm, _ = nano.model.encoder[0].units[0]
    text = contents_of(explain_page(nano))["norms"][0]
    scale, shift = torch.tensor(np.frombuffer(base64.b64decode(text), "<f4")).view(2, 1, -1, 1, 1)
    x = torch.randn(1, 16, 4, 4)
    torch.testing.assert_close(x * scale + shift, norm(x).detach())
    assert conv.bias is None


def test_the_same_network_gives_the_same_page():
    nano = load("pets-nano", runtime="torch")
    assert explain_page(nano) == explain_page(nano)


def test_pets_have_the_networks_size_and_no_mask_where_its_classes_are_others():
    page = explain_page(segmenter(ClassTable.named(("road", "sky"))), pets=[SyntheticSample(0, 1)])
    (example,) = examples_in(page)
    assert image(example["image"]).size == (96, 64)
    assert example["mask"] is None


def test_a_grey_network_gets_pets_in_colour():
    grey = Intensity(channels=1)
    page = explain_page(
        segmenter(ClassTable.named(("a", "b")), channels=1, intensity=grey, options={"in_channels": 1}),
        pets=[SyntheticSample(0, 1)],
    )
    assert image(examples_in(page)[0]["image"]).mode == "RGB"


def test_what_cannot_be_shown_is_refused_in_one_line(segnet, here):
    unet = create_model("unet", 2, width=4)
    described = Description("unet", ClassTable.named(("a", "b")), (64, 64), "area", options={"width": 4})
    write_model_file(here / "unet.safetensors", unet.state_dict(), described)
    refused = segnet("show", "network", "unet.safetensors")
    assert refused.code == 2
    assert "unet doesn't run in segnet's engine for browsers" in refused.err
    assert not (here / "network.html").exists()
    misnamed = segnet("show", "network", "--out", "page.txt")
    assert misnamed.code == 2
    assert "name one that ends in .html" in misnamed.err
    unknown = segnet("show", "network", "nothere")
    assert unknown.code == 2
    assert "'nothere'" in unknown.err


def test_links_lead_to_sections_that_the_tutorial_has():
    root = Path(__file__).parents[2]
    script = (root / "web/explain/tutorial.ts").read_text(encoding="utf-8")
    links = re.findall(r'"(part-\d)\.html#([a-z-]+)"', script)
    assert links
    for part, anchor in links:
        text = (root / f"docs/tutorial/{part}.md").read_text(encoding="utf-8")
        headings = re.findall(r"^#+ (.+)$", text, re.MULTILINE)
        assert anchor in {re.sub(r"\s+", "-", re.sub(r"[^\w\s-]", "", each).lower()) for each in headings}
