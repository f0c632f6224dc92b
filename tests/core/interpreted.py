"""The CUDA kernels against the definition on a CPU, in Triton's interpreter.

``test_triton`` runs this with pytest in a process of its own: Triton asks for its interpreter when it is
imported, which in a whole run of the tests others may have done before.
"""

import pytest
import torch

from segnet.core.kernels import cuda, plain


@pytest.mark.parametrize("channels_last", [True, False])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float16])
@pytest.mark.parametrize("shape", [(2, 3, 8, 6), (1, 5, 11, 7), (2, 1, 2, 2), (1, 70, 9, 4)])
def test_kernels_equal_the_definition(shape, dtype, channels_last):
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
