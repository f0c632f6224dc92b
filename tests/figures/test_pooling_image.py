"""Codes and boundary errors of a real picture, counted again in loops."""

import math

import numpy as np
import pytest
import torch
from PIL import Image
from torch.nn import functional as F

from segnet import SegnetError
from segnet.figures.pooling_figures import draw_pooled_picture, errors_table, pooled_picture
from segnet.figures.subjects import drawn_pets, open_picture


@pytest.fixture(scope="module")
def pet():
    return drawn_pets(1)[0].resize((61, 47))


@pytest.fixture(scope="module")
def pooled(pet):
    return pooled_picture("a pet", pet)


def grey_of(picture):
    return np.asarray(picture.convert("L"))[:46, :60].astype(float)


def each_window(*maps):
    """Yield row, column and four values of each 2x2 window, in reading order."""
    for y in range(0, 46, 2):
        for x in range(0, 60, 2):
            yield (
                y // 2,
                x // 2,
                *([float(each[y + i, x + j]) for i in (0, 1) for j in (0, 1)] for each in maps),
            )


def test_the_codes_are_where_stock_pooling_finds_the_maxima(pet, pooled):
    _, indices = F.max_pool2d(torch.from_numpy(grey_of(pet))[None], 2, return_indices=True)
    places = indices[0].numpy()
    assert pooled.codes.tolist() == (places // 60 % 2 * 2 + places % 60 % 2).tolist()
    for y, x, values in each_window(grey_of(pet)):
        assert pooled.flat[y, x] == (min(values) == max(values))


def test_a_boundary_error_is_the_way_from_the_restored_maximum_to_the_nearest_true_one(pet, pooled):
    windows = [*each_window(grey_of(pet))]
    ranges = [max(values) - min(values) for *_, values in windows]
    tenth = sorted(ranges, reverse=True)[round(0.1 * len(ranges)) - 1]
    assert pooled.edge_windows == sum(each >= tenth for each in ranges)
    for way, restored in pooled.restored.items():
        everywhere, at_edges = [], []
        for (_, _, values, back), wide in zip(
            each_window(grey_of(pet), restored.values), ranges, strict=True
        ):
            now = back.index(max(back))
            before = [place for place in range(4) if values[place] == max(values)]
            off = min(math.dist(divmod(now, 2), divmod(place, 2)) for place in before)
            everywhere += [off] if wide else []
            at_edges += [off] if wide >= tenth else []
        for error, distances in ((restored.everywhere, everywhere), (restored.at_edges, at_edges)):
            assert error.distance_px == pytest.approx(np.mean(distances)), way
            assert error.moved == pytest.approx(np.mean([each > 0 for each in distances])), way
        assert restored.pixel_error == pytest.approx(np.abs(restored.values - grey_of(pet)).mean(), rel=1e-5)


def test_the_indices_bring_every_maximum_back_and_the_other_ways_move_some(pooled):
    indices, bilinear, corner = (pooled.restored[way] for way in ("indices", "bilinear", "first-corner"))
    assert (indices.everywhere.moved, indices.at_edges.distance_px) == (0, 0)
    assert 0 < bilinear.at_edges.moved < corner.at_edges.moved < 1
    assert 0 < bilinear.at_edges.distance_px <= corner.at_edges.distance_px <= math.sqrt(2)


def test_the_enlarged_part_has_most_windows_at_edges(pet, pooled):
    wide = np.zeros((23, 30), int)
    for y, x, values in each_window(grey_of(pet)):
        wide[y, x] = max(values) - min(values)
    edges = wide >= sorted(wide.ravel())[-round(0.1 * wide.size)]
    counts = {(y, x): edges[y : y + 8, x : x + 8].sum() for y in range(16) for x in range(23)}
    assert counts[pooled.zoom] == max(counts.values())


def test_a_sharp_edge_between_two_columns_of_windows_is_nobodys_error():
    grey = np.zeros((8, 8), np.uint8)
    grey[:, 4:] = 255
    with pytest.raises(SegnetError, match="nothing to keep the place of"):
        pooled_picture("halves", Image.fromarray(grey))
    grey[:, 3:] = 255  # now through the middle of windows, whose right pixels are both largest
    pooled = pooled_picture("halves", Image.fromarray(grey))
    assert (pooled.edge_windows, int(pooled.flat.sum())) == (4, 12)
    assert pooled.restored["bilinear"].at_edges.moved == 0
    corner = pooled.restored["first-corner"].at_edges
    assert (corner.moved, corner.distance_px) == (1, 1), "from the left column to the right one"


@pytest.mark.parametrize("size", [(2, 2), (3, 40), (20, 7), (300, 2)])
def test_any_picture_with_a_window_is_drawn(tmp_path, size):
    noise = np.random.default_rng(0).integers(0, 256, (*size, 3), np.uint8)
    draw_pooled_picture(pooled_picture("noise", Image.fromarray(noise)), tmp_path / "n.png")
    assert Image.open(tmp_path / "n.png").width > 1000


def test_the_table_has_a_row_for_each_way(pooled):
    table = errors_table(pooled)
    assert table.title.startswith("a pet, 46x60: 690 windows, ")
    assert table.columns[0]._cells == ["indices", "bilinear", "first-corner"]
    assert table.columns[1]._cells[0] == "0.0 %"


def test_pet_is_a_drawn_one_unless_there_is_a_file_of_that_name(tmp_path, monkeypatch, pet):
    monkeypatch.chdir(tmp_path)
    assert open_picture("pet")[0] == "a drawn pet"
    pet.save(tmp_path / "pet", format="PNG")
    assert open_picture("pet")[0] == "pet"


def test_a_picture_without_a_window_is_refused():
    with pytest.raises(SegnetError, match="smaller than a 2x2 window"):
        pooled_picture("line", Image.new("L", (9, 1)))
