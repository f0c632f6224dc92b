"""The pool/un-pool pair against stock PyTorch, which it must equal bit for bit."""

import pytest
import torch
import torch.nn.functional as F
from hypothesis import given, settings
from hypothesis import strategies as st

from segnet.core.pooling import max_pool_2x2, max_unpool_2x2


@settings(max_examples=60, deadline=None)
@given(
    shape=st.tuples(st.integers(1, 3), st.integers(1, 5), st.integers(2, 9), st.integers(2, 9)),
    seed=st.integers(0, 2**31),
    channels_last=st.booleans(),
)
def test_pool_and_unpool_equal_stock_in_values_and_gradients(shape, seed, channels_last):
    # few distinct values, so that ties are the rule
    x = torch.randint(-2, 3, shape, generator=torch.Generator().manual_seed(seed)).float()
    if channels_last:
        x = x.contiguous(memory_format=torch.channels_last)
    ours, stock = x.clone().requires_grad_(), x.clone().requires_grad_()

    values, codes = max_pool_2x2(ours)
    restored = max_unpool_2x2(values, codes, shape[2:])
    stock_values, indices = F.max_pool2d(stock, 2, return_indices=True)
    stock_restored = F.max_unpool2d(stock_values, indices, 2, output_size=shape[2:])
    assert torch.equal(values, stock_values)
    assert torch.equal(restored, stock_restored)

    weight = torch.arange(restored.numel()).reshape(shape).float()
    (restored * weight).sum().backward()
    (stock_restored * weight).sum().backward()
    assert torch.equal(ours.grad, stock.grad)


def test_a_tie_goes_to_the_first_position_of_its_window():
    values, codes = max_pool_2x2(torch.ones(1, 1, 2, 2))
    assert max_unpool_2x2(values, codes, (2, 2)).tolist() == [[[[1, 0], [0, 0]]]]


def test_an_odd_last_row_and_column_come_back_as_zeros():
    x = torch.arange(1.0, 26).reshape(1, 1, 5, 5)
    restored = max_unpool_2x2(*max_pool_2x2(x), (5, 5))
    assert restored[..., 4, :].eq(0).all()
    assert restored[..., :, 4].eq(0).all()
    assert restored.amax() == 19  # row 4, column 4 of the part that windows cover


@pytest.mark.parametrize(
    ("x", "says"),
    [
        (torch.zeros(1, 2, 4), r"\(1, 2, 4\)"),
        (torch.zeros(1, 1, 4, 4, dtype=torch.int64), "int64"),
        (torch.zeros(1, 1, 1, 4), "at least 2"),
    ],
)
def test_an_input_that_has_no_windows_is_refused_with_what_it_is(x, says):
    with pytest.raises(ValueError, match=says):
        max_pool_2x2(x)


def test_codes_of_another_shape_and_sizes_that_do_not_fit_are_refused():
    values, codes = max_pool_2x2(torch.rand(1, 2, 6, 6))
    with pytest.raises(ValueError, match=r"\(1, 2, 3, 3\)"):
        max_unpool_2x2(values, codes[..., :2], (6, 6))
    with pytest.raises(ValueError, match=r"\(8, 6\)"):
        max_unpool_2x2(values, codes, (8, 6))
