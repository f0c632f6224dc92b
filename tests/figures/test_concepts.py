"""The article's figures: what they show must be what the code does."""

import torch.nn.functional as F
from PIL import Image
from torch import tensor

from segnet.figures.pooling_figures import describe_pooling, draw_pooling, pooling_example


def test_the_pooling_figure_shows_what_stock_pooling_does():
    for seed in range(5):
        example = pooling_example(seed)
        x = tensor(example.before).float()[None, None]
        values, indices = F.max_pool2d(x, 2, return_indices=True)
        assert values[0, 0].tolist() == example.maxima
        assert F.max_unpool2d(values, indices, 2)[0, 0].tolist() == example.restored
        for column, byte in enumerate(example.packed):
            assert byte == sum(row[column] << (2 * place) for place, row in enumerate(example.codes))


def test_the_text_brackets_every_maximum_and_spells_out_the_bytes():
    text = describe_pooling(pooling_example())
    assert text.count("[") == 8
    assert "2 bytes here, 64 as the int64 indices" in text


def test_the_figure_is_drawn(tmp_path):
    draw_pooling(pooling_example(), tmp_path / "pooling.png")
    assert Image.open(tmp_path / "pooling.png").width > 1000
