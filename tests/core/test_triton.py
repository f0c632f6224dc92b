"""The CUDA kernels against the definition, run on a CPU by Triton's interpreter (``pip install triton``)."""

import importlib

import pytest
import torch

from segnet.core.kernels import plain


@pytest.fixture(scope="module")
def cuda():
    patch = pytest.MonkeyPatch()
    patch.setenv("TRITON_INTERPRET", "1")
    pytest.importorskip("triton", reason="the kernels' tests need Triton: pip install triton")
    yield importlib.import_module("segnet.core.kernels.cuda")
    patch.undo()


@pytest.mark.parametrize("channels_last", [True, False])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float16])
@pytest.mark.parametrize("shape", [(2, 3, 8, 6), (1, 5, 11, 7), (2, 1, 2, 2), (1, 70, 9, 4)])
def test_kernels_equal_the_definition(cuda, shape, dtype, channels_last):
    values = torch.tensor([0.0, -0.0, 1.0, -2.0, float("inf"), float("-inf"), float("nan")])
    generator = torch.Generator().manual_seed(0)
    x = values[torch.randint(len(values), shape, generator=generator)].to(dtype)
    layout = torch.channels_last if channels_last else torch.contiguous_format
    x = x.contiguous(memory_format=layout)
    maxima, codes = cuda.pool(x)
    exact_maxima, exact_codes = plain.pool(x)
    assert torch.equal(codes, exact_codes)
    torch.testing.assert_close(maxima, exact_maxima, rtol=0, atol=0, equal_nan=True)
    size = shape[2:]
    for accumulate in (True, False):
        ours = cuda.place(maxima, codes, size, accumulate)
        exact = plain.place(maxima, codes, size, accumulate)
        torch.testing.assert_close(ours, exact, rtol=0, atol=0, equal_nan=True)
        assert torch.equal(ours.signbit() & (ours == 0), exact.signbit() & (exact == 0))
    torch.testing.assert_close(cuda.pick(x, codes), plain.pick(x, codes), rtol=0, atol=0, equal_nan=True)
