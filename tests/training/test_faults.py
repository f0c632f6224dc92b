"""A few trials of the campaign that ``benchmarks/faults.py`` does by hundreds."""

import importlib.util
import sys
from pathlib import Path

import pytest

SCRIPT = Path(__file__).parents[2] / "benchmarks" / "faults.py"

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="forks, and mounts a tmpfs")


@pytest.fixture(scope="module")
def faults():
    spec = importlib.util.spec_from_file_location("faults", SCRIPT)
    module = sys.modules["faults"] = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture(scope="module")
def lab(faults, tmp_path_factory):
    return faults.prepare(tmp_path_factory.mktemp("lab"))


@pytest.mark.parametrize("kind", ["killed_in_a_save", "killed_in_the_cache", "terminated", "disk_full"])
def test_a_run_that_was_disturbed_goes_on_to_the_same_bytes(faults, lab, kind):
    disturb = getattr(faults, kind)
    if disturb in faults.MOUNTS and not faults.may_mount():
        pytest.skip("this user may mount nothing")
    row = faults.do(lab, disturb, 0)
    assert (row["equal"], row["notes"]) in (("yes", ""), ("yes", "had not begun")), row


def test_what_differs_is_told(faults, lab, tmp_path):
    """Otherwise no trial could fail."""
    import shutil

    copy = shutil.copytree(lab.whole, tmp_path / "run")
    assert faults.differences(lab, copy) == []
    steps = copy / "steps.jsonl"
    steps.write_text(steps.read_text() + steps.read_text().splitlines()[-1] + "\n")
    (copy / "learning.gif").unlink()
    assert faults.differences(lab, copy) == ["steps.jsonl", "a step is logged twice", "no learning.gif"]
