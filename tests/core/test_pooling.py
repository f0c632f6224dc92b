"""The pool/un-pool pair against stock PyTorch, which it must equal bit for bit."""

import copy
import itertools
import os
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from hypothesis import given, settings
from hypothesis import strategies as st

import segnet
from segnet.core.kernels import blocked, exported, plain
from segnet.core.pooling import max_pool_2x2, max_unpool_2x2

DTYPES = (torch.float32, torch.float64, torch.float16, torch.bfloat16)
DEVICES = ("cpu", *(("cuda",) if torch.cuda.is_available() else ()))
NAN, INF = float("nan"), float("inf")
# few distinct values, so that ties are the rule
VALUES = torch.tensor([0.0, -0.0, 1.0, -1.0, 2.5, INF, -INF, NAN])
LAYOUTS = {
    "contiguous": lambda x: x,
    "channels last": lambda x: x.contiguous(memory_format=torch.channels_last),
    "slice of channels": lambda x: x.repeat_interleave(2, 1)[:, ::2],
    "slice of columns": lambda x: F.pad(x, (1, 2))[..., 1:-2],
    "slice of channels last": lambda x: LAYOUTS["channels last"](F.pad(x, (0, 1)))[..., :-1],
}


def same_bits(ours, stock):
    """Equal to the sign of zero; any NaN equals any other."""
    integers = {8: torch.int64, 4: torch.int32, 2: torch.int16}[stock.element_size()]
    equal = ours.contiguous().view(integers) == stock.contiguous().view(integers)
    return ours.shape == stock.shape and bool((equal | (ours.isnan() & stock.isnan())).all())


def drawn(shape, seed, values=VALUES):
    generator = torch.Generator().manual_seed(seed)
    return values[torch.randint(len(values), shape, generator=generator)]


def stock_pair(x):
    values, indices = F.max_pool2d(x, 2, return_indices=True)
    return values, F.max_unpool2d(values, indices, 2, output_size=x.shape[2:])


def pair(x):
    values, codes = max_pool_2x2(x)
    return values, max_unpool_2x2(values, codes, x.shape[2:])


@settings(max_examples=150, deadline=None)
@given(
    shape=st.tuples(st.integers(1, 3), st.integers(1, 9), st.integers(2, 21), st.integers(2, 11)),
    seed=st.integers(0, 2**31),
    dtype=st.sampled_from(DTYPES),
    layout=st.sampled_from(sorted(LAYOUTS)),
    known=st.sampled_from((1, 2, 5, 8)),
    device=st.sampled_from(DEVICES),
)
def test_pool_and_unpool_equal_stock_in_values_and_gradients(shape, seed, dtype, layout, known, device):
    # a known of 1, 2 and 5 draws zeros of one sign, of both, and finite values: other paths than with NaN
    x = LAYOUTS[layout](drawn(shape, seed, VALUES[:known]).to(device, dtype))
    ours, stock = x.detach().requires_grad_(), x.detach().requires_grad_()
    values, restored = pair(ours)
    stock_values, stock_restored = stock_pair(stock)
    assert same_bits(values, stock_values)
    assert same_bits(restored, stock_restored)

    grad_values = drawn(values.shape, seed + 1).to(device, dtype)
    grad_restored = drawn(shape, seed + 2).to(device, dtype)
    torch.autograd.backward((values, restored), (grad_values, grad_restored))
    torch.autograd.backward((stock_values, stock_restored), (grad_values, grad_restored))
    assert same_bits(ours.grad, stock.grad)


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("channels_last", [True, False])
@pytest.mark.parametrize("device", DEVICES)
def test_gradients_equal_stock_through_each_operation_alone(dtype, channels_last, device):
    layout = torch.channels_last if channels_last else torch.contiguous_format
    x = drawn((2, 5, 13, 9), 0).to(device, dtype).contiguous(memory_format=layout)
    x1, x2 = x.clone().requires_grad_(), x.clone().requires_grad_()
    values, codes = max_pool_2x2(x1)
    stock, indices = F.max_pool2d(x2, 2, return_indices=True)
    grad = drawn(values.shape, 1).to(device, dtype)
    values.backward(grad)
    stock.backward(grad)
    assert same_bits(x1.grad, x2.grad)  # −0 becomes +0 here, since stock adds to zeros

    v1, v2 = (v.detach().requires_grad_() for v in (values, stock))
    grad = drawn(x.shape, 2).to(device, dtype)
    max_unpool_2x2(v1, codes, (13, 9)).backward(grad)
    F.max_unpool2d(v2, indices, 2, output_size=(13, 9)).backward(grad)
    assert same_bits(v1.grad, v2.grad)  # and stays −0 here, since stock copies


@pytest.mark.parametrize("values", list(itertools.product((0.0, -0.0, 1.0, NAN), repeat=4)))
@pytest.mark.parametrize("device", DEVICES)
def test_every_kind_of_window_has_stocks_winner(values, device):
    x = torch.tensor(values, device=device).view(1, 1, 2, 2)
    maximum, codes = max_pool_2x2(x)
    stock, index = F.max_pool2d(x, 2, return_indices=True)
    assert codes.item() == index.item()
    assert same_bits(maximum, stock)


@pytest.mark.parametrize("shape", [(1, 64, 258, 514), (40, 64, 34, 30), (3, 300, 66, 62)])
@pytest.mark.parametrize("device", DEVICES)
def test_maps_of_many_blocks_equal_stock(shape, device):
    x = torch.randn(shape, generator=torch.Generator().manual_seed(0)).relu_().to(device)
    x = x.contiguous(memory_format=torch.channels_last)
    assert x.numel() // 4 > 2 * blocked.BLOCK
    x[-1, 1, -1, -1] = NAN  # one block of several takes the slow path
    for ours, stock in zip(pair(x), stock_pair(x), strict=True):
        assert same_bits(ours, stock)
        assert device != "cpu" or ours.stride() == stock.stride()


@settings(max_examples=60, deadline=None)
@given(
    shape=st.tuples(st.integers(1, 2), st.integers(1, 5), st.integers(2, 19), st.integers(2, 9)),
    seed=st.integers(0, 2**31),
    accumulate=st.booleans(),
)
def test_both_forms_for_a_cpu_give_the_same_bits(shape, seed, accumulate):
    x = drawn(shape, seed).contiguous(memory_format=torch.channels_last)
    (values, codes), (plain_values, plain_codes) = blocked.pool(x), plain.pool(x)
    assert torch.equal(codes, plain_codes)
    assert same_bits(values, plain_values)
    size = shape[2:]
    assert same_bits(
        blocked.place(values, codes, size, accumulate), plain.place(values, codes, size, accumulate)
    )
    assert same_bits(blocked.pick(x, codes), plain.pick(x, codes))


@pytest.mark.parametrize("channels_last", [True, False])
@pytest.mark.parametrize("shape", [(2, 5, 6, 8), (2, 4, 7, 9), (2, 1, 4, 4)])
def test_results_lie_in_memory_as_the_input_does(shape, channels_last):
    layout = torch.channels_last if channels_last else torch.contiguous_format
    x = torch.rand(shape).contiguous(memory_format=layout)
    for ours, stock in zip(pair(x), stock_pair(x), strict=True):
        assert ours.is_contiguous(memory_format=layout)
        assert stock.is_contiguous(memory_format=layout)


def test_a_batch_without_images_stays_empty():
    values, restored = pair(torch.zeros(0, 3, 6, 6, requires_grad=True))
    assert values.shape == (0, 3, 3, 3)
    assert restored.shape == (0, 3, 6, 6)
    restored.sum().backward()


def test_four_windows_below_each_other_share_a_byte():
    # the docstring's picture: maxima at c, a, b, d
    x = torch.zeros(1, 1, 8, 2)
    for row, (y, column) in enumerate([(1, 0), (0, 0), (0, 1), (1, 1)]):
        x[0, 0, 2 * row + y, column] = 1
    codes = max_pool_2x2(x)[1]
    assert f"{codes.item():08b}" == "11010010"


@pytest.mark.parametrize(("height", "rows"), [(2, 1), (3, 1), (8, 1), (10, 2), (128, 16)])
def test_codes_take_two_bits_a_window(height, rows):
    codes = max_pool_2x2(torch.rand(2, 5, height, 6))[1]
    assert codes.dtype == torch.uint8
    assert codes.shape == (2, 5, rows, 3)


def test_codes_are_all_that_is_kept_for_the_backward_pass():
    kept = []

    def keep(tensor):
        kept.append(tensor)
        return tensor

    x = torch.rand(2, 8, 32, 32, requires_grad=True)
    with torch.autograd.graph.saved_tensors_hooks(keep, lambda tensor: tensor):
        pair(x)
    storages = {tensor.untyped_storage().data_ptr(): tensor.untyped_storage().nbytes() for tensor in kept}
    assert sum(storages.values()) == 2 * 8 * 16 * 16 // 4


def test_gradients_of_first_and_second_order_agree_with_differences():
    x = torch.rand(2, 3, 5, 6, dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradcheck(pair, x)
    assert torch.autograd.gradgradcheck(pair, x)
    values, codes = max_pool_2x2(x.detach())
    values.requires_grad_()
    assert torch.autograd.gradcheck(lambda v: max_unpool_2x2(v, codes, (5, 6)), values)
    assert torch.autograd.gradgradcheck(lambda v: max_unpool_2x2(v, codes, (5, 6)), values)


def test_runs_where_only_deterministic_operations_may():
    torch.use_deterministic_algorithms(True)
    try:
        x = torch.rand(2, 3, 8, 8, requires_grad=True)
        pair(x)[1].sum().backward()
    finally:
        torch.use_deterministic_algorithms(False)


@pytest.mark.parametrize("shape", [(2, 4, 9, 6), pytest.param((1, 3, 16, 16), marks=pytest.mark.campaign)])
def test_compiles_as_one_graph_with_the_same_results(shape):
    compiled = torch.compile(pair, fullgraph=True, backend="aot_eager")
    x = drawn(shape, 0)
    ours, stock = x.clone().requires_grad_(), x.clone().requires_grad_()
    (values, restored), (stock_values, stock_restored) = compiled(ours), stock_pair(stock)
    assert same_bits(values, stock_values)
    assert same_bits(restored, stock_restored)
    (values.sum() + restored.sum()).backward()
    (stock_values.sum() + stock_restored.sum()).backward()
    torch.testing.assert_close(ours.grad, stock.grad, equal_nan=True)


PAIR_COMPILED = """
import sys, torch
from tests.core.test_pooling import drawn, pair, same_bits, stock_pair
x = drawn((2, 6, 11, 10), 3)
compiled = torch.compile(pair, fullgraph=True)(x)
assert all(same_bits(a, b) for a, b in zip(compiled, stock_pair(x), strict=True))
"""


@pytest.mark.campaign
@pytest.mark.skipif(not shutil.which("g++"), reason="torch.compile needs a C++ compiler for a CPU")
def test_the_default_compiler_gives_the_same_results(tmp_path):
    """Torch is reached by a path without a space, since it gives the linker its path without quotes."""
    (tmp_path / "packages").symlink_to(Path(torch.__file__).parents[1])
    ours = (Path(segnet.__file__).parents[1], Path(__file__).parents[2])
    path = os.pathsep.join(map(str, (tmp_path / "packages", *ours)))
    environment = os.environ | {"PYTHONPATH": path, "TORCHINDUCTOR_CACHE_DIR": str(tmp_path / "cache")}
    subprocess.run([sys.executable, "-c", PAIR_COMPILED], env=environment, check=True)


class Pair(torch.nn.Module):
    def forward(self, x):
        values, codes = max_pool_2x2(x)
        return values, max_unpool_2x2(values * 2, codes, (x.shape[2], x.shape[3]))


@pytest.mark.parametrize("strict", [True, False])
def test_exports_with_any_batch_height_and_width(strict):
    dynamic = ({0: torch.export.Dim.DYNAMIC, 2: torch.export.Dim.DYNAMIC, 3: torch.export.Dim.DYNAMIC},)
    exported = torch.export.export(
        Pair(), (torch.rand(2, 3, 8, 10),), dynamic_shapes=dynamic, strict=strict
    ).module()
    for shape in [(2, 3, 8, 10), (5, 3, 4, 31), (3, 3, 33, 6)]:
        x = torch.rand(shape)
        for ours, theirs in zip(exported(x), Pair()(x), strict=True):
            assert torch.equal(ours, theirs)


def test_autocast_leaves_the_dtype_of_a_map_alone():
    for dtype in (torch.float32, torch.bfloat16):
        with torch.autocast("cpu", torch.bfloat16):
            values, restored = pair(torch.rand(1, 2, 4, 4, dtype=dtype))
        assert values.dtype == restored.dtype == dtype


def test_vmap_equals_a_loop_in_values_and_gradients():
    x = torch.rand(3, 2, 4, 7, 6)

    def loss(x):
        values, restored = pair(x)
        return (restored**3).sum() + values.sum()

    mapped = torch.func.vmap(pair)(x)
    for ours, looped in zip(mapped, zip(*map(pair, x), strict=True), strict=True):
        assert torch.equal(ours, torch.stack(looped))
    gradients = torch.func.vmap(torch.func.grad(loss))(x)
    assert torch.equal(gradients, torch.stack([torch.func.grad(loss)(one) for one in x]))
    values, codes = max_pool_2x2(x[0])
    both = torch.func.vmap(lambda v: max_unpool_2x2(v, codes, (7, 6)))(torch.stack((values, values * 2)))
    assert torch.equal(both[1], max_unpool_2x2(values * 2, codes, (7, 6)))


def test_the_modules_copy_and_pickle():
    x = torch.rand(1, 2, 6, 6)
    for ours, theirs in zip(copy.deepcopy(Pair())(x), Pair()(x), strict=True):
        assert torch.equal(ours, theirs)


def test_an_odd_last_row_and_column_come_back_as_zeros():
    x = torch.arange(1.0, 26).reshape(1, 1, 5, 5)
    restored = max_unpool_2x2(*max_pool_2x2(x), (5, 5))
    assert restored[..., 4, :].eq(0).all()
    assert restored[..., :, 4].eq(0).all()
    assert restored.amax() == 19  # row 4, column 4 of the part that windows cover


@settings(max_examples=40, deadline=None)
@given(seed=st.integers(0, 2**31), channels_last=st.booleans())
def test_whatever_bytes_arrive_every_value_stays_in_its_own_window(seed, channels_last):
    generator = torch.Generator().manual_seed(seed)
    values = torch.rand(2, 3, 5, 4, generator=generator) + 1
    if channels_last:
        values = values.contiguous(memory_format=torch.channels_last)
    codes = torch.randint(256, (2, 3, 2, 4), generator=generator).byte()
    restored = max_unpool_2x2(values, codes, (11, 8))
    assert torch.equal(F.avg_pool2d(restored[:, :, :10], 2) * 4, values)
    assert restored[:, :, 10].eq(0).all()


@pytest.mark.parametrize(
    ("x", "says"),
    [
        (torch.zeros(1, 2, 4), r"\(1, 2, 4\)"),
        (torch.zeros(1, 1, 4, 4, dtype=torch.int64), "int64"),
        (torch.zeros(1, 1, 1, 4), r"at least 2, got \(1, 1, 1, 4\)"),
        (torch.zeros(1, 1, 4, 1), r"at least 2, got \(1, 1, 4, 1\)"),
    ],
)
def test_an_input_that_has_no_windows_is_refused_with_what_it_is(x, says):
    with pytest.raises(ValueError, match=says):
        max_pool_2x2(x)


@pytest.mark.parametrize(
    ("change", "says"),
    [
        (lambda v, c: (v, c[..., :2], (9, 6)), r"torch.uint8 \(1, 2, 1, 3\) on cpu, got .* \(1, 2, 1, 2\)"),
        (lambda v, c: (v, c.long(), (9, 6)), "got torch.int64"),
        (lambda v, c: (v, c.to("meta"), (9, 6)), "on meta"),
        (lambda v, c: (v[0], c, (9, 6)), r"values \(N, C, h, w\), got torch.float32 \(2, 4, 3\)"),
        (lambda v, c: (v.long(), c, (9, 6)), "got torch.int64"),
        (lambda v, c: (v, c, (10, 6)), r"come from a map of 8 or 9 by 6 or 7, not \(10, 6\)"),
        (lambda v, c: (v, c, (9,)), r"not \(9,\)"),
    ],
)  # fmt: skip
def test_what_does_not_belong_together_is_refused_with_what_is_needed(change, says):
    values, codes = max_pool_2x2(torch.rand(1, 2, 9, 6))
    with pytest.raises(ValueError, match=says):
        max_unpool_2x2(*change(values, codes))


HALF = {
    "any finite number": lambda random: random.integers(-(2**15), 2**15, (2, 3, 17, 15)),
    "neighbours": lambda random: random.integers(0, 4, (2, 3, 17, 15)) + random.integers(0, 0x7BF0),
    "negative ones": lambda random: random.integers(0, 4, (2, 3, 17, 15)) - random.integers(0x4410, 2**15),
    "the smallest and zeros": lambda random: random.integers(0, 3, (2, 3, 17, 15)),
    "the ends of the range": lambda random: random.choice([0x7BFF, -1025, 0, -32768], (2, 3, 17, 15)),
}  # fmt: skip


@pytest.mark.parametrize("kind", HALF)
def test_the_exported_form_in_float16_is_stock_pooling_for_every_finite_value(kind):
    random = np.random.default_rng(0)
    for _ in range(10):
        bits = HALF[kind](random).astype(np.int16)
        x = torch.from_numpy(np.nan_to_num(bits.view(np.float16), nan=0, posinf=0, neginf=0))
        values, places = exported.pool(x)
        stock, indices = F.max_pool2d(x.float(), 2, return_indices=True)
        assert torch.equal(values.float(), stock)
        sparse = F.max_unpool2d(stock, indices, 2, output_size=x.shape[-2:])
        assert torch.equal(exported.place(values, places, x.shape[-2:], False).float(), sparse)
