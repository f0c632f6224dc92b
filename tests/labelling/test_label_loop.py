"""The loop with truth as the corrector: what is given out comes back as drawn, and all else is counted."""

import json
import shutil
import zipfile

import numpy as np
import pytest
from PIL import Image

import segnet as package
from segnet.labelling.project import open_project, read_project

from .corrector import correct, draw_photos, truth_of

TOOLS = ("labelme", "coco", "label-studio")


@pytest.fixture
def with_model(photos, segnet):
    """A project that begins with a model; 2 of 16 photos are set aside."""
    begun = segnet("label", "start", "photos", "--project", "labels", "--model", "pets-lite", "--scored", 2)
    assert begun.code == 0, begun.err
    return photos.parent / "labels"


def masks_of(project):
    return {file.stem: np.asarray(Image.open(file)) for file in (project / "masks").glob("*.png")}


def given_names(project, folder="next-001"):
    return {each.name for each in read_project(project).images if each.given == folder}


@pytest.mark.parametrize("tool", TOOLS)
def test_masks_come_back_through_a_tool_as_they_were_drawn(tool, project, here, segnet):
    given = segnet("label", "next", "labels", "--count", 9, "--format", tool)
    assert given.code == 0, given.err
    assert "4 images for scoring, chosen by chance and without outlines" in given.out
    assert "5 images to train on" in given.out
    export = correct(here, project / "next-001", tool)
    taken = segnet("label", "take", "labels", export, "--by", "Ada")
    assert taken.code == 0, taken.err
    assert "took 9 new masks, 4 of them for scoring" in taken.out
    found = masks_of(project)
    assert found.keys() == given_names(project)
    for name, mask in found.items():
        np.testing.assert_array_equal(mask, truth_of(here, name))
    labelled = [each for each in read_project(project).images if each.labelled]
    assert {each.by for each in labelled} == {"Ada"}
    assert len(labelled) == 9


def test_label_studio_gets_holes_as_brushes_and_a_configuration_that_names_both(with_model, here, segnet):
    segnet("label", "next", "labels", "--count", 8, "--format", "label-studio")
    folder = with_model / "next-001"
    tasks = json.loads((folder / "tasks.json").read_text())
    assert len(tasks) == 8
    assert sum("predictions" in task for task in tasks) == 6
    kinds = {
        result["type"] for task in tasks for part in task.get("predictions", ()) for result in part["result"]
    }
    assert kinds == {"polygonlabels", "brushlabels"}  # the border is a ring
    text = (folder / "label_config.xml").read_text()
    for each in ('<PolygonLabels name="polygon"', '<BrushLabels name="brush"', '<Label value="border"'):
        assert each in text
    assert 'value="background"' not in text


def untouched(folder, tool):
    """What a tool exports where nobody has touched a thing."""
    if tool == "labelme":
        return folder
    if tool == "coco":
        return folder / "annotations.json"
    tasks = json.loads((folder / "tasks.json").read_text())
    for number, task in enumerate(tasks, 1):
        predicted = task.pop("predictions", [])
        task |= {"id": number, "annotations": [{"result": each["result"]} for each in predicted]}
    (folder / "export.json").write_text(json.dumps(tasks))
    return folder / "export.json"


@pytest.mark.parametrize("tool", TOOLS)
def test_outlines_that_nobody_has_touched_are_no_masks_unless_somebody_says_so(tool, with_model, segnet):
    given = segnet("label", "next", "labels", "--count", 6, "--format", tool)
    assert "4 images to train on, picked by uncertainty+distance, 4 with outlines of pets-lite" in given.out
    export = untouched(with_model / "next-001", tool)
    refused = segnet("label", "take", "labels", export)
    assert refused.code == 2
    assert "no mask is taken: 4 as the model's outlines were" in refused.err
    assert masks_of(with_model) == {}
    taken = segnet("label", "take", "labels", export, "--accept-unchanged")
    assert "took 4 new masks, 0 of them for scoring" in taken.out
    assert "2 of the images given out with them didn't come back" in taken.out


def test_specks_and_holes_are_filled_with_what_is_around_them():
    from segnet.labelling.giving_out import without_specks

    mask = np.zeros((40, 50), np.uint8)
    mask[5:35, 5:30] = 1
    mask[20:30, 30:45] = 2
    expected = mask.copy()
    mask[10:12, 10:14] = 0  # a hole of 8 pixels
    mask[2, 40:45] = 2  # a speck of 5
    mask[25, 35:38] = 1
    mask[15:20, 20:24] = expected[15:20, 20:24] = 2  # of 20: it stays
    np.testing.assert_array_equal(without_specks(mask, 20), expected)
    np.testing.assert_array_equal(without_specks(mask, 10_000), mask)


def test_one_corrected_outline_among_untouched_ones_is_taken(with_model, here, segnet):
    segnet("label", "next", "labels", "--count", 5)
    name = sorted(each.stem for each in (with_model / "next-001").glob("*.json"))[1]
    truth = truth_of(here, name)
    shapes = {"labelme": correct(here, with_model / "next-001", "labelme", names=[name])}
    taken = segnet("label", "take", "labels", shapes["labelme"])
    assert taken.code == 0, taken.err
    assert "took 1 new mask," in taken.out
    assert "left out 2 as the model's outlines were" in taken.out
    # the project has the model's classes: pet, background, border
    np.testing.assert_array_equal(masks_of(with_model)[name], np.where(truth == 1, 0, 1))


def test_images_for_scoring_come_first_and_never_with_outlines(with_model, segnet):
    first = segnet("label", "next", "labels", "--count", 2)
    assert "2 images for scoring" in first.out
    assert "to train on" not in first.out
    assert [*(with_model / "next-001").glob("*.json")] == []
    scored = {each.name for each in read_project(with_model).images if each.scored}
    assert given_names(with_model) == scored


def test_what_is_given_out_is_not_given_again_until_asked(project, segnet):
    segnet("label", "next", "labels", "--count", 16)
    refused = segnet("label", "next", "labels")
    assert refused.code == 2
    assert "16 are given out and not yet taken; --again gives them out anew" in refused.err
    again = segnet("label", "next", "labels", "--count", 16, "--again")
    assert "wrote labels/next-002" in again.out


def test_features_are_computed_once_for_each_photo_and_anew_where_they_are_damaged(
    project, segnet, monkeypatch
):
    from segnet.labelling import giving_out

    def picks(number):
        given = segnet("label", "next", "labels", "--count", 8, "--again")
        assert given.code == 0, given.err
        return given_names(project, f"next-{number:03d}")

    first, (_, said) = picks(1), giving_out.open_features()
    with monkeypatch.context() as patch:
        patch.setattr(giving_out, "open_features", lambda: (None, said))  # which computes nothing
        assert picks(2) == first
    (project / "features.npz").write_bytes(b"damaged")
    assert picks(3) == first


@pytest.mark.parametrize("tool", TOOLS)
def test_a_folder_elsewhere_and_photos_in_folders_are_found_again(tool, photos, here, segnet):
    for place, file in enumerate(sorted(photos.iterdir())):
        target = photos / f"day{place % 2}" / f"{place // 2}.png"
        target.parent.mkdir(exist_ok=True)
        shutil.copy(here / "truth" / file.name, here / "truth" / f"day{place % 2}__{place // 2}.png")
        file.rename(target)
    segnet("label", "start", "photos", "--project", "labels", "--classes", "pet", "--scored", 4)
    segnet("label", "next", "labels", "--count", 9, "--format", tool, "--out", "desk")
    export = correct(here, here / "desk", tool)
    if tool == "coco":
        export = export.rename(here / "export.json")
    taken = segnet("label", "take", "labels", export)
    assert taken.code == 0, taken.err
    assert "took 9 new masks" in taken.out
    for name, mask in masks_of(here / "labels").items():
        np.testing.assert_array_equal(mask, truth_of(here, name))


def test_masks_whose_values_have_no_names_are_taken_by_their_ids_and_that_is_said(project, here, segnet):
    for kind, source in (("images", "photos"), ("masks", "truth")):
        shutil.copytree(here / source, here / "mine" / kind)
    taken = segnet("label", "take", "labels", "mine")
    assert "the masks' values have no names, so they were taken as background, pet in turn" in taken.out
    for name, mask in masks_of(project).items():
        np.testing.assert_array_equal(mask, truth_of(here, name))


def test_a_folder_with_a_few_masks_is_begun_with_its_images_and_the_masks_taken(photos, here, segnet):
    photos.rename(here / "images")
    (here / "mine/masks").mkdir(parents=True)
    (here / "images").rename(here / "mine/images")
    for file in sorted((here / "truth").iterdir())[:5]:
        shutil.copy(file, here / "mine/masks")
    (here / "mine/dataset.yaml").write_text("classes: [background, pet]")
    wrong = segnet("label", "start", "mine", "--project", "labels")
    wrong.is_a_mistake_in_one_line("segnet label take labels mine --skip")
    segnet("label", "start", "mine/images", "--project", "labels")
    taken = segnet("label", "take", "labels", "mine", "--skip")
    assert taken.code == 1
    assert "took 5 new masks" in taken.out
    assert len(masks_of(here / "labels")) == 5


def test_an_export_of_another_project_is_refused(project, here, segnet):
    segnet("label", "next", "labels", "--count", 6)
    draw_photos(here / "other", 6, seed=9)
    segnet("label", "start", "other/photos", "--project", "others", "--classes", "pet")
    segnet("label", "next", "others", "--count", 4)
    export = correct(here / "other", here / "others/next-001", "labelme")
    refused = segnet("label", "take", "labels", export)
    assert refused.code == 2
    assert "belongs to another project" in refused.err or "aren't of this project" in refused.err
    assert masks_of(project) == {}


def test_images_of_another_project_among_ours_are_counted(project, here, segnet):
    segnet("label", "next", "labels", "--count", 6)
    export = correct(here, project / "next-001", "labelme")
    draw_photos(here / "other", 2, seed=9)
    for file in (here / "other/photos").iterdir():
        shutil.copy(file, export)
    shutil.copytree(here / "other/truth", here / "truth", dirs_exist_ok=True)
    correct(here, export, "labelme")
    taken = segnet("label", "take", "labels", export)
    assert taken.code == 0, taken.err
    assert "left out 2 of images that aren't of this project, or were saved anew: synthetic-9-" in taken.out
    assert "took 6 new masks" in taken.out


def test_masks_of_background_alone_are_taken_and_said(project, here, segnet):
    segnet("label", "next", "labels", "--count", 6)
    name = min(given_names(project))
    Image.fromarray(np.zeros_like(truth_of(here, name))).save(here / "truth" / f"{name}.png")
    export = correct(here, project / "next-001", "labelme")
    taken = segnet("label", "take", "labels", export)
    assert f"1 mask of background alone: {name}.png" in taken.out
    assert not masks_of(project)[name].any()


def test_a_coco_file_without_shapes_for_an_image_does_not_make_it_background(project, here, segnet):
    segnet("label", "next", "labels", "--count", 6)
    export = correct(here, project / "next-001", "coco")
    content = json.loads(export.read_text())
    content["info"] = {}
    first = content["images"][0]
    content["annotations"] = [each for each in content["annotations"] if each["image_id"] != first["id"]]
    export.write_text(json.dumps(content))
    taken = segnet("label", "take", "labels", export)
    assert "took 5 new masks" in taken.out
    assert f"left out 1 of the images given out with them didn't come back: {first['file_name']}" in taken.out


def test_an_unknown_class_is_refused_until_it_is_named(project, here, segnet):
    segnet("label", "next", "labels", "--count", 6)
    export = correct(here, project / "next-001", "labelme", classes=("background", "otter"))
    refused = segnet("label", "take", "labels", export)
    assert refused.code == 2
    assert "otter" in refused.err
    assert "--classes" in refused.err
    wrong = segnet("label", "take", "labels", export, "--classes", "otter,background,pet")
    wrong.is_a_mistake_in_one_line("--classes must begin with those that there are: background,pet")
    taken = segnet("label", "take", "labels", export, "--classes", "background,pet,otter")
    assert taken.code == 0, taken.err
    assert read_project(project).classes == ["background", "pet", "otter"]
    name, mask = next(iter(masks_of(project).items()))
    np.testing.assert_array_equal(mask, 2 * truth_of(here, name))


def test_a_damaged_file_is_refused_and_with_skip_left_out(project, here, segnet):
    segnet("label", "next", "labels", "--count", 6)
    export = correct(here, project / "next-001", "labelme")
    file = sorted(export.glob("*.json"))[0]
    file.write_text(file.read_text()[:50])
    refused = segnet("label", "take", "labels", export)
    assert refused.code == 2
    assert file.name in refused.err
    assert masks_of(project) == {}
    taken = segnet("label", "take", "labels", export, "--skip")
    assert taken.code == 1
    assert "took 5 new masks" in taken.out


def test_masks_that_are_there_already_are_taken_from_a_folder_or_an_archive(photos, here, segnet):
    segnet("label", "start", "photos", "--project", "labels", "--scored", 4)
    for kind, source in (("images", "photos"), ("masks", "truth")):
        (here / "few" / kind).mkdir(parents=True)
        for file in sorted((here / source).iterdir())[:7]:
            shutil.copy(file, here / "few" / kind)
    (here / "few/dataset.yaml").write_text("classes: [background, pet]")
    taken = segnet("label", "take", "labels", "few")
    assert taken.code == 0, taken.err
    assert "took 7 new masks" in taken.out
    assert read_project(here / "labels").classes == ["background", "pet"]
    with zipfile.ZipFile("few.zip", "w") as archive:
        for file in (here / "few").rglob("*.*"):
            archive.write(file, file.relative_to(here / "few"))
    again = segnet("label", "take", "labels", "few.zip")
    assert "replaced 7" in again.out
    for name, mask in masks_of(here / "labels").items():
        np.testing.assert_array_equal(mask, truth_of(here, name))


BAD = {
    "no images": (["next", "labels", "--count", "0"], "--count must be 1 or more, got 0"),
    "a folder that is there": (["next", "labels", "--out", "truth"], "name a new folder"),
    "no masks": (["train", "labels"], "0 photos to train on have masks, and it takes 2"),
    "no export": (["take", "labels", "nowhere.json"], "nowhere.json does not exist"),
    "no labels": (["take", "labels", "empty"], "empty holds no labels that are known"),
}


@pytest.mark.parametrize("case", BAD)
def test_a_mistake_is_one_line_and_changes_nothing(case, project, here, segnet):
    (here / "empty").mkdir()
    before = (project / "project.json").read_text()
    arguments, says = BAD[case]
    segnet("label", *arguments).is_a_mistake_in_one_line(says)
    assert (project / "project.json").read_text() == before


# Training


SMALL = ("--model", "segnet-nano", "--epochs", 1, "--size", 32)


@pytest.fixture
def labelled(project, here, segnet):
    """The project with 4 masks for scoring and 5 to train on."""
    segnet("label", "next", "labels", "--count", 9)
    taken = segnet("label", "take", "labels", correct(here, project / "next-001", "labelme"))
    assert taken.code == 0, taken.err
    return project


@pytest.mark.usefixtures("plain_runs")
def test_a_training_is_scored_on_what_was_set_aside_and_every_other_with_it(labelled, here, segnet):
    first = segnet("label", "train", "labels", *SMALL)
    assert first.code == 0, first.err
    assert "a second training with more will say what they bring" in first.out
    segnet("label", "next", "labels", "--count", 3)
    segnet("label", "take", "labels", correct(here, labelled / "next-002", "labelme"))
    second = segnet("label", "train", "labels", *SMALL)
    assert "from 5 to 8 masks brought" in second.out
    assert "what more would bring is said from 3 numbers of masks on; this is 2" in second.out
    opened = read_project(labelled)
    assert [(each.run, each.masks, each.scored_on) for each in opened.rounds] == [
        ("runs/001", 5, 4),
        ("runs/002", 8, 4),
    ]
    dataset = package.load_dataset(package.DataOptions(data="labels/data"))
    scored = {each.name for each in opened.images if each.scored}
    assert {sample.name for sample in dataset.test} == scored
    for each in opened.rounds:
        segmenter = package.load(labelled / each.run / "last.safetensors")
        scores = package.evaluate(segmenter, dataset, split="test")  # refuses images that it was trained on
        assert each.mean_iou == scores.mean_iou
    screen = segnet("label", "status", "labels")
    for line in (
        "to train on: 8 of 12 photos have a mask",
        "for scoring: 4 of 4 photos have a mask",
        "model    runs/002/last.safetensors",
        *opened.said,
    ):
        assert line in screen.out
    third = segnet("label", "next", "labels", "--count", 2)
    assert "2 with outlines of runs/002/last.safetensors" in third.out


@pytest.mark.usefixtures("plain_runs")
def test_the_last_epoch_is_kept_whichever_was_best(labelled, segnet):
    import torch

    segnet("label", "train", "labels", "--model", "segnet-nano", "--epochs", 3, "--size", 32)
    state = torch.load(labelled / "runs/001/last/state.pt", weights_only=True)
    kept = package.load(labelled / "runs/001/last.safetensors").model.state_dict()
    average = state["parts"]["ema"]["module"]
    assert kept.keys() == average.keys()
    assert all(torch.equal(kept[name], average[name]) for name in kept)


@pytest.mark.usefixtures("plain_runs")
def test_a_training_goes_on_from_the_last_and_learns_from_photos_without_masks_but_those_set_aside(
    labelled, segnet
):
    refused = segnet("label", "train", "labels", *SMALL, "--start-from", "last")
    refused.is_a_mistake_in_one_line("--start-from last: the project has no training yet")
    segnet("label", "train", "labels", *SMALL)
    trained = segnet("label", "train", "labels", *SMALL, "--start-from", "last", "--unlabeled")
    assert trained.code == 0, trained.err
    assert "segnet-nano from labels/runs/001/last.safetensors" in trained.out
    assert "5 more are validated or tested on, so they are left out" in trained.out  # 4 set aside, 1 held out


@pytest.mark.usefixtures("plain_runs")
def test_photos_that_were_changed_are_left_out_of_training_and_said(labelled, photos, segnet):
    opened = read_project(labelled)
    changed = next(each for each in opened.images if each.labelled and not each.scored)
    Image.new("RGB", (60, 60)).save(photos / changed.file)
    trained = segnet("label", "train", "labels", *SMALL)
    assert (
        f"left out 1 photos that are gone, changed, or without their mask's file: {changed.file}"
        in trained.out
    )
    assert read_project(labelled).rounds[0].masks == 4


@pytest.mark.usefixtures("plain_runs")
def test_a_training_that_was_cut_off_leaves_a_project_that_trains(labelled, segnet, monkeypatch):
    from segnet.labelling import rounds

    before = (labelled / "project.json").read_text()
    with monkeypatch.context() as patch:
        patch.setattr(rounds, "keep_last", lambda run: (_ for _ in ()).throw(KeyboardInterrupt))
        with pytest.raises(KeyboardInterrupt), open_project(labelled) as opened:
            rounds.train_round(opened, rounds.Plan("segnet-nano", epochs=1, size=32), print)
    assert (labelled / "project.json").read_text() == before
    assert (labelled / "runs/001").is_dir()
    again = segnet("label", "train", "labels", *SMALL)
    assert again.code == 0, again.err
    assert [each.run for each in read_project(labelled).rounds] == ["runs/002"]  # the other one stays


def test_without_masks_for_scoring_nothing_is_trained(project, here, segnet):
    segnet("label", "next", "labels", "--count", 9)
    scored = {each.name for each in read_project(project).images if each.scored}
    export = correct(here, project / "next-001", "labelme", names=given_names(project) - scored)
    segnet("label", "take", "labels", export)
    refused = segnet("label", "train", "labels", *SMALL)
    refused.is_a_mistake_in_one_line("no photo set aside for scoring has a mask")
