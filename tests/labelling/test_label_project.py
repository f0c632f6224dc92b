"""A project knows its photos by their content, never writes to them, and says what it leaves out."""

import hashlib
import json
import multiprocessing
import shutil
from pathlib import Path

import pytest
from PIL import Image

from segnet.base.errors import SegnetError
from segnet.labelling.project import open_project, read_project, start_project


def contents(folder):
    return {
        str(file.relative_to(folder)): (file.stat().st_mtime_ns, hashlib.sha256(file.read_bytes()).digest())
        for file in folder.rglob("*")
        if file.is_file()
    }


def test_a_start_sets_photos_aside_by_their_content_and_writes_nothing_to_them(photos):
    before = contents(photos)
    project, lines = start_project(photos, Path("labels"), classes=["pet"], scored=4)
    assert contents(photos) == before
    assert lines == []
    assert project.classes == ["background", "pet"]
    order = {hashlib.sha256(each.sha256.encode()).digest(): each.sha256 for each in project.images}
    aside = {each.sha256 for each in project.images if each.scored}
    assert aside == {order[place] for place in sorted(order)[:4]}
    for each in project.images:
        assert each.sha256 == hashlib.sha256((photos / each.file).read_bytes()).hexdigest()


def test_what_is_read_is_what_was_written(photos):
    project, _ = start_project(photos, Path("labels"), classes=["a", "Bg"], scored=2)
    project.images[0].by = 'Zoë "Z"'
    project.said = ["a sentence"]
    project.save()
    again = read_project(Path("labels"))
    assert (again.images, again.classes, again.said) == (project.images, ["a", "Bg"], ["a sentence"])
    assert again.photos.resolve() == photos.resolve()


def test_a_project_and_its_photos_move_together(photos, here):
    start_project(photos, Path("labels"))
    (here / "elsewhere").mkdir()
    for name in ("photos", "labels"):
        (here / name).rename(here / "elsewhere" / name)
    assert read_project(here / "elsewhere/labels").photos.resolve() == here / "elsewhere/photos"


@pytest.mark.parametrize(("count", "aside"), [(4, 2), (12, 6), (16, 8)])
def test_never_more_than_half_is_set_aside(photos, count, aside):
    for file in sorted(photos.iterdir())[count:]:
        file.unlink()
    project, _ = start_project(photos, Path("labels"))
    assert sum(each.scored for each in project.images) == aside


def test_what_cannot_be_labelled_is_left_out_and_said(photos):
    files = sorted(photos.iterdir())
    (photos / "copy.png").write_bytes(files[0].read_bytes())
    (photos / "cut.png").write_bytes(files[1].read_bytes()[:20])
    frames = [Image.new("RGB", (40, 40), colour) for colour in ("red", "blue")]
    frames[0].save(photos / "pages.tif", save_all=True, append_images=frames[1:])
    (photos / "notes.txt").write_text("none")
    project, lines = start_project(photos, Path("labels"))
    assert len(project.images) == 16
    said = "\n".join(lines)
    assert len(lines) == 4
    for each in ("cut.png", "pages.tif holds 2 pages", "is a copy of another", "1 .txt"):
        assert each in said


def test_photos_of_one_name_in_several_folders_keep_apart(photos):
    for place, file in enumerate(sorted(photos.iterdir())):
        target = photos / f"day{place // 8}" / f"{place % 8}.png"
        target.parent.mkdir(exist_ok=True)
        file.rename(target)
    project, _ = start_project(photos, Path("labels"))
    assert {each.name for each in project.images} == {f"day{d}__{n}" for d in range(2) for n in range(8)}


def test_photos_that_come_later_are_trained_on_and_move_no_other(project, photos, segnet):
    aside = {each.file for each in read_project(project).images if each.scored}
    Image.new("RGB", (60, 60), "green").save(photos / "new.png")
    sorted(photos.iterdir())[3].rename(photos.parent / "gone.png")
    given = segnet("label", "next", "labels", "--count", 1)
    assert "1 new photo since the start, to train on" in given.out
    assert "1 photo no longer there" in given.out
    after = read_project(project)
    assert {each.file for each in after.images if each.scored} == aside
    assert [each.scored for each in after.images if each.file == "new.png"] == [False]


def test_a_photo_that_was_renamed_is_the_same_photo(project, photos):
    before = {each.sha256: each.scored for each in read_project(project).images}
    first = sorted(photos.iterdir())[0]
    (photos / "2026").mkdir()
    first.rename(photos / "2026/renamed.png")
    with open_project(project) as opened:
        assert opened.add_new_photos() == []
    assert {each.sha256: each.scored for each in opened.images} == before
    assert [each.name for each in opened.images if each.file == "2026/renamed.png"] == [first.stem]


STARTS = {
    "no folder": (["nowhere", "--project", "labels"], "nowhere is no folder; give the folder of your photos"),
    "inside the photos": (["photos", "--project", "photos/labels"], "put the project beside it"),
    "not new": (["photos", "--project", "truth"], "name a new folder"),
    "all set aside": (["photos", "--project", "l", "--scored", "15"], "1 to 14, not 15"),
    "none set aside": (["photos", "--project", "l", "--scored", "0"], "1 to 14, not 0"),
    "an empty class": (["photos", "--project", "l", "--classes", "a,,b"], "has an empty name"),
    "no such model": (["photos", "--project", "l", "--model", "pets-late"], "did you mean 'pets-lite'"),
    "a model of other classes": (
        ["photos", "--project", "l", "--model", "pets-lite", "--classes", "pet"],
        "pets-lite finds border, which isn't among the classes pet",
    ),
    "masks": (["mine", "--project", "l"], "mine holds masks (mine/masks/"),
    "few photos": (["few", "--project", "l"], "few holds 2 photos that can be read; a project needs 4"),
}


@pytest.mark.parametrize("case", STARTS)
def test_a_start_that_cannot_be_made_is_one_line_and_leaves_nothing(case, photos, segnet):
    (photos.parent / "few").mkdir()
    for file in sorted(photos.iterdir())[:2]:
        (photos.parent / "few" / file.name).write_bytes(file.read_bytes())
    for part in ("images", "masks"):
        shutil.copytree(photos, photos.parent / "mine" / part)
    arguments, says = STARTS[case]
    segnet("label", "start", *arguments).is_a_mistake_in_one_line(says)
    assert not (photos.parent / "l").exists()
    assert not (photos.parent / "labels").exists()


@pytest.mark.parametrize("command", ["next", "train", "status", "take"])
def test_a_folder_that_is_no_project_is_said(command, photos, segnet):
    arguments = ["truth"] if command == "take" else []
    segnet("label", command, "photos", *arguments).is_a_mistake_in_one_line("photos is no label project")
    assert not (photos / ".lock").exists()


DAMAGES = {
    "cut": (lambda text: text[: len(text) // 2], "can't be read"),
    "newer": (lambda text: text.replace('project": 1', 'project": 2'), "a newer segnet has written it"),
    "no images": (lambda text: json.dumps({"segnet_label_project": 1}), "can't be read"),
    "photos elsewhere": (lambda text: text.replace("../photos", "../photographs"), "aren't at"),
}


@pytest.mark.parametrize("damage", DAMAGES)
def test_a_damaged_project_is_one_line_and_stays_as_it_is(damage, project, segnet):
    change, says = DAMAGES[damage]
    file = project / "project.json"
    file.write_text(change(file.read_text()))
    before = file.read_text()
    segnet("label", "next", "labels").is_a_mistake_in_one_line(says)
    assert file.read_text() == before


def test_entries_of_a_newer_version_are_passed_over(project):
    file = project / "project.json"
    file.write_text(file.read_text().replace('"scored": true', '"scored": true, "mood": "blue"'))
    assert sum(each.scored for each in read_project(project).images) == 4


def test_a_save_that_is_cut_off_leaves_the_project_as_it_was(project, monkeypatch):
    before = (project / "project.json").read_text()
    with open_project(project) as opened:
        opened.images[0].by = "me"
        monkeypatch.setattr(Path, "replace", lambda *_: (_ for _ in ()).throw(KeyboardInterrupt))
        with pytest.raises(KeyboardInterrupt):
            opened.save()
    assert (project / "project.json").read_text() == before
    assert read_project(project).images[0].by == ""


def hold(folder, held, done):
    with open_project(folder):
        held.set()
        done.wait(60)


def test_two_commands_at_once_do_not_write_one_project(project):
    context = multiprocessing.get_context("spawn")
    held, done = context.Event(), context.Event()
    other = context.Process(target=hold, args=(project, held, done))
    other.start()
    try:
        assert held.wait(60)
        with pytest.raises(SegnetError, match="another process is still at work"), open_project(project):
            pass
        read_project(project)  # status only reads
    finally:
        done.set()
        other.join()
