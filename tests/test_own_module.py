"""A model written outside segnet, of stock layers alone, through the whole life of a run."""

import copy
import json
import sys

import numpy as np
import pytest
import torch
import yaml
from PIL import Image
from safetensors.torch import load_file
from torch import nn
from torch.nn import functional as F

import segnet
from segnet import MODELS, DataOptions, SegnetError, TrainConfig
from segnet.cli import main

from .plain import whole

pytestmark = pytest.mark.usefixtures("plain_runs")


class TinyNet(nn.Module):
    """One convolution down, one up, dropout between them, and two tensors that are one."""

    def __init__(self, classes=2, channels=8):
        super().__init__()
        self.down = nn.Conv2d(3, channels, 3, stride=2, padding=1)
        self.norm = nn.BatchNorm2d(channels)
        self.dropout = nn.Dropout2d(0.2)
        self.up = nn.ConvTranspose2d(channels, channels, 2, stride=2)
        self.head = nn.Conv2d(channels, classes, 1)
        self.tied = self.head.weight

    def forward(self, image):
        x = self.dropout(self.norm(self.down(image)).relu())
        return self.head(F.relu(self.up(x)))


NAME = f"{__name__}.TinyNet"


def tiny_net(**options):
    torch.manual_seed(0)
    return TinyNet(**options)


def draw(folder, count, seed):
    """Bright squares on dark noise, and where they are."""
    for kind in ("images", "masks"):
        (folder / kind).mkdir(parents=True)
    for index in range(count):
        random = np.random.RandomState(seed + index)
        mask = np.zeros((32, 32), np.uint8)
        top, left = random.randint(0, 16, 2)
        mask[top : top + 16, left : left + 16] = 1
        image = random.randint(0, 80, (32, 32, 3)) + mask[..., None] * 120
        Image.fromarray(image.astype(np.uint8)).save(folder / "images" / f"{index}.png")
        Image.fromarray(mask).save(folder / "masks" / f"{index}.png")


@pytest.fixture(scope="session")
def squares(tmp_path_factory):
    root = tmp_path_factory.mktemp("squares")
    for split, count, seed in (("train", 12, 0), ("val", 4, 100), ("test", 4, 200)):
        draw(root / split, count, seed)
    (root / "dataset.yaml").write_text("classes: [background, object]\n")
    return root


@pytest.fixture
def config(squares, tmp_path):
    def build(**changes):
        settings = {
            "data": str(squares),
            "size": (32, 32),
            "batch_size": 4,
            "epochs": 3,
            "lr": 0.02,
            "device": "cpu",
            "out": tmp_path / "run",
        }
        return TrainConfig(**(settings | changes))

    return build


@pytest.fixture(scope="module")
def run(squares, tmp_path_factory):
    """A finished run and the module as training left it."""
    out = tmp_path_factory.mktemp("finished") / "run"
    settings = TrainConfig(
        data=str(squares), size=(32, 32), batch_size=4, epochs=8, lr=0.02, device="cpu", out=out
    )
    model = tiny_net()
    with whole():
        return segnet.train(settings, model=model), model


def noise():
    return np.random.RandomState(0).randint(0, 256, (45, 50, 3), dtype=np.uint8)


# A run


def test_it_learns_and_leaves_the_folder_that_every_run_leaves(run):
    finished = run[0]
    assert finished.finished
    assert finished.val.pixel_accuracy > finished.val.majority[1] + 0.1
    assert finished.test.pixel_accuracy > finished.test.majority[1]
    names = {path.name for path in finished.folder.iterdir()}
    assert {"model.safetensors", "config.yaml", "learning.gif", "report.html", "scores.json"} <= names


def test_config_environment_and_report_name_the_class_and_not_a_model_of_ours(run):
    folder = run[0].folder
    assert yaml.safe_load((folder / "config.yaml").read_text())["model"] == NAME
    facts = json.loads((folder / "environment.json").read_text())["model"]
    parameters = sum(parameter.numel() for parameter in tiny_net().parameters())
    assert facts == {"name": NAME, "parameters": parameters, "macs": facts["macs"]}
    # 27 · 8 at a quarter of the pixels, 8 · 8 and 8 · 2 at all of them
    assert facts["macs"] == 32 * 32 * (27 * 8 // 4 + 8 * 8 + 8 * 2)
    assert NAME in (folder / "report.html").read_text()


def test_it_is_evaluated_and_predicts_once_it_is_given_again(run):
    model = tiny_net()
    segmenter = segnet.load(run[0].folder, model=model, device="cpu")
    assert segmenter.model is model
    assert not model.training
    scores = segnet.evaluate(segmenter, segnet.load_dataset(DataOptions(data=run[0].config.data)))
    assert scores == run[0].test
    result = segmenter.predict(noise())
    assert result.mask.shape == (45, 50)
    assert segmenter.predict(noise(), samples=3).uncertainty.any()


class Masked(TinyNet):
    """With a mask of minus infinity, as attentions have, and a weight of five dimensions."""

    def __init__(self):
        super().__init__()
        self.register_buffer("mask", torch.full((4, 4), -torch.inf).triu(1))
        self.depth = nn.Conv3d(1, 1, 1)

    def forward(self, image):
        attention = self.mask.softmax(1).diagonal().sum()
        return self.depth(super().forward(image).unsqueeze(1)).squeeze(1) * attention


def test_a_constant_of_infinity_and_weights_of_five_dimensions_are_no_obstacle(config):
    finished = segnet.train(config(epochs=1), model=Masked())
    segmenter = segnet.load(finished.folder, model=Masked(), device="cpu")
    assert segmenter.predict(noise()).mask.shape == (45, 50)


def test_the_users_object_holds_the_last_weights_and_the_file_the_best_average(config):
    model = tiny_net()
    finished = segnet.train(config(ema_decay=0.9), model=model)
    assert not model.training
    last = torch.load(finished.folder / "last" / "state.pt", weights_only=True)["parts"]["model"]
    assert all(torch.equal(tensor, last[name]) for name, tensor in model.state_dict().items())
    best = load_file(finished.folder / "model.safetensors")
    assert not torch.equal(best["head.weight"], last["head.weight"])


@pytest.mark.parametrize("recipe", ["article", "modern"])
def test_the_same_seeds_give_the_same_bytes(config, tmp_path, recipe):
    contents = []
    for name in ("first", "second"):
        settings = config(recipe=recipe, out=tmp_path / name, epochs=2, seed=3)
        contents.append((segnet.train(settings, model=tiny_net()).folder / "model.safetensors").read_bytes())
    assert contents[0] == contents[1]


class Interrupted(TinyNet):
    """Ctrl-C comes in the middle of the third epoch."""

    steps = 0

    def forward(self, image):
        self.steps += self.training
        if self.steps == 9:
            raise KeyboardInterrupt
        return super().forward(image)


def test_a_run_that_was_interrupted_goes_on_to_the_same_weights(config, tmp_path):
    settings = config(epochs=5, recipe="modern", progressive=False)
    whole = segnet.train(settings, model=tiny_net())
    torch.manual_seed(0)
    stopped = segnet.train(config(**vars(settings) | {"out": tmp_path / "stopped"}), model=Interrupted())
    assert not stopped.finished
    resumed = segnet.resume(stopped.folder, model=TinyNet())
    assert resumed.finished
    expected, found = (load_file(done.folder / "model.safetensors") for done in (whole, resumed))
    assert all(torch.equal(tensor, found[name]) for name, tensor in expected.items())


# Opening it again


def test_a_file_is_opened_only_with_the_module_and_says_so(run, tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, __name__, None)  # importing it would fail
    says = rf"holds a model of your own \({NAME}\); open it with segnet.load\(path, model=TinyNet\(...\)\)"
    for source in (run[0].folder, run[0].folder / "model.safetensors"):
        with pytest.raises(SegnetError, match=says):
            segnet.load(source)


def test_a_run_goes_on_only_with_the_module_and_says_so(run):
    says = (
        rf"trains a module of your own \({NAME}\); go on through Python: segnet.resume\(path, model=TinyNet"
    )
    with pytest.raises(SegnetError, match=says):
        segnet.resume(run[0].folder)


def test_another_module_is_refused_with_what_differs_and_stays_as_it_was(run):
    model = tiny_net(channels=4)
    before = copy.deepcopy(model.state_dict())
    differs = (
        r"down.bias is \(8,\) in the file and \(4,\) in the model; build it as it was built for training"
    )
    with pytest.raises(SegnetError, match=rf"don't fit {NAME}, the model given: {differs}"):
        segnet.load(run[0].folder, model=model)
    with pytest.raises(SegnetError, match=r"state of this run: down.bias is \(8,\) in the file and \(4,\)"):
        segnet.resume(run[0].folder, model=model)
    assert all(torch.equal(tensor, before[name]) for name, tensor in model.state_dict().items())


def test_a_module_is_not_taken_for_a_run_of_one_of_our_models(config):
    options = {"stages": [[8, 1]], "bottleneck": [8, 0, 3]}
    finished = segnet.train(config(model="segnet-lite", model_options=options, epochs=1))
    with pytest.raises(SegnetError, match="trains segnet-lite, which segnet builds itself; leave model= out"):
        segnet.resume(finished.folder, model=tiny_net())
    with pytest.raises(SegnetError, match=r"don't fit .*TinyNet, the model given: .* absent in the model"):
        segnet.load(finished.folder, model=tiny_net())


@pytest.mark.parametrize(
    ("command", "says"),
    [
        (
            ["train", "--config", "RUN/config.yaml"],
            f"segnet has no model {NAME}; a module of your own is trained",
        ),
        (["resume", "RUN"], f"trains a module of your own ({NAME}); go on through Python"),
        (["eval", "RUN"], f"holds a model of your own ({NAME}); open it with segnet.load"),
        (["predict", "PHOTO", "--model", "RUN"], f"holds a model of your own ({NAME})"),
    ],
)
def test_on_the_command_line_it_is_one_line_that_points_to_python(
    run, tmp_path, monkeypatch, capfd, command, says
):
    monkeypatch.chdir(tmp_path)
    Image.fromarray(noise()).save("photo.png")
    words = {
        "RUN": str(run[0].folder),
        "PHOTO": "photo.png",
        "RUN/config.yaml": f"{run[0].folder}/config.yaml",
    }
    monkeypatch.setattr(sys, "argv", ["segnet", *(words.get(word, word) for word in command)])
    with pytest.raises(SystemExit) as end:
        main()
    error = capfd.readouterr().err
    assert (end.value.code, error.count("\n")) == (2, 1)
    assert says in error
    assert [path.name for path in tmp_path.iterdir()] == ["photo.png"]


# What can't be trained is found before the first step, and nothing is left behind.


class Gives(TinyNet):
    """Logits, then whatever ``change`` makes of them."""

    def __init__(self, change):
        super().__init__()
        self.change = change

    def forward(self, image):
        return self.change(self, super().forward(image))


def with_lazy_head():
    model = tiny_net()
    model.head = nn.LazyConv2d(2, 1)
    return model


class Keeper(TinyNet):
    def get_extra_state(self):
        return {"calls": 3}

    def set_extra_state(self, state):
        pass


IMAGES = r"for images \(2, 3, 32, 32\); it must give one tensor of logits \(2, 2, 32, 32\)"
MISTAKES = {
    "other classes": (lambda: tiny_net(classes=5), rf"TinyNet gives \(2, 5, 32, 32\) {IMAGES}"),
    "names them": (lambda: tiny_net(classes=5), r"with a channel each for background, object"),
    "half size": (lambda: Gives(lambda net, x: x[..., ::2, ::2]), rf"gives \(2, 2, 16, 16\) {IMAGES}"),
    "dict": (lambda: Gives(lambda net, x: {"out": x, "aux": x}), rf"gives a dict with out, aux {IMAGES}"),
    "tuple": (lambda: Gives(lambda net, x: (x, x)), rf"gives a tuple of 2 {IMAGES}"),
    "in training": (lambda: Gives(lambda net, x: (x, x) if net.training else x), "gives a tuple of 2"),
    "in evaluation": (
        lambda: Gives(lambda net, x: x if net.training else x.softmax(1)[:1]),
        r"\(1, 2, 32, 32\)",
    ),
    "nothing": (lambda: Gives(lambda net, x: None), "gives a NoneType"),
    "a mask": (lambda: Gives(lambda net, x: x.long()), r"gives \(2, 2, 32, 32\) of int64"),
    "no gradient": (lambda: Gives(lambda net, x: x.detach()), "has nothing to train"),
    "all frozen": (lambda: tiny_net().requires_grad_(False), "has nothing to train"),
    "other input": (
        lambda: nn.Conv2d(1, 2, 1),
        r"Conv2d fails on images \(2, 3, 32, 32\) in training mode: Runt",
    ),
    "lazy": (with_lazy_head, "has lazy parameters; run an image through it once"),
    "extra state": (Keeper, "state_dict of .*Keeper must hold tensors alone, but _extra_state is none"),
    "the class": (lambda: TinyNet, r"that was built, such as TinyNet\(...\), not the class TinyNet"),
    "a name": (lambda: "unet", "not 'unet'"),
}


@pytest.mark.parametrize(("build", "says"), MISTAKES.values(), ids=MISTAKES)
def test_a_module_that_cannot_be_trained_is_one_line_and_nothing_is_left_behind(config, build, says):
    settings = config()
    with pytest.raises(SegnetError, match=says) as error:
        segnet.train(settings, model=build())
    assert "\n" not in str(error.value)
    assert not settings.out.exists()


def test_every_size_of_a_run_that_starts_small_is_tried(config):
    only_32 = Gives(lambda net, x: x if x.shape[-1] == 32 else x[..., 1:])
    with pytest.raises(SegnetError, match=r"gives \(2, 2, 16, 15\) for images \(2, 3, 16, 16\)"):
        segnet.train(config(progressive=True), model=only_32)


def test_options_belong_to_our_models_and_not_to_a_module(config):
    with pytest.raises(
        SegnetError, match=r"model_options are for segnet's models; build TinyNet\(...\) with"
    ):
        segnet.train(config(model_options={"channels": 4}), model=tiny_net())


def test_the_trial_leaves_batch_norm_weights_and_random_numbers_alone(config):
    from segnet.training.check import require_logits

    model = tiny_net()
    before, state = copy.deepcopy(model.state_dict()), torch.get_rng_state()
    require_logits(model, config(), ("background", "object"), 12, torch.device("cpu"))
    assert torch.equal(torch.get_rng_state(), state)
    assert all(torch.equal(tensor, before[name]) for name, tensor in model.state_dict().items())
    assert model.training
    assert all(parameter.grad is None for parameter in model.parameters())


class NeedsValues(TinyNet):
    def forward(self, image):
        return super().forward(image) * (1.0 if image.mean().item() < 2 else 0.0)


@pytest.mark.usefixtures("whole_runs")
def test_a_module_whose_multiply_adds_cannot_be_counted_trains_and_the_report_leaves_them_out(config):
    finished = segnet.train(config(epochs=1), model=NeedsValues())
    facts = json.loads((finished.folder / "environment.json").read_text())["model"]
    assert facts["macs"] is None
    report = (finished.folder / "report.html").read_text()
    assert "multiply-adds" not in report
    assert "parameters" in report


class Remembers(TinyNet):
    """Keeps what it saw last, which can't be copied while gradients hang on it."""

    def forward(self, image):
        self.last = super().forward(image)
        return self.last


@pytest.mark.parametrize("recipe", ["article", "modern"])
def test_a_module_that_keeps_its_last_output_trains_too(config, recipe):
    model = Remembers()
    assert segnet.train(config(epochs=1, recipe=recipe), model=model).test is not None


def test_no_model_of_ours_is_named_like_a_class():
    assert not any("." in name for name in MODELS)
