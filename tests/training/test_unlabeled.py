"""Images without masks: which are taken, what they teach, and that they stay out of what is scored."""

import json
import shutil
from dataclasses import replace

import numpy as np
import pytest
import torch
from PIL import Image
from rich.console import Console
from torch import nn

import segnet
from segnet import DataOptions, SegnetError, load_dataset
from segnet.data.augment import StrongColour
from segnet.data.pets import official_id
from segnet.data.without_masks import find_without_masks
from segnet.inference.model_file import read_description, read_model
from segnet.runs.identity import ImageRecord
from segnet.runs.run_folder import RunFolder
from segnet.training.check import check
from segnet.training.losses.losses import cross_entropy
from segnet.training.schedule import Step
from segnet.training.setup import build
from segnet.training.step import loss_of
from segnet.training.unlabeled import SureClasses

from .test_resume import STEPS, metrics, require_same, stop_at_every_step

pytestmark = pytest.mark.usefixtures("plain_runs")

SIZE, CPU = (32, 32), torch.device("cpu")


def draw_photos(root, count=7, first=500, shape=(32, 32, 3)):
    root.mkdir(parents=True, exist_ok=True)
    for index in range(first, first + count):
        pixels = np.random.RandomState(index).randint(0, 256, shape).astype(np.uint8)
        Image.fromarray(pixels).save(root / f"{index}.png")
    return root


@pytest.fixture(scope="module")
def photos(tmp_path_factory):
    root = draw_photos(tmp_path_factory.mktemp("photos"))
    draw_photos(root / "deeper", count=3, first=600)
    draw_photos(root / ".hidden", count=1, first=700)
    (root / "notes.txt").write_text("no image")
    return root


@pytest.fixture
def config(tiny_config, photos):
    def make(**changes):
        return tiny_config(**({"unlabeled": photos, "ema_decay": 0.9, "precision": "float32"} | changes))

    return make


@pytest.fixture
def quiet():
    return Console(quiet=True)


@pytest.fixture(scope="module")
def taught(drawn_folder, tmp_path_factory):
    """A run of a wider model on the same images."""
    wider = {"stages": [[12, 1], [12, 1]], "bottleneck": [12, 0, 3]}
    settings = {"model": "segnet-lite", "model_options": wider, "size": SIZE, "batch_size": 4, "epochs": 1}
    out = tmp_path_factory.mktemp("taught") / "run"
    return segnet.train(segnet.TrainConfig(data=str(drawn_folder), out=out, **settings)).folder


class Sure(nn.Module):
    """Finds class 1 with this probability wherever the red channel is above a half, and else class 0."""

    def __init__(self, probability):
        super().__init__()
        self.logit = float(np.log(probability / (1 - probability)))

    def forward(self, images):
        red = torch.where(images[:, 0] > 0.5, self.logit, -self.logit)
        return torch.stack((torch.zeros_like(red), red), 1)


def test_images_of_all_folders_are_found_and_named_by_content(config, photos, quiet):
    setup = build(config(), quiet)
    unlabeled = setup.unlabeled
    assert unlabeled.split.names == tuple(
        [f"{index}.png" for index in range(500, 507)] + [f"deeper/{index}.png" for index in range(600, 603)]
    )
    assert unlabeled.line == f"10 images without masks from {photos}"
    stored = np.asarray(Image.open(photos / "deeper/601.png"))
    assert np.array_equal(unlabeled.split.images[8], stored)


def test_targets_are_the_sure_classes_of_the_weak_view_and_the_strong_one_is_in_the_same_place(config, quiet):
    unlabeled = build(config(flip=0.5, crop_scale=0.5), quiet).unlabeled
    kept = {}

    def strong(images):
        kept["weak"] = images
        return images

    views, answers = replace(unlabeled, labeller=Sure(0.97), strong=strong).views(0, 0, 4, SIZE, CPU)
    assert torch.equal(answers.targets == 1, kept["weak"][:, 0] > 0.5)
    assert torch.equal(views, kept["weak"])
    assert set(answers.targets.unique().tolist()) == {0, 1}
    assert float(answers.measured()["confident_share"]) == 1
    _, unsure = replace(unlabeled, labeller=Sure(0.94)).views(0, 0, 4, SIZE, CPU)
    assert set(unsure.targets.unique().tolist()) == {255}
    assert float(unsure.measured()["confident_share"]) == 0


def test_strong_colour_moves_no_pixel():
    torch.manual_seed(0)
    halves = torch.zeros(64, 3, 48, 40)
    halves[:, :, :, :20] = torch.rand(64, 3, 1, 1)
    halves[:, :, :, 20:] = torch.rand(64, 3, 1, 1)
    changed = StrongColour(3)(halves)
    reach = 2  # the blur's taps, of images this small
    for part in (changed[..., : 20 - reach], changed[..., 20 + reach :]):
        assert torch.allclose(part, part[..., :1, :1].expand_as(part), atol=1e-5)
    assert float((changed - halves).abs().amax((1, 2, 3)).median()) > 0.05
    assert changed.min() >= 0
    assert changed.max() <= 1 + 1e-6  # the blur's taps sum up to 1 but for rounding
    assert StrongColour(5)(torch.rand(2, 5, 32, 32)).shape == (2, 5, 32, 32)


def test_the_loss_is_cross_entropy_at_the_targets_over_all_pixels():
    logits = torch.randn(2, 3, 4, 4)
    targets = torch.full((2, 4, 4), 255, dtype=torch.uint8)
    targets[0, 1, 2], targets[1, 3, 3] = 2, 0
    logs = logits.double().log_softmax(1)
    expected = -(logs[0, 2, 1, 2] + logs[1, 0, 3, 3]) / 32
    sure = SureClasses(targets, torch.tensor(32))
    assert float(sure.loss(logits)) == pytest.approx(float(expected), rel=1e-5)
    assert float(sure.measured()["confident_share"]) == pytest.approx(2 / 32)


@pytest.mark.parametrize(("threshold", "learns"), [(1.0, False), (0.0, True)])
def test_where_nothing_is_sure_nothing_is_learnt_from(config, quiet, threshold, learns):
    setup = build(config(unlabeled_threshold=threshold), quiet)
    images, masks = torch.rand(4, 3, *SIZE), torch.randint(2, (4, *SIZE), dtype=torch.uint8)
    setup.model.train()
    loss, measured = loss_of(setup, setup.model, images, masks, Step(1, 0, 3))
    assert (float(measured["unlabeled_loss"].detach()) > 0) == learns
    assert float(measured["confident_share"]) == float(learns)
    loss.backward()
    assert all(parameter.grad is None for parameter in setup.ema.module.parameters())


def test_a_teacher_answers_for_all_pixels_and_needs_no_average(config, taught, quiet):
    settings = {"teacher": str(taught), "teacher_temperature": 3.0, "ema_decay": 0.0, "flip": 0.5}
    setup = build(config(**settings), quiet)
    unlabeled, kept = setup.unlabeled, {}

    def strong(images):
        kept["weak"] = images
        return 1 - images

    views, answers = replace(unlabeled, strong=strong).views(0, 0, 4, SIZE, CPU)
    teacher, _ = read_model(taught / "model.safetensors")
    assert torch.equal(views, 1 - kept["weak"])
    logits = torch.randn(4, 2, *SIZE)
    theirs, ours = ((each / 3).log_softmax(1) for each in (teacher.eval()(kept["weak"]), logits))
    expected = 9 * (theirs.exp() * (theirs - ours)).sum(1).mean()
    assert float(answers.loss(logits)) == pytest.approx(float(expected.detach()), rel=1e-5)

    images, masks = torch.rand(4, 3, *SIZE), torch.randint(2, (4, *SIZE), dtype=torch.uint8)
    loss, measured = loss_of(setup, setup.model.train(), images, masks, Step(1, 0, 3))
    assert [*measured] == ["unlabeled_loss"]
    loss.backward()
    assert all(parameter.grad is None for parameter in setup.teacher.model.parameters())


def test_a_run_that_a_teacher_labels_images_for_is_stopped_and_ends_with_the_same_bytes(
    config, taught, tmp_path
):
    settings = {"teacher": str(taught), "crop_scale": 0.5, "epochs": 2}
    whole = segnet.train(config(**settings, out=tmp_path / "whole"))
    assert all(line["unlabeled_loss"] >= 0 for line in metrics(whole.folder))
    assert "confident" not in (whole.folder / "metrics.jsonl").read_text()
    require_same(stop_at_every_step(config(**settings), 2 * STEPS).folder, whole.folder)


def test_its_weight_rises_in_the_warm_up(config, quiet):
    setup = build(config(unlabeled_threshold=0.0, unlabeled_weight=2.0, warmup_epochs=2.0), quiet)
    images, masks = torch.rand(4, 3, *SIZE), torch.randint(2, (4, *SIZE), dtype=torch.uint8)
    setup.model.eval()  # so that one batch doesn't depend on the other
    with torch.no_grad():
        supervised = cross_entropy(setup.model(images), masks)
        for moment, ramp in ((Step(0, 0, 4), 0.0005), (Step(0, 2, 4), 0.2505), (Step(2, 0, 4), 1.0)):
            loss, measured = loss_of(setup, setup.model, images, masks, moment)
            expected = supervised + ramp * 2.0 * measured["unlabeled_loss"]
            assert float(loss) == pytest.approx(float(expected), rel=1e-5)


def test_every_image_comes_once_before_any_comes_again(config, quiet):
    unlabeled = build(config(), quiet).unlabeled
    taken = [number for first in range(0, 30, 4) for number in unlabeled._numbers(first, min(4, 30 - first))]
    rounds = [taken[start : start + 10] for start in (0, 10, 20)]
    assert all(sorted(each) == list(range(10)) for each in rounds)
    assert rounds[0] != rounds[1]


def test_views_are_a_function_of_seed_epoch_and_step(config, quiet):
    def views(seed, epoch, first):
        torch.manual_seed(torch.randint(1000, ()).item())
        unlabeled = build(config(seed=seed, crop_scale=0.5), quiet).unlabeled
        return unlabeled.views(epoch, first, 4, SIZE, CPU)[0]

    assert torch.equal(views(0, 1, 4), views(0, 1, 4))
    for other in ((1, 1, 4), (0, 2, 4), (0, 1, 8)):
        assert not torch.equal(views(0, 1, 4), views(*other))


def test_filling_of_images_that_keep_their_proportions_is_no_target(config, tmp_path, quiet):
    wide = draw_photos(tmp_path / "wide", shape=(16, 32, 3))
    unlabeled = build(config(unlabeled=wide, keep_aspect=True), quiet).unlabeled
    _, answers = replace(unlabeled, labeller=Sure(0.99)).views(0, 0, 4, SIZE, CPU)
    assert (answers.targets[:, 16:] == 255).all()
    assert (answers.targets[:, :16] != 255).all()
    assert float(answers.measured()["confident_share"]) == 1


@pytest.mark.campaign
def test_a_run_that_is_stopped_at_every_step_ends_with_the_same_bytes(config, tmp_path):
    settings = {"unlabeled_threshold": 0.6, "warmup_epochs": 1.0, "crop_scale": 0.5, "epochs": 2}
    whole = segnet.train(config(**settings, out=tmp_path / "whole"))
    lines = metrics(whole.folder)
    assert all(line["unlabeled_loss"] >= 0 and 0 <= line["confident_share"] <= 1 for line in lines)
    require_same(stop_at_every_step(config(**settings), 2 * STEPS).folder, whole.folder)


def test_a_run_goes_on_with_the_images_that_it_began_with_alone(config, photos, tmp_path):
    mine = tmp_path / "mine"
    shutil.copytree(photos, mine)
    run = segnet.train(config(unlabeled=mine, epochs=1))
    (mine / "503.png").unlink()
    with pytest.raises(SegnetError, match=r"unlabeled had 10 images, of which now 1 missing \(503.png\)"):
        segnet.resume(run.folder, epochs=2)
    settings = run.folder / "config.yaml"
    settings.write_text(settings.read_text().replace(str(mine), "null"))
    with pytest.raises(SegnetError, match="unlabeled had 10 images, of which now 10 missing"):
        segnet.resume(run.folder, epochs=2)


def test_held_out_images_are_left_out_and_those_learnt_from_are_not_scored(
    config, photos, drawn_folder, tmp_path
):
    mine = tmp_path / "mine"
    shutil.copytree(photos, mine)
    for index, file in enumerate(sorted((drawn_folder / "val/images").iterdir())[:2]):
        shutil.copy(file, mine / f"copy-{index}.png")
    console = Console(record=True, width=200)
    run = segnet.train(config(unlabeled=mine, epochs=1), console=console)
    assert "10 images without masks" in (text := console.export_text())
    assert "; 2 more are validated or tested on, so they are left out" in text

    kept = json.loads(RunFolder(run.folder).data.read_text())["splits"]["unlabeled"]
    assert [entry[0] for entry in kept] == sorted(entry[0] for entry in kept)
    assert len(kept) == 10
    description = read_description(run.folder / "model.safetensors")
    assert description.training["unlabeled"] == 10

    later = tmp_path / "later"
    for name in ("images", "masks"):
        (later / name).mkdir(parents=True)
    for index in (500, 501, 502):
        shutil.copy(photos / f"{index}.png", later / "images")
        Image.fromarray(np.eye(32, dtype=np.uint8)).save(later / f"masks/{index}.png")
    (later / "dataset.yaml").write_text("classes: [background, object]\n")
    with pytest.raises(SegnetError, match="was trained on 3 of these 3 images"):
        segnet.evaluate(segnet.load(run.folder), load_dataset(DataOptions(data=str(later))))
    scores = segnet.evaluate(segnet.load(run.folder), load_dataset(DataOptions(data=str(drawn_folder))))
    assert scores.scored_on.images == 4


def test_without_such_images_a_run_says_nothing_of_them(tiny_config):
    run = segnet.train(tiny_config(epochs=1))
    assert "confident" not in (run.folder / "metrics.jsonl").read_text()
    assert "unlabeled" not in (run.folder / "data.json").read_text()
    assert b"unlabeled" not in (run.folder / "model.safetensors").read_bytes()


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        ({"ema_decay": 0.0}, "lets the averaged model label images, and there is none: give --ema-decay"),
        ({"patch": 16, "size": 16}, "takes whole images and no --patch"),
        ({"unlabeled": "nowhere"}, "--unlabeled nowhere is no folder"),
        ({"unlabeled_threshold": 1.5}, "--unlabeled-threshold must be from 0 to 1"),
        ({"unlabeled": None, "unlabeled_weight": 2.0}, "give --unlabeled DIR too"),
        (
            {"teacher": "pets-lite", "unlabeled_threshold": 0.9},
            "all that a --teacher says is learnt, so leave one of the two out",
        ),
    ],
)
def test_what_cannot_be_done_is_refused_before_data_is_read(config, changes, says):
    with pytest.raises(SegnetError, match=says):
        check(config(**changes))


def test_folders_that_cannot_be_learnt_from_are_refused(config, drawn_folder, photos, tmp_path, quiet):
    def refused(folder, says):
        with pytest.raises(SegnetError, match=says):
            build(config(unlabeled=folder), quiet)

    (tmp_path / "empty").mkdir()
    refused(tmp_path / "empty", "holds no image")
    refused(drawn_folder / "train", r"holds masks .* such as .*train/images")
    refused(drawn_folder / "train/masks", "holds masks")
    refused(drawn_folder / "val/images", "all 4 images .* none of them may be trained on")
    broken = tmp_path / "broken"
    shutil.copytree(photos, broken)
    whole = (broken / "500.png").read_bytes()
    (broken / "500.png").write_bytes(whole[: len(whole) // 2])
    refused(broken, r"500\.png is damaged")
    (broken / "501.png").write_text("no image")
    refused(broken, r"501\.png is not an image")


def test_label_smoothing_below_the_threshold_is_said(config, taught, quiet):
    def warnings(**changes):
        return " ".join(build(config(**changes), quiet).warnings)

    three = {"loss": "label-smoothing", "unlabeled_threshold": 0.96}
    assert "aims at a probability of 0.950 and no more" in warnings(**three)
    assert "aims at" not in warnings(loss="label-smoothing", unlabeled_threshold=0.9)
    assert "aims at" not in warnings()
    assert "aims at" not in warnings(loss="label-smoothing", teacher=str(taught))


def test_what_is_left_out_of_the_folder_is_said(tmp_path):
    mine = draw_photos(tmp_path / "mine", count=1)
    (mine / "raw.nef").write_bytes(b"")
    (mine / "again").symlink_to(mine)
    said = find_without_masks(mine, 3, []).warnings
    assert [line.partition("mine/")[2].split(",")[0] for line in said] == [
        "raw.nef is a .nef file",
        f"again leads to {mine}",
    ]


def test_a_smaller_copy_of_a_held_out_pet_is_known_by_its_name(tmp_path):
    mine = draw_photos(tmp_path / "mine", count=1)
    shutil.copy(mine / "500.png", mine / "Abyssinian_1.png")
    record = ImageRecord("Abyssinian_1", (b"123456", official_id("Abyssinian_1")), b"")
    found = find_without_masks(mine, 3, [record], official_id)
    assert [sample.name for sample in found.samples] == ["500.png"]
    assert found.left_out == 1
