"""Drawn pets in a folder of photos, with their true masks beside it, and a project of them."""

import shutil

import pytest

from .corrector import draw_photos


@pytest.fixture(scope="session")
def drawn(tmp_path_factory):
    folder = tmp_path_factory.mktemp("drawn")
    draw_photos(folder, 16)
    return folder


@pytest.fixture
def photos(drawn, here):
    """``photos`` and ``truth`` in the current folder."""
    shutil.copytree(drawn, here, dirs_exist_ok=True)
    return here / "photos"


@pytest.fixture
def project(photos, segnet):
    """``labels``, of which 4 of 16 photos are set aside."""
    begun = segnet("label", "start", "photos", "--project", "labels", "--classes", "pet", "--scored", 4)
    assert begun.code == 0, begun.err
    return photos.parent / "labels"
