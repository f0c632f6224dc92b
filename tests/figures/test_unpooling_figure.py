"""What a SegNet loses without its indices: the scores, counted again, and which image is shown."""

import numpy as np
import pytest
import torch
from PIL import Image

from segnet import SegnetError, create_model
from segnet.data.identify import records_of
from segnet.data.pets import PET_CLASSES
from segnet.data.synthetic import load_synthetic
from segnet.figures.unpooling_figure import compare_ways, draw_ways, score_swapped, ways_table
from segnet.models.inspection.unpooling import WAYS
from segnet.runs.scores import ScoredOn
from segnet.training import in_memory

TINY = {"stages": ((8, 1), (8, 1)), "bottleneck": (8, 1, 3)}


@pytest.fixture(scope="module")
def pets():
    return load_synthetic(train=1, val=5).val


@pytest.fixture(scope="module")
def model():
    torch.manual_seed(0)
    model = create_model("segnet-lite", 3, **TINY).eval()
    with torch.no_grad():
        model.classifier.weight.mul_(20)
        model.classifier.bias.zero_()
    return model


@pytest.fixture(scope="module")
def figure(pets, model):
    split = in_memory.read_samples(pets, 48)
    return compare_ways(
        "tiny", lambda way: model, split, PET_CLASSES, ScoredOn("synthetic", "val", 5, 0), records_of(pets),
        tuple(WAYS),
    )  # fmt: skip


def ious(masks, predictions):
    """Of each class over all pixels, counted in loops."""
    found = []
    for class_id in range(3):
        both = sum(
            ((mask == class_id) & (p == class_id)).sum() for mask, p in zip(masks, predictions, strict=True)
        )
        either = sum(
            ((mask == class_id) | (p == class_id)).sum() for mask, p in zip(masks, predictions, strict=True)
        )
        found += [both / either] if either else []
    return found


def predictions_of(model, split):
    images = torch.from_numpy(np.stack(split.images)).permute(0, 3, 1, 2).float() / 255
    with torch.no_grad():
        return model(images).argmax(1).numpy()


def test_by_the_indices_the_scores_are_the_untouched_models(pets, model, figure):
    split = in_memory.read_samples(pets, 48)
    predicted = predictions_of(model, split)
    assert figure.results[0].way == "indices"
    assert figure.results[0].scores.mean_iou == pytest.approx(np.mean(ious(split.masks, predicted)), abs=1e-6)
    of_image = [np.mean(ious([mask], [p])) for mask, p in zip(split.masks, predicted, strict=True)]
    shown = split.names.index(figure.shown)
    assert sorted(of_image).index(of_image[shown]) == 2, "the median of five"
    assert (figure.results[0].predicted == predicted[shown]).all()
    assert (figure.truth == split.masks[shown]).all()
    assert (figure.image == split.images[shown]).all()


def test_the_ways_come_in_order_and_the_same_again_though_one_is_random(pets, model, figure):
    assert [result.way for result in figure.results] == ["indices", *WAYS]
    again = compare_ways(
        "tiny", lambda way: model, in_memory.read_samples(pets, 48), PET_CLASSES, figure.scored_on,
        records_of(pets), ["random"],
    )  # fmt: skip
    assert again.results[1].scores.mean_iou == figure.results[2].scores.mean_iou


def test_what_is_wrong_at_edges_is_counted_within_three_pixels_of_an_edge(pets, model, figure):
    split = in_memory.read_samples(pets, 48)
    wrong = total = 0
    for mask, predicted in zip(split.masks, predictions_of(model, split), strict=True):
        edge = np.zeros((48, 48), bool)
        for y in range(48):
            for x in range(48):
                edge[y, x] = any(
                    mask[y + i, x + j] != mask[y, x]
                    for i, j in ((0, 1), (1, 0), (0, -1), (-1, 0))
                    if 0 <= y + i < 48 and 0 <= x + j < 48
                )
        rows, columns = np.nonzero(edge)
        for y in range(48):
            for x in range(48):
                if ((rows - y) ** 2 + (columns - x) ** 2).min() <= 9:
                    total += 1
                    wrong += mask[y, x] != predicted[y, x]
    assert figure.results[0].error_at_edges == pytest.approx(wrong / total, abs=1e-6)


def test_the_table_says_what_changes(figure):
    table = ways_table(figure)
    rows = [*zip(*(column.cells for column in table.columns), strict=True)]
    assert table.title == "tiny, 5 images, the val split of synthetic"
    assert rows[0][0::2] == ("indices", "", "")
    first = figure.results[0].scores.mean_iou
    for row, result in zip(rows[1:], figure.results[1:], strict=True):
        assert row[1] == f"{result.scores.mean_iou:.3f}"
        assert float(row[2].replace("−", "-") or 0) == pytest.approx(result.scores.mean_iou - first, abs=6e-4)


def test_it_is_drawn(figure, tmp_path):
    draw_ways(figure, tmp_path / "w.png")
    assert Image.open(tmp_path / "w.png").width > 1500


def test_models_are_trained_in_their_way_from_the_same_weights(monkeypatch):
    for name, value in {
        "_COMPARE_FROM": 8,
        "_COMPARE_ON": 3,
        "_COMPARE_PX": 32,
        "_COMPARE_EPOCHS": 1,
    }.items():
        monkeypatch.setattr(in_memory, name, value)
    monkeypatch.setattr(in_memory, "_OPTIONS", TINY)
    begun = []
    learn = in_memory.learn

    def watched(model, *arguments):
        begun.append([weight.clone() for weight in model.parameters()])
        return learn(model, *arguments)

    monkeypatch.setattr(in_memory, "learn", watched)
    figure = in_memory.compare_trained(["bilinear"], seed=3)
    assert [result.way for result in figure.results] == ["indices", "bilinear"]
    assert all(map(torch.equal, *begun))
    assert "one seed (3)" in figure.note
    assert str(figure.scored_on) == "3 images, the val split of synthetic"


def test_a_model_without_weights_or_indices_has_nothing_to_compare():
    with pytest.raises(SegnetError, match="has learnt nothing that could be shown"):
        score_swapped("segnet", ["bilinear"], {})
