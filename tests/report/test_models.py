"""The tables of segnet models, against the models themselves."""

import json
from dataclasses import asdict
from pathlib import Path

import pytest

from segnet import MODELS, SegnetError
from segnet.report.models import FIGURES, costs_table, describe_model, figures_table, layers_table, summary


@pytest.fixture(scope="module")
def segnet_facts():
    return describe_model("segnet")


def row(table, index=0):
    return [list(column.cells)[index] for column in table.columns]


def test_a_row_of_costs_is_the_articles_model(segnet_facts):
    cells = row(costs_table([segnet_facts], (128, 128)))
    assert cells[:3] == ["segnet", "15,274,892", "9.1163"]
    assert cells[4:] == ["120.0", "100"]
    assert 20 < float(cells[3]) < 40


def test_without_indices_and_with_the_whole_image_seen_the_row_says_so():
    facts = describe_model("vit", options={"depth": 1, "width": 16})
    assert row(costs_table([facts], (128, 128)))[4:] == ["–", "all"]
    assert "sees the whole image" in summary(facts)


# The papers' and articles' own figures, typed in once more.
PUBLISHED = {
    "segnet": "88.28", "segnet-dsc": "86.96", "vit": "85.89", "unet": "91.3",
    "segnet-vgg16": "60.10", "segnet-basic": "47.7", "fcn": "49.83",
}  # fmt: skip


def test_figures_are_those_published_and_the_ledgers(segnet_facts):
    cells = row(figures_table([segnet_facts]))
    assert cells[:3] == ["segnet", "88.28 % of pixels", "Part 2, 20 epochs"]
    for name, figures in FIGURES.items():
        assert name in MODELS
        assert PUBLISHED.get(name, "–") in figures.published
        assert bool(figures.source) == (name in PUBLISHED)


@pytest.mark.parametrize("name", [name for name, figures in FIGURES.items() if figures.ours != "–"])
def test_our_figure_stands_in_the_ledger(name):
    ledger = (Path(__file__).parents[2] / "docs" / "reproduction.md").read_text()
    miou = FIGURES[name].ours.split("mIoU ")[1].split(",")[0]
    lines = [line for line in ledger.splitlines() if miou in line]
    assert any(f"`{name}`" in line or "`pets-lite`" in line for line in lines)


def test_the_layers_sum_up_in_the_footer(segnet_facts):
    table = layers_table(segnet_facts, (128, 128))
    assert [column.footer for column in table.columns][3:] == ["15,274,892", "9,116.3", "122,880"]
    assert row(table, 1)[:4] == ["encoder.0.units.0.0", "conv 3x3", "64x128x128", "1,728"]


def test_classes_options_and_size_are_those_asked_for():
    facts = describe_model("segnet-vgg16", num_classes=11, options={"width": 64}, size=(96, 160))
    assert facts.parameters == 29_441_425
    assert facts.layers[-1].shape == (11, 96, 160)


def test_everything_is_plain_enough_for_json(segnet_facts):
    plain = json.loads(json.dumps(asdict(segnet_facts)))
    assert plain["receptive_field_px"] == 100
    assert plain["layers"][0] == {
        "name": "normalise", "kind": "batch norm", "shape": [3, 128, 128], "parameters": 6, "macs": 0,
        "index_bytes": 0,
    }  # fmt: skip


@pytest.mark.parametrize(
    ("name", "settings", "says"),
    [
        ("vti", {}, "there is no model 'vti'; did you mean 'vit'"),
        ("vit", {"size": (100, 128)}, "can't cut images of 100x128 into patches of 16x16"),
        ("segnet-vgg16", {"size": (31, 64)}, "at least 32 px each way"),
        ("segnet", {"options": {"stage": 4}}, "did you mean 'stages'"),
        ("segnet", {"num_classes": 0}, "at least one class"),
    ],
)
def test_what_cannot_be_described_says_what_would_work(name, settings, says):
    with pytest.raises(SegnetError, match=says):
        describe_model(name, **settings)
