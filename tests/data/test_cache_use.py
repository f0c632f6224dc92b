"""Which caches stay and which go: none that is in use, then those that were used least recently."""

from __future__ import annotations

import os
import subprocess
import sys

import numpy as np
import pytest

from segnet.base.errors import SegnetError
from segnet.data.pets import PET_CLASSES
from segnet.data.store.cache_use import is_in_use, kept_caches, parse_size, pixel_folder, remove
from segnet.data.store.fit_to_size import Fit
from segnet.data.store.open_split import open_pixels
from segnet.data.synthetic import SyntheticSample

SAMPLES = [SyntheticSample(0, index) for index in range(5)]

SIDES = (16, 24, 32)

HOLDER = """
import sys
from pathlib import Path
from segnet.data.store.cache_use import hold
let_go = hold(Path(sys.argv[1]))
print("held", flush=True)
sys.stdin.read()
"""


@pytest.fixture(autouse=True)
def _own_cache(tmp_path, monkeypatch):
    monkeypatch.setenv("SEGNET_CACHE", str(tmp_path / "cache"))
    monkeypatch.delenv("SEGNET_CACHE_LIMIT", raising=False)


def build(side):
    return open_pixels(SAMPLES, PET_CLASSES, Fit((side, side), "area"), data="drawn")


def sides():
    """The caches that are there, the one used last first."""
    return [int(cache.what.split()[3].partition("x")[0]) for cache in kept_caches(pixel_folder())]


def age(seconds):
    """Let all caches have been used so much earlier."""
    for cache in kept_caches(pixel_folder()):
        os.utime(cache.path, (cache.used - seconds,) * 2)


@pytest.mark.parametrize(
    ("text", "size"),
    [("20GB", 20 * 10**9), ("1.5 GiB", 3 * 2**29), ("500m", 5 * 10**8), ("7", 7), (" 2 tb ", 2 * 10**12)],
)
def test_sizes_are_read_as_people_write_them(text, size):
    assert parse_size(text) == size


@pytest.mark.parametrize("text", ["many", "-1GB", "1 PB", "1,5GB", ""])
def test_what_is_no_size_is_refused_with_one_that_is(text):
    with pytest.raises(SegnetError, match="is no size; give one such as 20GB"):
        parse_size(text)


def test_a_cache_is_in_use_as_long_as_its_split_is():
    split = build(16)
    [cache] = kept_caches(pixel_folder())
    assert (cache.what, cache.data) == ("5 images of 16x16 px", "drawn")
    assert is_in_use(cache.path)
    assert not remove(cache.path)
    assert np.array_equal(split.masks, build(16).masks)
    del split
    assert not is_in_use(cache.path)
    assert remove(cache.path)
    assert [*pixel_folder().iterdir()] == []


def test_a_cache_that_another_process_has_open_stays_until_it_is_killed():
    build(16)
    [cache] = kept_caches(pixel_folder())
    with subprocess.Popen(
        [sys.executable, "-c", HOLDER, cache.path], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    ) as holder:
        assert holder.stdout is not None
        assert holder.stdout.readline() == b"held\n"
        assert not remove(cache.path)
        holder.kill()
    assert remove(cache.path)


def test_beyond_the_limit_those_used_least_recently_go_when_another_is_built(monkeypatch):
    for side in SIDES:
        age(100)
        build(side)
    age(100)
    build(16)  # is only opened, and so used last
    assert sides() == [16, 32, 24]
    monkeypatch.setenv("SEGNET_CACHE_LIMIT", "63kB")
    build(40)  # takes 43 kB
    assert sides() == [40, 16]


def test_none_in_use_goes_nor_the_new_one_though_all_are_beyond_the_limit(monkeypatch):
    used = build(16)
    age(100)
    build(24)
    monkeypatch.setenv("SEGNET_CACHE_LIMIT", "1")
    build(32)
    assert sides() == [32, 16]
    assert used.images.shape == (5, 16, 16, 3)


def test_a_wrong_limit_is_said_before_anything_is_built(monkeypatch):
    monkeypatch.setenv("SEGNET_CACHE_LIMIT", "much")
    with pytest.raises(SegnetError, match="SEGNET_CACHE_LIMIT=much is no size"):
        build(16)
    assert kept_caches(pixel_folder()) == []


# The command


def test_the_list_says_what_of_which_data_and_how_large(segnet):
    split = build(16)
    build(24)
    ended = segnet("cache", "list")
    assert ended.code == 0
    row = next(line for line in ended.out.splitlines() if "16x16" in line)
    assert "5 images of 16x16 px" in row
    assert "drawn" in row
    assert "in use" in row
    assert "in use" not in next(line for line in ended.out.splitlines() if "24x24" in line)
    assert "no limit is set" in ended.out
    del split


def test_an_empty_list_says_so_and_a_wrong_name_what_there_is(segnet):
    assert segnet("cache", "list").out.startswith("0 B in ")
    segnet("cache", "clear", "abc").is_a_mistake_in_one_line("'abc' is none of what is kept; nothing is")
    segnet("cache", "clear").is_a_mistake_in_one_line(
        "takes names, as segnet cache list prints them, or --all"
    )
    segnet("cache", "clear", "abc", "--all").is_a_mistake_in_one_line("or --all")


def test_clear_removes_what_is_named_or_all_but_what_is_in_use_and_downloads(segnet, tmp_path):
    split = build(16)
    build(24)
    build(32)
    (tmp_path / "cache" / "oxford-iiit-pet").mkdir()
    (tmp_path / "cache" / "not ours").write_text("stays")
    one = next(cache for cache in kept_caches(pixel_folder()) if "24x24" in cache.what)
    assert segnet("cache", "clear", one.name[:8]).out.startswith("freed ")
    assert sorted(sides()) == [16, 32]
    assert segnet("cache", "clear", "--all").out.endswith("; 1 in use, which stays\n")
    assert sides() == [16]
    segnet("cache", "clear", "not ours").is_a_mistake_in_one_line("'not ours' is none of what is kept")
    segnet("cache", "clear", "oxford-iiit-pet")
    left = {path.name for path in (tmp_path / "cache").iterdir()}
    assert "not ours" in left
    assert "oxford-iiit-pet" not in left
    del split
