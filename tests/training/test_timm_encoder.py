"""Encoders of timm, where it can be imported; its hub is a server of our own."""

import json
import threading
from functools import partial
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest
import torch
from huggingface_hub import constants
from rich.console import Console
from safetensors.torch import save_file

import segnet
from segnet import SegnetError, create_model
from segnet.inference.opening import load
from segnet.models.encoders.timm_encoder import HubWeights
from segnet.training.setup import build

timm = pytest.importorskip("timm", reason="timm isn't installed")
SMALL = "mobilenetv4_conv_small_035"
COMMIT = "0123456789abcdef0123456789abcdef01234567"
REPOSITORY = f"timm/{SMALL}.untrained"


@pytest.fixture(scope="module")
def whole():
    torch.manual_seed(1)
    return timm.create_model(SMALL)


@pytest.fixture(scope="module")
def weights(whole, tmp_path_factory):
    path = tmp_path_factory.mktemp("weights") / "model.safetensors"
    save_file(whole.state_dict(), path)
    return path


class Hub(BaseHTTPRequestHandler):
    """As much of the Hugging Face hub as gives out one file."""

    def __init__(self, path, *args):
        self.file = path
        super().__init__(*args)

    def do_HEAD(self):
        self.answer(body=False)

    def do_GET(self):
        self.answer(body=True)

    def answer(self, *, body):
        content = self.file.read_bytes()
        if self.path not in {
            f"/{REPOSITORY}/resolve/{each}/model.safetensors" for each in ("main", "v2", COMMIT)
        }:
            self.send_response(404)
            self.send_header("X-Error-Code", "EntryNotFound")
            self.send_header("Content-Length", "0")
            self.end_headers()
            return
        self.send_response(200)
        self.send_header("Content-Length", str(len(content)))
        self.send_header("ETag", '"abc"')
        self.send_header("X-Repo-Commit", COMMIT)
        self.end_headers()
        if body:
            self.wfile.write(content)

    def log_message(self, *_):
        pass


@pytest.fixture
def hub(weights, tmp_path, monkeypatch):
    with ThreadingHTTPServer(("127.0.0.1", 0), partial(Hub, weights)) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        address = f"http://127.0.0.1:{server.server_port}"
        monkeypatch.setattr(constants, "ENDPOINT", address)
        template = f"{address}/{{repo_id}}/resolve/{{revision}}/{{filename}}"
        monkeypatch.setattr(constants, "HUGGINGFACE_CO_URL_TEMPLATE", template)
        monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path / "hub"))
        monkeypatch.setattr(constants, "HF_HUB_OFFLINE", False)
        yield
        server.shutdown()


@pytest.fixture
def published(monkeypatch, whole):
    """Let timm have weights for the small network."""
    known = whole.pretrained_cfg | {"hf_hub_id": REPOSITORY, "license": "apache-2.0"}
    monkeypatch.setattr(
        "segnet.models.encoders.timm_encoder.weights_of", lambda config, revision: HubWeights(known, revision)
    )


@pytest.mark.parametrize(
    ("name", "channels", "reductions"),
    [
        ("mobilenetv4_conv_small", (32, 32, 64, 96, 960), (2, 4, 8, 16, 32)),
        ("edgenext_small", (48, 96, 160, 304), (4, 8, 16, 32)),
    ],
)
def test_the_named_examples_are_encoders_of_images_of_any_size(name, channels, reductions):
    model = create_model("segnet-efficient", 5, encoder=f"timm:{name}").eval()
    assert (model.encoder.channels, model.encoder.reductions) == (channels, reductions)
    for size in ((32, 32), (97, 130)):
        with torch.no_grad():
            assert model(torch.rand(1, 3, *size)).shape == (1, 5, *size)


def test_with_a_file_of_weights_it_gives_timms_own_maps(weights, whole):
    model = create_model("segnet-efficient", encoder=f"timm:{SMALL}").eval()
    model.load_encoder(weights)
    other = timm.create_model(SMALL, features_only=True).eval()
    image = torch.rand(2, 3, 64, 96)
    mean, std = (torch.tensor(whole.pretrained_cfg[each]).view(1, 3, 1, 1) for each in ("mean", "std"))
    with torch.no_grad():
        found = model.encoder.maps(image)
        assert not torch.equal(found[-1], other((image - mean) / std)[-1])
        deepest = whole.eval().forward_intermediates((image - mean) / std, intermediates_only=True)
    for ours, theirs in zip(found, deepest, strict=True):
        torch.testing.assert_close(ours, theirs)


def test_grey_images_give_the_maps_of_grey_photos(weights):
    grey, colour = (
        create_model("segnet-efficient", 3, count, encoder=f"timm:{SMALL}").eval() for count in (1, 3)
    )
    for model in (grey, colour):
        model.load_encoder(weights)
        model.encoder.mean.fill_(0.5), model.encoder.std.fill_(0.5)
    image = torch.rand(1, 1, 64, 64)
    with torch.no_grad():
        torch.testing.assert_close(
            grey.encoder.maps(image)[0], colour.encoder.maps(image.expand(-1, 3, -1, -1))[0]
        )


def test_a_run_starts_from_the_hubs_weights_and_says_where_they_are_from(hub, published, whole, tiny_config):
    options = {"encoder": f"timm:{SMALL}@v2", "width": 0.25}
    run = segnet.train(tiny_config(model="segnet-efficient", model_options=options, epochs=1, lr=0.0))
    stem = next(iter(whole.state_dict().values()))
    segmenter = load(run.folder, device="cpu")
    assert torch.equal(next(segmenter.runtime.model.encoder.network.parameters()), stem)
    notice = f"encoder from huggingface.co/{REPOSITORY}, commit {COMMIT}, apache-2.0"
    assert notice in segmenter.description.notice
    assert notice in json.loads((run.folder / "environment.json").read_text())["notice"]


def test_weights_that_cant_be_fetched_are_told_with_the_way_out(hub, published, tiny_config):
    options = {"encoder": f"timm:{SMALL}@v3"}
    config = tiny_config(model="segnet-efficient", model_options=options)
    with pytest.raises(
        SegnetError, match=r"can't fetch .*; give a file that you have, --encoder-weights FILE, or"
    ) as told:
        build(config, Console(quiet=True))
    assert "\n" not in str(told.value)


@pytest.mark.parametrize(
    ("name", "says"),
    [
        (
            "mobilenetv4_conv_smal",
            "timm has no network 'mobilenetv4_conv_smal'; did you mean 'mobilenetv4_conv_small'",
        ),
        (
            "edgenext_small.usi",
            "timm has no weights 'edgenext_small.usi'; did you mean 'edgenext_small.usi_in1k'",
        ),
        (
            "vit_small_patch16_224",
            "vit_small_patch16_224 can't be an encoder: its maps have 1/16, 1/16, 1/16 of the",
        ),
        (
            "swin_tiny_patch4_window7_224",
            r"can't be an encoder: Input height \(96\) doesn't match model \(224\); take",
        ),
    ],
)
def test_what_can_be_no_encoder_is_refused_in_one_line(name, says):
    with pytest.raises(SegnetError, match=says) as told:
        create_model("segnet-efficient", encoder=f"timm:{name}")
    assert "\n" not in str(told.value)


@pytest.mark.parametrize(
    ("change", "says"),
    [
        (lambda given: dict(list(given.items())[:9]), "it has no "),
        (
            lambda given: given | {"conv_stem.weight": torch.zeros(3, 3, 3, 3)},
            r"conv_stem.weight is \(3, 3, 3, 3\)",
        ),
        (lambda given: given | {"bn1.bias": given["bn1.bias"] * torch.nan}, "bn1.bias holds NaN"),
    ],
)
def test_weights_of_another_network_are_refused_and_nothing_changes(tmp_path, whole, change, says):
    torch.save(change(whole.state_dict()), tmp_path / "weights.pth")
    model = create_model("segnet-efficient", encoder=f"timm:{SMALL}")
    before = {key: value.clone() for key, value in model.state_dict().items()}
    with pytest.raises(SegnetError, match=says):
        model.load_encoder(tmp_path / "weights.pth")
    assert all(torch.equal(before[key], value) for key, value in model.state_dict().items())
