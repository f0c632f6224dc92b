"""What tests share: real data, caches of their own, threads that spin little, and the segnet command."""

import io
import os
import signal
import sys
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest

# One thread for each of several test processes: beside a busy core, two threads take up to ten times as long.
if "PYTEST_XDIST_WORKER" in os.environ:
    os.environ.setdefault("OMP_NUM_THREADS", "1")
# As the segnet command does; tests share their cores with each other. Must come before torch is imported.
os.environ.setdefault("GOMP_SPINCOUNT", "1000")
os.environ["HF_HUB_OFFLINE"] = "1"  # read when the package is imported; no test waits for a network

OXFORD_PETS = Path(__file__).parents[2] / "shared" / "oxford-pets"


@pytest.fixture(scope="session", autouse=True)
def _own_cache(tmp_path_factory):
    """Keep the user's cache out of the tests."""
    before = os.environ.get("SEGNET_CACHE")
    os.environ["SEGNET_CACHE"] = str(tmp_path_factory.mktemp("cache"))
    yield
    if before is None:
        del os.environ["SEGNET_CACHE"]
    else:
        os.environ["SEGNET_CACHE"] = before


@pytest.fixture(scope="session", autouse=True)
def _ctrl_c_reaches_children():
    """A shell's background job ignores SIGINT, and so would every process the tests start in one."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


@pytest.fixture(scope="session")
def oxford_pets():
    if not OXFORD_PETS.is_dir():
        pytest.skip(f"the part of Oxford-IIIT Pet isn't at {OXFORD_PETS.name} beside the checkout")
    return OXFORD_PETS


@dataclass(frozen=True)
class Ended:
    code: int
    out: str
    err: str

    def is_a_mistake_in_one_line(self, says):
        assert self.code == 2
        assert self.err.startswith("segnet: ")
        assert self.err.count("\n") == 1
        assert says in self.err


@pytest.fixture
def here(tmp_path, monkeypatch):
    """An empty folder that is the current one."""
    folder = tmp_path / "here"
    folder.mkdir()
    monkeypatch.chdir(folder)
    return folder


@pytest.fixture
def segnet(here, monkeypatch, capfd):
    """Run the command as a shell would and return how it ended."""
    from segnet.cli import main  # after the environment above is set

    def run(*arguments, stdin=b""):
        monkeypatch.setattr(sys, "argv", ["segnet", *map(str, arguments)])
        monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(stdin)))
        with pytest.raises(SystemExit) as end:
            main()
        out, err = capfd.readouterr()
        return Ended(end.value.code, out, err)

    return run


# What people look at in a run folder takes three times as long as the training of a tiny network. Modules
# whose tests look at none of it say ``pytestmark = pytest.mark.usefixtures("plain_runs")``, and one of their
# tests that does asks for ``whole_runs``.


class PlainRuns:
    """Stand-ins for what draws and counts, in place of it or not."""

    def __init__(self, stand_ins):
        self.originals = {(module, name): getattr(module, name) for module, name in stand_ins}
        self.stand_ins = stand_ins

    @contextmanager
    def done(self):
        """Inside, runs leave the same files, with next to nothing in them."""
        with pytest.MonkeyPatch.context() as patch:
            for (module, name), stand_in in self.stand_ins.items():
                patch.setattr(module, name, stand_in)
            yield self

    @contextmanager
    def undone(self):
        """Inside, they are drawn all the same."""
        with pytest.MonkeyPatch.context() as patch:
            for (module, name), original in self.originals.items():
                patch.setattr(module, name, original)
            yield


@pytest.fixture(scope="module")
def plain_runs():
    """Let trainings in this process draw and count nothing."""
    from PIL import Image

    from segnet.runs.run_folder import RunFolder
    from segnet.training import artifacts, loop

    stand_ins = {
        (artifacts, "count_macs"): lambda *_: 1,
        (artifacts, "draw_preview"): lambda *_, **__: Image.new("RGB", (1, 1)),
        (artifacts, "draw_mistakes"): lambda *_, **__: [],
        (artifacts, "write_learning_gif"): lambda _, target: target.touch(),
        (loop, "write_report"): lambda folder: RunFolder(folder).report.touch(),
    }
    with PlainRuns(stand_ins).done() as plain:
        yield plain


@pytest.fixture
def whole_runs(plain_runs):
    """Let them draw and count all the same."""
    with plain_runs.undone():
        yield
