"""What every test shares: where real data is, caches of their own, and threads that spin little."""

import os
from pathlib import Path

import pytest

# As the segnet command does; tests share their cores with each other. Must come before torch is imported.
os.environ.setdefault("GOMP_SPINCOUNT", "1000")

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


@pytest.fixture(scope="session")
def oxford_pets():
    if not OXFORD_PETS.is_dir():
        pytest.skip(f"the part of Oxford-IIIT Pet isn't at {OXFORD_PETS.name} beside the checkout")
    return OXFORD_PETS
