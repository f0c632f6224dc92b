"""A few trials of the campaign that ``benchmarks/faults.py`` does by hundreds."""

import csv
import importlib.util
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

SCRIPT = Path(__file__).parents[2] / "benchmarks" / "faults.py"
KINDS = ["killed in a save", "killed in the cache"]
MORE_KINDS = ["terminated", "disk full", "read only"]

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="forks, and does to disks what Linux can")


@pytest.fixture(scope="module")
def faults():
    spec = importlib.util.spec_from_file_location("faults", SCRIPT)
    module = sys.modules["faults"] = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    return tmp_path_factory.mktemp("campaign")


def tried(place, kinds):
    """What the script says of a trial of each kind: in a process of its own, since it forks."""
    file = place.with_name(f"{place.name}.csv")
    command = [sys.executable, SCRIPT, "--csv", file, "--place", place, "--kills", "6", "--others", "1"]
    environment = {name: value for name, value in os.environ.items() if name != "OMP_NUM_THREADS"}
    done = subprocess.run([*command, "--only", *kinds], env=environment, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    with file.open(newline="") as table:
        return {row["kind"]: row for row in csv.DictReader(table)}


@pytest.fixture(scope="module")
def rows(place):
    return tried(place, KINDS)


@pytest.fixture(scope="module")
def more_rows(tmp_path_factory):
    return tried(tmp_path_factory.mktemp("more"), MORE_KINDS)


def assert_equal_bytes(rows, kind):
    if kind not in rows:
        pytest.skip("this user may not, or this file system can't")
    assert (rows[kind]["equal"], rows[kind]["notes"]) in (("yes", ""), ("yes", "had not begun")), rows[kind]


@pytest.mark.parametrize("kind", KINDS)
def test_a_run_that_was_killed_goes_on_to_the_same_bytes(rows, kind):
    assert_equal_bytes(rows, kind)


@pytest.mark.campaign
@pytest.mark.parametrize("kind", MORE_KINDS)
def test_a_run_that_was_disturbed_goes_on_to_the_same_bytes(more_rows, kind):
    assert_equal_bytes(more_rows, kind)


def test_what_differs_is_told(faults, rows, place, tmp_path):
    """Otherwise no trial could fail."""
    lab = faults.Lab(place, place / "data", place / "whole/disk/run")
    copy = shutil.copytree(lab.whole, tmp_path / "run")
    assert faults.differences(lab, copy) == []
    steps = copy / "steps.jsonl"
    steps.write_text(steps.read_text() + steps.read_text().splitlines()[-1] + "\n")
    (copy / "learning.gif").unlink()
    assert faults.differences(lab, copy) == ["steps.jsonl", "a step is logged twice", "no learning.gif"]
