"""Every picture of the docs has a command, the commands are right, and ``docs/figures.py`` runs them."""

import re
import runpy
import shlex
import shutil
from pathlib import Path

import pytest

import segnet.cli.launch  # noqa: F401 - adds the commands
from segnet.cli.app import app

ROOT = Path(__file__).parents[2]
FIGURES = runpy.run_path(str(ROOT / "docs/figures.py"))
RUNS, PICTURES = FIGURES["read_table"]()


def test_every_picture_has_a_command_and_every_command_its_picture():
    images = ROOT / "docs/images"
    files = {str(file.relative_to(images)) for file in images.rglob("*") if file.is_file()}
    assert files == PICTURES.keys()


def test_every_run_is_used():
    used = {name for command in PICTURES.values() for name in FIGURES["fields"](command)}
    assert RUNS.keys() == used & RUNS.keys()


@pytest.mark.parametrize("command", [*RUNS.values(), *PICTURES.values()])
def test_a_command_of_the_table_is_one(command):
    words = shlex.split(re.sub(r"^small \d+ ", "", command.replace("{file}", "drawn.png")))
    if words[0] == "segnet":
        app.parse_args(words[1:], exit_on_error=False, print_error=False)
    else:
        assert words[0] in FIGURES["OUR_OWN"]


@pytest.fixture
def images(tmp_path, monkeypatch):
    """A folder for pictures other than that of the pages."""
    monkeypatch.setitem(FIGURES["main"].__globals__, "IMAGES", tmp_path)
    return tmp_path


def make(*words, monkeypatch):
    monkeypatch.setattr("sys.argv", ["figures.py", *words])
    FIGURES["main"]()


def test_a_picture_is_made_again_to_the_same_bytes(images, monkeypatch):
    make("pooling-benchmark.png", monkeypatch=monkeypatch)
    first = shutil.copy(images / "pooling-benchmark.png", images / "first.png")
    make("pooling-benchmark.png", monkeypatch=monkeypatch)
    assert (images / "pooling-benchmark.png").read_bytes() == Path(first).read_bytes()


def test_a_command_of_segnet_draws_where_the_table_says(images, monkeypatch):
    make("pooling.png", monkeypatch=monkeypatch)
    assert [file.name for file in images.iterdir()] == ["pooling.png"]


def test_what_needs_photographs_is_skipped_with_the_reason(images, monkeypatch, capsys):
    make("equal-budget.png", "still-learning.png", monkeypatch=monkeypatch)
    assert not [*images.iterdir()]
    said = capsys.readouterr().out.splitlines()
    assert [line.split(":")[0] for line in said] == ["equal-budget.png skipped", "still-learning.png skipped"]
    assert all("DATA_ROOT=" in line for line in said)
