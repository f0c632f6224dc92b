"""Part 3's cost table: the counts by hand, and the notebook's slip named as what it is."""

import pytest

from segnet.figures.separable import separable_costs


@pytest.mark.parametrize("cost", separable_costs(), ids=lambda cost: f"{cost.side} px")
class TestEveryRow:
    def test_costs_are_the_articles_formulas(self, cost):
        m, n, d, area = cost.channels, 2 * cost.channels, 3, cost.side**2
        assert cost.parameters == (n * m * d * d, m * d * d + n * m)
        assert cost.macs == (n * m * d * d * area, (m * d * d + n * m) * area)

    def test_the_notebook_counts_every_row_at_128_px(self, cost):
        times = (128 // cost.side) ** 2
        assert cost.notebook_macs == tuple(times * macs for macs in cost.macs)
