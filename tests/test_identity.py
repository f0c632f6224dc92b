"""Data with an identity: which images a model was trained on is told by their content, never by a name.

The ways in which scores on training images once came about, and what must be refused.
"""

import json
import runpy
import shutil
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

import segnet as package
from segnet import DataOptions, SegnetError, TrainConfig, load_dataset
from segnet.data.identify import records_of

pytestmark = pytest.mark.usefixtures("plain_runs")

TINY = {"stages": [[8, 1], [8, 1]], "bottleneck": [8, 0, 3]}
SETTINGS = {
    "model": "segnet-lite",
    "model_options": TINY,
    "size": (32, 32),
    "batch_size": 4,
    "epochs": 1,
    "device": "cpu",
}


def draw(folder, count, first=0):
    """Add images of a bright square, no two alike, with their masks; the folder has one level."""
    for kind in ("images", "masks"):
        (folder / kind).mkdir(parents=True, exist_ok=True)
    for index in range(first, first + count):
        random = np.random.RandomState(index)
        mask = np.zeros((32, 32), np.uint8)
        top, left = random.randint(0, 16, 2)
        mask[top : top + 16, left : left + 16] = 1
        pixels = random.randint(0, 80, (32, 32, 3)) + mask[..., None] * 120
        Image.fromarray(pixels.astype(np.uint8)).save(folder / "images" / f"{index:03d}.png")
        Image.fromarray(mask).save(folder / "masks" / f"{index:03d}.png")
    (folder / "dataset.yaml").write_text("classes: [background, object]\n")
    return folder


def names(samples):
    return [sample.name for sample in samples]


@pytest.fixture(scope="module")
def trained(plain_runs, tmp_path_factory):
    """A folder of sixty images, and a run that held a part of them out."""
    root = tmp_path_factory.mktemp("photos")
    data = draw(root / "data", 60)
    return package.train(TrainConfig(data=str(data), holdout=0.1, out=root / "run", **SETTINGS))


@pytest.fixture
def data(trained, tmp_path):
    """The run's data in another place and under another name."""
    return Path(shutil.copytree(trained.folder.parent / "data", tmp_path / "moved"))


def held_out(run):
    splits = json.loads((run.folder / "data.json").read_text())["splits"]
    return {entry[0] for entry in splits["val"]}


# What is held out


def test_deleting_or_adding_an_image_moves_no_other(data):
    def val(**options):
        return set(names(load_dataset(DataOptions(data=str(data), **options)).val))

    before = val(holdout=0.3)
    assert 5 < len(before) < 32
    for index in range(0, 60, 7):
        for kind in ("images", "masks"):
            (data / kind / f"{index:03d}.png").unlink()
    gone = {f"{index:03d}" for index in range(0, 60, 7)}
    assert val(holdout=0.3) == before - gone
    draw(data, 10, first=100)
    assert {name for name in val(holdout=0.3) if int(name) < 100} == before - gone


def test_copies_of_one_picture_are_on_the_same_side(data):
    for index in range(60):
        for kind in ("images", "masks"):
            shutil.copy(data / kind / f"{index:03d}.png", data / kind / f"copy-{index:03d}.png")
    dataset = load_dataset(DataOptions(data=str(data), holdout=0.3))
    assert {name.removeprefix("copy-") for name in names(dataset.val)}.isdisjoint(
        name.removeprefix("copy-") for name in names(dataset.train)
    )


def test_folds_share_no_image_and_cover_all(data):
    folds = [names(load_dataset(DataOptions(data=str(data), fold=f"{part}/5")).val) for part in range(1, 6)]
    together = [name for fold in folds for name in fold]
    assert sorted(together) == [f"{index:03d}" for index in range(60)]
    assert min(map(len, folds)) > 3


def test_frames_of_a_scene_stay_together(data):
    dataset = load_dataset(DataOptions(data=str(data), holdout=0.4, group_by=r"^(\d\d)\d$"))
    scenes = [{name[:2] for name in names(side)} for side in (dataset.train, dataset.val)]
    assert scenes[0].isdisjoint(scenes[1])
    assert scenes[0] | scenes[1] == {f"{scene:02d}" for scene in range(6)}


def test_a_list_names_what_is_held_out(data, tmp_path):
    (tmp_path / "val.txt").write_text("# chosen by hand\n003\n017.png\n")
    draw(data, 1, first=700)
    for kind in ("images", "masks"):
        (data / kind / "700.png").rename(data / kind / "017.01.png")
    dataset = load_dataset(DataOptions(data=str(data), val_list=str(tmp_path / "val.txt")))
    assert names(dataset.val) == ["003", "017"]
    (tmp_path / "val.txt").write_text("\ufeff017.01\n  # a comment\n", encoding="utf-8")
    dataset = load_dataset(DataOptions(data=str(data), val_list=str(tmp_path / "val.txt")))
    assert names(dataset.val) == ["017.01"], "and not 017, which is its stem"
    assert dataset.val_is == "the training images that val.txt names"


@pytest.mark.parametrize(
    ("options", "says"),
    [
        ({"fold": "6/5"}, "--fold is a part of so many, such as 2/5, not 6/5"),
        ({"fold": "2"}, "--fold is a part of so many"),
        ({"group_by": "["}, "no regular expression"),
        ({"group_by": "^scene"}, "finds nothing in the name '000'"),
        ({"group_by": "^0"}, "puts all images into one group"),
        ({"group_by": r"^\d\d", "fold": "29/30"}, "--fold 29/30 is empty here; take fewer folds"),
        ({"val_list": "none.txt"}, "--val-list none.txt is no file"),
        ({"val_list": "none.txt", "fold": "1/2"}, "--fold and --val-list both say what to validate on"),
        ({"holdout": -0.1}, "--holdout must be from 0"),
        ({"data_root": "x"}, "--data-root is for oxford-pets"),
        ({"border": "pet"}, "--border is for oxford-pets; with --data"),
    ],
)
def test_what_cannot_be_held_out_or_is_for_other_data_is_one_line(data, options, says):
    with pytest.raises(SegnetError, match=says.replace("(", r"\(")) as error:
        load_dataset(DataOptions(data=str(data), **options))
    assert "\n" not in str(error.value)


def test_the_drawn_images_take_nothing_but_a_seed():
    with pytest.raises(
        SegnetError, match="--holdout is for oxford-pets, folder and hf; with --data synthetic"
    ):
        load_dataset(DataOptions(data="synthetic", holdout=0.2))
    assert TrainConfig(data="synthetic", recipe="modern").holdout == 0


# A model is scored on its own held-out part, wherever that is now


def test_the_readmes_own_example_scores_the_held_out_part_and_nothing_else(trained):
    segmenter = package.load(trained.folder, device="cpu")
    scores = package.evaluate(segmenter, load_dataset(DataOptions(data=trained.config.data)))
    assert scores == trained.val
    assert scores.scored_on.images == len(held_out(trained))
    assert scores.scored_on.trained_on == 0


@pytest.mark.parametrize("how", ["copied", "symlink", "point"])
def test_the_same_data_at_another_path_is_still_its_own(trained, data, monkeypatch, how):
    place = data
    if how == "symlink":
        place = data.with_name("link")
        place.symlink_to(data)
    elif how == "point":
        monkeypatch.chdir(data)
        place = "."
    segmenter = package.load(trained.folder, device="cpu")
    scores = package.evaluate(segmenter, load_dataset(DataOptions(data=str(place))))
    assert scores.confusion == trained.val.confusion
    with pytest.raises(SegnetError, match=r"was trained on \d+ of these \d+ images, train of"):
        package.evaluate(segmenter, load_dataset(DataOptions(data=str(place))), split="train")


def test_another_folder_of_the_same_name_is_scored_whole(trained, tmp_path):
    other = draw(tmp_path / "data", 20, first=200)
    scores = package.evaluate(
        package.load(trained.folder, device="cpu"), load_dataset(DataOptions(data=str(other)))
    )
    assert (scores.scored_on.images, scores.scored_on.split) == (20, "all")


def test_a_folder_with_nothing_but_test_images_is_scored(trained, tmp_path):
    draw(tmp_path / "new" / "test", 7, first=300)
    shutil.move(tmp_path / "new" / "test" / "dataset.yaml", tmp_path / "new" / "dataset.yaml")
    dataset = load_dataset(DataOptions(data=str(tmp_path / "new")))
    scores = package.evaluate(package.load(trained.folder, device="cpu"), dataset)
    assert (scores.scored_on.images, scores.scored_on.data) == (7, "new")


def test_a_single_image_can_be_scored_and_not_trained_on(trained, tmp_path):
    dataset = load_dataset(DataOptions(data=str(draw(tmp_path / "one", 1, first=350))))
    assert package.evaluate(package.load(trained.folder, device="cpu"), dataset).scored_on.images == 1
    with pytest.raises(SegnetError, match="one has no validation images; at least two different images"):
        package.train(TrainConfig(data=str(tmp_path / "one"), out=tmp_path / "run", **SETTINGS))
    assert not (tmp_path / "run").exists()


def test_a_test_split_that_the_data_got_later_is_scored(tmp_path):
    data = tmp_path / "data"
    for split, first in (("train", 0), ("val", 20)):
        draw(data / split, 8, first=first)
    shutil.move(data / "train" / "dataset.yaml", data / "dataset.yaml")
    run = package.train(TrainConfig(data=str(data), out=tmp_path / "run", **SETTINGS))
    draw(data / "test", 3, first=40)
    dataset = load_dataset(DataOptions(data=str(data)))
    segmenter = package.load(run.folder, device="cpu")
    assert package.evaluate(segmenter, dataset, split="test").scored_on.images == 3
    assert package.evaluate(segmenter, dataset) == run.val


def test_a_bundled_models_data_is_not_that_of_the_folder_one_stands_in(trained, segnet, monkeypatch):
    monkeypatch.chdir(trained.folder)
    ended = segnet("eval", "pets-lite", "--data-root", "none")
    ended.is_a_mistake_in_one_line("--data-root none does not exist")
    shutil.copy(trained.folder / "model.safetensors", trained.folder / "other.safetensors")
    segnet("eval", "other.safetensors").is_a_mistake_in_one_line("doesn't say where its data is")
    (trained.folder / "other.safetensors").unlink()


def test_hand_made_samples_say_which_image_they_are_or_are_refused(trained):
    class Nameless:
        name = "x"

        def fingerprint(self):
            return b"x"

    dataset = load_dataset(DataOptions(data=trained.config.data))
    made = package.Dataset("made", dataset.classes, [], [Nameless()])
    with pytest.raises(
        SegnetError, match=r"the sample x doesn't say which image it is: give it an image_ids"
    ):
        package.evaluate(package.load(trained.folder, device="cpu"), made)


def test_images_that_it_was_trained_on_are_found_among_others_under_any_name(trained, data, tmp_path):
    seen = sorted({f"{index:03d}" for index in range(60)} - held_out(trained))[:3]
    mixed = draw(tmp_path / "mixed", 5, first=400)
    for number, name in enumerate(seen):
        for kind in ("images", "masks"):
            shutil.copy(data / kind / f"{name}.png", mixed / kind / f"new-{number}.png")
    segmenter, dataset = (
        package.load(trained.folder, device="cpu"),
        load_dataset(DataOptions(data=str(mixed))),
    )
    with pytest.raises(
        SegnetError, match=r"own val split has \d+ images, of which 0 are here; .* --split unseen"
    ):
        package.evaluate(segmenter, dataset)
    with pytest.raises(SegnetError, match="was trained on 3 of these 8 images, all of mixed"):
        package.evaluate(segmenter, dataset, split="all")
    assert package.evaluate(segmenter, dataset, split="unseen").scored_on.images == 5
    told = package.evaluate(segmenter, dataset, split="all", allow_trained_on=True).scored_on
    assert (told.images, told.trained_on) == (8, 3)
    assert str(told) == "8 images, all of mixed (3 of them TRAINED ON)"


def test_a_folder_with_a_part_of_the_held_out_images_alone_is_scored_and_said_to_be_a_part(
    trained, data, tmp_path
):
    names = sorted(held_out(trained))
    for name in names[1:]:
        for kind in ("images", "masks"):
            (tmp_path / "part/test" / kind).mkdir(parents=True, exist_ok=True)
            shutil.copy(data / kind / f"{name}.png", tmp_path / "part/test" / kind)
    if (data / "dataset.yaml").exists():
        shutil.copy(data / "dataset.yaml", tmp_path / "part")
    dataset = load_dataset(DataOptions(data=str(tmp_path / "part")))
    scored_on = package.evaluate(package.load(trained.folder, device="cpu"), dataset).scored_on
    assert (scored_on.images, scored_on.trained_on) == (len(names) - 1, 0)
    assert scored_on.note == (
        f"the model's own val split has {len(names)} images, of which {len(names) - 1} are here"
    )


def test_a_held_out_image_that_is_missing_or_has_another_mask_is_noticed(trained, data):
    segmenter = package.load(trained.folder, device="cpu")
    name = min(held_out(trained))
    mask = data / "masks" / f"{name}.png"
    Image.fromarray(1 - np.asarray(Image.open(mask))).save(mask)
    with pytest.raises(SegnetError, match=r"masks of the model's own val split \(\d+ images\) have changed"):
        package.evaluate(segmenter, load_dataset(DataOptions(data=str(data))))
    for kind in ("images", "masks"):
        (data / kind / f"{name}.png").unlink()
    missing = f"has {len(held_out(trained))} images, of which {len(held_out(trained)) - 1} are here"
    with pytest.raises(SegnetError, match=missing):
        package.evaluate(segmenter, load_dataset(DataOptions(data=str(data))))


def test_the_options_order_on_the_command_line_changes_nothing(trained, segnet):
    first, last = segnet("eval", "--json", trained.folder), segnet("eval", trained.folder, "--json")
    assert (first.code, first.out) == (0, last.out)
    scores = json.loads(first.out)
    assert scores["scored_on"] == {
        "data": "data",
        "split": "val",
        "images": len(held_out(trained)),
        "trained_on": 0,
    }
    assert tuple(map(tuple, scores["confusion"])) == trained.val.confusion


def test_on_the_command_line_trained_images_are_refused_and_when_allowed_said_beside_the_numbers(
    trained, segnet
):
    segnet("eval", trained.folder, "--split", "train").is_a_mistake_in_one_line("--allow-trained-on")
    allowed = segnet("eval", trained.folder, "--split", "train", "--allow-trained-on")
    assert allowed.code == 0
    count = 60 - len(held_out(trained))
    assert allowed.out.startswith(
        f"{trained.folder} on {count} images, the train split of data ({count} of them"
    )
    assert allowed.out.count("TRAINED ON") == 1 + 6 + 3, "the first line, every column, all lines of scores"


def test_a_split_that_the_data_does_not_have_is_one_line(trained, segnet):
    ended = segnet("eval", trained.folder, "--split", "test")
    ended.is_a_mistake_in_one_line("the model's data has no test split; there is train, val")


def test_a_model_file_knows_its_images_without_its_run_and_names_no_path(trained, tmp_path):
    alone = Path(shutil.copy(trained.folder / "model.safetensors", tmp_path / "model.safetensors"))
    assert str(trained.folder.parent).encode() not in alone.read_bytes()
    scores = package.evaluate(
        package.load(alone, device="cpu"), load_dataset(DataOptions(data=trained.config.data))
    )
    assert scores == trained.val


def test_a_model_of_an_older_version_is_not_scored_on_what_it_may_have_been_trained_on(trained, tmp_path):
    from dataclasses import replace

    from segnet.inference.model_file import read_model, write_model_file

    model, description = read_model(trained.folder / "model.safetensors")
    old = replace(description, data=None, training={"data": "data", "holdout": 0.1, "seed": 0})
    write_model_file(tmp_path / "old.safetensors", model.state_dict(), old)
    segmenter = package.load(tmp_path / "old.safetensors", device="cpu")
    dataset = load_dataset(DataOptions(data=trained.config.data))
    with pytest.raises(SegnetError, match="an older segnet, doesn't say which images it was trained on"):
        package.evaluate(segmenter, dataset)
    elsewhere = load_dataset(
        DataOptions(data=str(shutil.copytree(trained.config.data, tmp_path / "renamed")))
    )
    with pytest.raises(SegnetError, match="these may be among them"):
        package.evaluate(segmenter, elsewhere)
    told = package.evaluate(segmenter, dataset, allow_trained_on=True).scored_on
    assert str(told) == "60 images, all of data (the model file doesn't say what it was trained on)"


def test_data_that_has_gone_is_said_with_the_remedy(trained, segnet, tmp_path):
    run = Path(shutil.copytree(trained.folder, tmp_path / "run"))
    manifest = run / "data.json"
    manifest.write_text(manifest.read_text().replace(str(trained.folder.parent), str(tmp_path / "gone")))
    segnet("eval", run).is_a_mistake_in_one_line("if it has moved, give --data")
    alone = Path(shutil.copy(run / "model.safetensors", tmp_path / "alone.safetensors"))
    segnet("eval", alone).is_a_mistake_in_one_line("doesn't say where its data is; name it with --data")


def test_pets_are_known_by_their_official_names_in_copies_of_another_size(oxford_pets, tmp_path):
    train = load_dataset(DataOptions(data_root=oxford_pets)).train[:2]
    (tmp_path / "images").mkdir()
    (tmp_path / "annotations" / "trimaps").mkdir(parents=True)
    for sample in train:
        image, mask = sample.read()
        image.resize((64, 64)).save(tmp_path / "images" / f"{sample.name}.jpg")
        small = Image.fromarray(mask + 1).resize((64, 64), Image.Resampling.NEAREST)
        small.save(tmp_path / "annotations" / "trimaps" / f"{sample.name}.png")
    for split, sample in zip(("trainval", "test"), train, strict=True):
        (tmp_path / "annotations" / f"{split}.txt").write_text(f"{sample.name} 1 1 1\n")
    copies = records_of(load_dataset(DataOptions(data_root=tmp_path)).splits["val"])
    before = records_of(train[1:])
    assert copies[0].ids[0] != before[0].ids[0]
    assert copies[0].ids[1] == before[0].ids[1]


# Going on with a run


@pytest.fixture(scope="module")
def begun(plain_runs, tmp_path_factory):
    """A folder where a run has begun, with one of its data, and a copy of the two as they were."""
    folder = tmp_path_factory.mktemp("begun")
    data = draw(folder / "work/data", 12)
    package.train(TrainConfig(data=str(data), out=folder / "work/run", **SETTINGS))
    shutil.copytree(folder / "work", folder / "kept")
    return folder


@pytest.fixture
def run(begun):
    """A run of a folder of its own that isn't over; both are put back, as runs know places by whole paths."""
    shutil.rmtree(begun / "work")
    shutil.copytree(begun / "kept", begun / "work")
    return begun / "work/run"


def test_a_run_goes_on_where_its_data_has_moved_to(run):
    data = run.parent / "data"
    data.rename(data.with_name("elsewhere"))
    with pytest.raises(SegnetError, match="neither a dataset nor a folder"):
        package.resume(str(run), epochs=2)
    assert package.resume(str(run), epochs=2, data=str(data.with_name("elsewhere"))).finished
    assert package.resume(str(run), epochs=3).finished, "it remembers where"


def test_other_names_of_the_classes_are_other_data(run):
    (run.parent / "data" / "dataset.yaml").write_text("classes: [object, background]\n")
    with pytest.raises(SegnetError, match="the classes were background, object, are object, background"):
        package.resume(run, epochs=2)


def test_until_a_run_that_goes_on_has_ended_its_report_says_so(run, monkeypatch):
    from segnet.report.html import write_report
    from segnet.training import loop

    def killed(*_):
        raise SystemExit("as a kill would")

    monkeypatch.setattr(loop, "train_epoch", killed)
    with pytest.raises(SystemExit):
        package.resume(run, epochs=3)
    assert "Unfinished run" in write_report(run).read_text()


@pytest.mark.parametrize("what", ["deleted", "added", "mask", "renamed"])
def test_changed_data_is_refused_and_named(run, what):
    data = run.parent / "data"
    if what == "deleted":
        for kind in ("images", "masks"):
            (data / kind / "004.png").unlink()
    elif what == "added":
        draw(data, 1, first=50)
    elif what == "mask":
        mask = data / "masks" / "004.png"
        Image.fromarray(1 - np.asarray(Image.open(mask))).save(mask)
    else:
        for kind in ("images", "masks"):
            (data / kind / "004.png").rename(data / kind / "zzz.png")
    with pytest.raises(SegnetError, match=r"the data has changed since the run began: .*(004|050)"):
        package.resume(run, epochs=2)


def test_changed_settings_are_refused_and_named(run):
    config = run / "config.yaml"
    config.write_text(config.read_text().replace("lr: 0.001", "lr: 0.01"))
    with pytest.raises(SegnetError, match=r"was changed since the run began \(lr was 0.001, is 0.01\)"):
        package.resume(run, epochs=2)


def test_more_epochs_end_with_the_same_bytes_as_if_they_had_been_planned(tmp_path):
    data = draw(tmp_path / "data", 12)
    config = SETTINGS | {"schedule": "constant", "lr": 0.03}  # learns, so that the last epoch is the best
    whole = package.train(TrainConfig(data=data, out=str(tmp_path / "whole"), **(config | {"epochs": 3})))
    package.train(TrainConfig(data=data, out=str(tmp_path / "part"), **config))
    part = package.resume(tmp_path / "part", epochs=3)
    assert (part.folder / "model.safetensors").read_bytes() == (
        whole.folder / "model.safetensors"
    ).read_bytes()


def test_fewer_epochs_than_are_done_are_refused(run):
    package.resume(run, epochs=2)
    with pytest.raises(SegnetError, match=r"--epochs 1: .* has done 2 epochs already; give more"):
        package.resume(run, epochs=1)


def test_a_state_of_an_older_version_is_refused_with_its_reason(run):
    import torch

    torch.save({"state": {"epoch": 1}, "parts": {}}, run / "last" / "state.pt")
    with pytest.raises(SegnetError, match="was written by an older segnet, which didn't note its data"):
        package.resume(run)


# Paths


def test_paths_as_text_and_with_a_tilde_are_paths_everywhere(tmp_path, monkeypatch):
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.chdir(tmp_path)
    draw(tmp_path / "photos", 12)
    run = package.train(TrainConfig(data="~/photos", out="~/run", **SETTINGS))
    assert run.folder == tmp_path / "run"
    assert package.resume("~/run", epochs=2).finished
    assert TrainConfig(data_root="~/pets", archive=["~/a"]).archive == (tmp_path / "a",)
    config = tmp_path / "config.yaml"
    config.write_text("data: ~/photos\nout: ~/again\ndata_root: null\n")
    from segnet.training.configuration.config_file import read_config

    assert (read_config(config).out, read_config(config).data) == (
        tmp_path / "again",
        str(tmp_path / "photos"),
    )


# The command line's own promises


def test_everything_that_is_wrong_is_said_at_once(segnet):
    ended = segnet("train", "--data", "nothing", "--model", "segnte", "--device", "cud")
    ended.is_a_mistake_in_one_line("3 things are wrong: (1) 'nothing' is neither a dataset nor a folder")
    assert "did you mean 'segnet'" in ended.err
    assert "device 'cud'" in ended.err


def test_settings_typed_into_a_file_survive_another_recipe_and_the_recipes_own_do_not(tmp_path):
    from segnet.training.configuration.config_file import read_options

    config = TrainConfig(recipe="article", lr=0.005, batch_size=64)
    (tmp_path / "config.yaml").write_text(json.dumps(config.to_dict()))
    options = read_options(tmp_path / "config.yaml", {"recipe": "modern"})
    assert options["lr"] == 0.005
    assert "batch_size" not in options
    assert "epochs" not in options


def test_a_file_of_other_data_brings_nothing_that_this_data_does_not_take(tmp_path):
    from segnet.training.configuration.config_file import read_options

    file = tmp_path / "config.yaml"
    file.write_text(json.dumps(TrainConfig(data_root="pets", recipe="modern", fold="1/5").to_dict()))
    options = read_options(file, {"data": "my/folder"})
    assert "data_root" not in options
    assert options["fold"] == "1/5"
    assert not {"fold", "holdout"} & read_options(file, {"val_list": "val.txt"}).keys()
    file.write_text(json.dumps(TrainConfig(data="synthetic", recipe="modern").to_dict()))
    assert "holdout" not in read_options(file, {"data": "my/folder"})


@pytest.mark.parametrize(
    ("settings", "says"),
    [
        ({"seed": 1.5}, "--seed must be a whole number"),
        ({"data": None}, "--data is empty"),
        ({"recipe": None}, "there is no recipe None"),
        ({"progressive": "no"}, "--progressive must be true or false, got 'no'"),
        ({"out": ""}, "--out must be a path"),
        ({"val_list": ["a"]}, "--val-list must be a path"),
    ],
)
def test_values_of_another_kind_are_refused_by_name(settings, says):
    with pytest.raises(SegnetError, match=says):
        TrainConfig(**settings)
    assert TrainConfig(archive="a.tar.gz").archive == (Path("a.tar.gz"),)


def test_a_place_that_cannot_be_written_to_is_found_with_the_other_mistakes(segnet, here):
    (here / "file").write_text("")
    ended = segnet("train", "--data", "nothing", "--out", "file/run")
    ended.is_a_mistake_in_one_line("2 things are wrong: (1) can't make a run folder at file/run")


def test_whole_numbers_are_whole(segnet):
    segnet("train", "--epochs", "1.5").is_a_mistake_in_one_line('unable to convert "1.5" into int')
    with pytest.raises(SegnetError, match=r"--epochs must be a whole number, got 1\.5"):
        TrainConfig(epochs=1.5)


def test_an_empty_name_is_not_the_whole_folder(segnet):
    segnet("predict", "").is_a_mistake_in_one_line("an image's name is empty")
    segnet("eval", "").is_a_mistake_in_one_line("the model's name is empty")
    segnet("resume", "").is_a_mistake_in_one_line("the run's name is empty")


def test_python_m_segnet_notes_its_command(here, monkeypatch):
    data = draw(here / "data", 8)
    options = ["--data", data, "--model", "segnet-lite", "--size", 32, "--epochs", 1, "--batch-size", 4]
    options += ["--model-options", json.dumps(TINY)]
    monkeypatch.setattr(sys, "argv", ["-m", "train", *map(str, options), "--out", "run"])
    with pytest.raises(SystemExit) as end:
        runpy.run_module("segnet", run_name="__main__", alter_sys=True)  # what python -m does
    assert not end.value.code
    noted = json.loads((here / "run" / "environment.json").read_text())["command"]
    assert noted.startswith("segnet train --data")


@pytest.mark.parametrize("given", [b"png", [1, 2], 3.5])
def test_what_is_no_image_is_said_by_its_kind(trained, given):
    segmenter = package.load(trained.folder, device="cpu")
    with pytest.raises(SegnetError, match=f"an image is a path, .* not a {type(given).__name__}"):
        segmenter.predict(given)


def test_help_shows_options_in_groups_with_every_recipes_value(segnet):
    shown = " ".join(segnet("train", "--help").out.split())
    for group in ("Data", "Model", "Recipe", "Loss", "Device", "Run"):
        assert f"─ {group} ─" in shown
    assert "article 20, vit 50; modern 60" in shown.replace("│ │ ", "")
