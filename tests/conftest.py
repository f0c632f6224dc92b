"""What tests share: real data, caches of their own, threads that spin little, and the segnet command."""

import ctypes
import gc
import io
import os
import signal
import sys
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

import pytest

# One thread for each of several test processes: beside a busy core, two threads take up to ten times as long.
if "PYTEST_XDIST_WORKER" in os.environ:
    os.environ.setdefault("OMP_NUM_THREADS", "1")
# As the segnet command does; tests share their cores with each other. Must come before torch is imported.
os.environ.setdefault("GOMP_SPINCOUNT", "1000")
os.environ["HF_HUB_OFFLINE"] = "1"  # read when the package is imported; no test waits for a network

ALL_TESTS = pytest.StashKey[list[pytest.Item]]()
"""What was collected, before options such as ``-m`` leave some out."""

OXFORD_PETS = Path(__file__).parents[2] / "shared" / "oxford-pets"


def pytest_collection():
    """Search no garbage while all libraries and tests come in, which stay: that took seconds."""
    gc.disable()


def pytest_collection_finish():
    """From here on none is searched among them."""
    gc.freeze()
    gc.enable()


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(config, items):
    config.stash[ALL_TESTS] = [*items]
    # a process runs all tests of a file: the one that takes minutes begins first, not alone at the end
    items.sort(key=lambda item: item.path.name != "test_web.py")


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


@pytest.fixture(autouse=True)
def _freed_memory_is_given_back():
    """Training tells glibc to keep it; a process of tests would hold what its largest networks took."""
    yield
    if "torch" in sys.modules and sys.platform == "linux":
        with suppress(OSError, AttributeError):  # another C library
            ctypes.CDLL("libc.so.6").malloc_trim(0)


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


@pytest.fixture(scope="module")
def plain_runs():
    """Let trainings in this process draw and count nothing."""
    from .plain import plain  # torch comes with it

    with plain():
        yield


@pytest.fixture
def whole_runs(plain_runs):
    """Let them draw and count all the same."""
    from .plain import whole

    with whole():
        yield


@pytest.fixture(scope="session")
def forker(tmp_path_factory):
    """What the ``segnet`` command is forked from, in a process that has imported all that it takes."""
    if not hasattr(os, "fork"):
        pytest.skip("this system forks no processes")
    from .forked import Forker

    forker = Forker(tmp_path_factory.mktemp("forked"))
    yield forker
    forker.close()
