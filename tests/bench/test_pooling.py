"""What ``segnet bench pooling`` compares: the same network on both sides, and bytes that are really there."""

import csv
import sys
from pathlib import Path

import pytest
import torch

from segnet.bench.pooling import Comparison, compare_pooling, stock_copy, write_csv
from segnet.models import create_model


@pytest.mark.parametrize(
    ("name", "options"),
    [
        ("segnet", {"stages": 2}),
        ("segnet-dsc", {"stages": 2, "ordinary_stages": 1}),
        ("segnet-basic", {"channels": 8}),
        ("segnet-lite", {"stages": [[8, 1], [16, 2]], "bottleneck": [16, 1, 3]}),
    ],
)
def test_the_stock_copy_gives_the_same_logits_bit_by_bit(name, options):
    torch.manual_seed(0)
    model = create_model(name, **options).eval()
    image = torch.rand(2, 3, 37, 26)
    with torch.no_grad():
        assert torch.equal(stock_copy(model).eval()(image), model(image))


def test_a_model_without_a_stock_copy_is_refused():
    with pytest.raises(TypeError, match="UNet has no stages of SegNet's"):
        stock_copy(create_model("unet"))


def test_indices_take_a_thirty_second_of_stocks():
    rows = {
        row.quantity: row for row in compare_pooling(batch_size=1, repeats=1, device="cpu", training=False)
    }
    assert rows["indices"].ours == rows["kept"].ours == 491_520 / 4 / 2**20
    assert rows["indices"].ratio == rows["kept"].ratio == 1 / 32


def test_numbers_are_written_and_drawn(tmp_path, monkeypatch):
    rows = [Comparison("pair", "float32", "ms", 2.0, 1.0), Comparison("kept", "one image", "MiB", 4.0, 5.0)]
    write_csv(tmp_path / "a.csv", rows, "# here")
    machine, *lines = (tmp_path / "a.csv").read_text().splitlines()
    assert machine == "# here"
    assert [row["ratio"] for row in csv.DictReader(lines)] == ["0.5", "1.25"]
    monkeypatch.syspath_prepend(Path(__file__).parents[2] / "benchmarks")
    import pooling_picture

    words = ["picture", "--csv", str(tmp_path / "a.csv"), "--out", str(tmp_path / "a.svg")]
    monkeypatch.setattr(sys, "argv", ["pooling_picture.py", *words])
    pooling_picture.main()
    assert pooling_picture.read(tmp_path / "a.csv") == ("# here", rows)
    assert "0.50x" in (tmp_path / "a.svg").read_text() or (tmp_path / "a.svg").stat().st_size > 1000
