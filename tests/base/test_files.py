"""Files are whole or not there, whatever goes wrong while they are written."""

import os
import stat
from pathlib import Path

import pytest

from segnet import SegnetError
from segnet.base.files import cache_folder, expand_home, replacing, write_text


def names(folder):
    return sorted(path.name for path in folder.iterdir())


def test_a_file_is_written_with_the_folders_it_needs_and_nothing_else(tmp_path):
    write_text(tmp_path / "a" / "b" / "note.txt", "é\n")
    assert (tmp_path / "a" / "b" / "note.txt").read_text(encoding="utf-8") == "é\n"
    assert names(tmp_path / "a" / "b") == ["note.txt"]


def test_an_error_while_writing_keeps_the_old_file_and_leaves_no_other(tmp_path):
    target = tmp_path / "model.bin"
    target.write_text("old")
    with pytest.raises(UnicodeEncodeError), replacing(target) as temporary:
        temporary.write_text("half of the new, then \ud800", encoding="utf-8")
    assert target.read_text() == "old"
    assert names(tmp_path) == ["model.bin"]


def test_until_it_is_whole_the_old_file_is_what_others_read(tmp_path):
    target = tmp_path / "model.bin"
    target.write_text("old")
    with replacing(target) as temporary:
        temporary.write_text("new")
        assert target.read_text() == "old"
    assert target.read_text() == "new"


def test_the_temporary_file_keeps_the_suffix_and_is_hidden(tmp_path):
    with replacing(tmp_path / "cat.mask.png") as temporary:
        assert temporary.suffix == ".png"
        assert temporary.name.startswith(".")
        assert temporary.parent == tmp_path


def test_a_name_as_long_as_the_file_system_allows_can_be_written(tmp_path):
    target = tmp_path / ("x" * 251 + ".txt")
    write_text(target, "text")
    assert target.read_text() == "text"


@pytest.mark.skipif(os.name != "posix", reason="permission bits are POSIX's")
def test_a_new_file_has_the_permissions_of_any_other(tmp_path):
    before = os.umask(0o027)
    try:
        write_text(tmp_path / "note.txt", "text")
    finally:
        os.umask(before)
    assert stat.S_IMODE((tmp_path / "note.txt").stat().st_mode) == 0o640


@pytest.mark.parametrize("target", ["file/note.txt", "file/deeper/note.txt"])
def test_a_file_where_a_folder_is_needed_is_said_with_the_target(tmp_path, target):
    (tmp_path / "file").write_text("")
    with pytest.raises(
        SegnetError, match=r"can't write .*note\.txt: a file stands where its folder should be"
    ):
        write_text(tmp_path / target, "text")
    assert names(tmp_path) == ["file"]


def test_a_folder_is_never_replaced_by_a_file(tmp_path):
    (tmp_path / "out" / "inside").mkdir(parents=True)
    with pytest.raises(SegnetError, match=r"can't write .*out: Is a directory"):
        write_text(tmp_path / "out", "text")
    assert names(tmp_path) == ["out"]
    assert names(tmp_path / "out") == ["inside"]


def test_a_full_disk_is_said_and_leaves_the_old_file(tmp_path):
    resource = pytest.importorskip("resource", reason="file size limits are POSIX's")
    target = tmp_path / "note.txt"
    write_text(target, "old")
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (10_000, hard))
    try:
        with pytest.raises(SegnetError, match=r"can't write .*note\.txt: File too large"):
            write_text(target, "x" * 100_000)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert target.read_text() == "old"
    assert names(tmp_path) == ["note.txt"]


def test_a_tilde_is_the_home_folder_and_an_unknown_user_stays_a_name(monkeypatch, tmp_path):
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("USERPROFILE", str(tmp_path))
    assert expand_home("~/photos") == tmp_path / "photos"
    assert expand_home("~no-such-user/photos") == Path("~no-such-user/photos")


def test_the_cache_folder_is_the_platforms_unless_chosen(monkeypatch, tmp_path):
    monkeypatch.setenv("SEGNET_CACHE", str(tmp_path))
    assert cache_folder() == tmp_path
    monkeypatch.setenv("SEGNET_CACHE", "~/here")
    assert cache_folder() == Path.home() / "here"
    monkeypatch.setenv("SEGNET_CACHE", "")
    assert cache_folder().name == "segnet"
