"""Pool, place and pick for CPUs: eager operations on blocks that stay in the cache.

What makes it quick: memory is read in order (channels innermost), all passes over a block find it in the
cache, and each operation is one that ATen has vectorised. Those are rarer than one thinks: ``where``,
``masked_fill`` and comparisons that give bool take several times as long as arithmetic, so positions stay
0.0 or 1.0 until they are packed, and ``_select`` stands for ``where``. With ``plain`` the pooling pair takes
7.7 times as long, a float32 training step of segnet-lite 1.8 times (benchmarks/tricks.py).
"""

from __future__ import annotations

from collections.abc import Iterator

import torch
from torch import Tensor

from segnet.core.kernels import plain

# Windows in a block. With fewer the cost of starting an operation shows, with more the cache is too small;
# with whole maps the pair takes 1.15 to 1.34 times as long (benchmarks/tricks.py), a training step no longer.
BLOCK = 1 << 18
_INTEGER = {
    torch.float64: torch.int64,
    torch.float32: torch.int32,
    torch.float16: torch.int16,
    torch.bfloat16: torch.int16,
}
_SHIFTS = torch.tensor([0, 2, 4, 6], dtype=torch.uint8).view(4, 1, 1)


def pool(x: Tensor) -> tuple[Tensor, Tensor]:
    """Return maxima and codes; see ``Kernels``."""
    channels_last = is_channels_last(x)
    x = _channels_innermost(x)
    n, channels, height, width = x.shape[0], x.shape[1], x.shape[2] // 2, x.shape[3] // 2
    values = x.new_empty(n, height, width, channels)
    codes = x.new_empty(n, plain.packed_height(height), width, channels, dtype=torch.uint8)
    bits = x.view(_INTEGER[x.dtype]).permute(0, 2, 3, 1)
    minus_zero = torch.iinfo(bits.dtype).min
    left, right = _windows(x).unbind(4)
    for images, rows in _blocks(n, height, width * channels):
        # Reading the block once in order brings it into the cache at full speed; the windows below jump.
        lowest = bits[images, 2 * rows.start : 2 * rows.stop].amin().item()
        pairs = torch.maximum(left[images, rows], right[images, rows])
        top, bottom = pairs.unbind(2)
        maxima = torch.maximum(top, bottom, out=values[images, rows])
        packed = codes[images, _bytes_of(rows)]
        highest = maxima.amax().item()
        if lowest == minus_zero or highest != highest:
            # ``maximum`` doesn't say which zero or which NaN it gives: take the definition.
            block = x[images, :, 2 * rows.start : 2 * rows.stop]
            for ours, exact in zip((maxima, packed), plain.pool(block), strict=True):
                ours.copy_(exact.permute(0, 2, 3, 1))
            continue
        is_right = torch.gt(right[images, rows], left[images, rows], out=torch.empty_like(pairs))
        is_down = torch.gt(bottom, top, out=torch.empty_like(maxima))
        code = maxima.new_zeros(len(maxima), packed.shape[1] * 4, width, channels)
        right_of_top, right_of_bottom = is_right.unbind(2)
        low_bit = torch.lerp(right_of_top, right_of_bottom, is_down, out=code[:, : maxima.shape[1]])
        low_bit.add_(is_down, alpha=2)
        a, b, c, d = code.unflatten(1, (-1, 4)).unbind(2)
        packed.copy_(torch.add(a, b, alpha=4).add_(c, alpha=16).add_(d, alpha=64))
    return _as_was(values, channels_last), _as_was(codes, channels_last)


def place(values: Tensor, codes: Tensor, size: tuple[int, int], accumulate: bool) -> Tensor:
    """Return the sparse map; see ``Kernels``."""
    channels_last = is_channels_last(values)
    n, channels, height, width = values.shape
    full = values.new_empty(n, *size, channels)
    full[:, 2 * height :] = 0
    full[:, :, 2 * width :] = 0
    values, packed = values.permute(0, 2, 3, 1), codes.permute(0, 2, 3, 1)
    targets = _windows(full.permute(0, 3, 1, 2))
    for images, rows in _blocks(n, height, width * channels):
        block, target = values[images, rows], targets[images, rows]
        code = _unpack(packed, images, rows).to(block.dtype)
        if accumulate:
            block = block + 0.0
        for k in range(4):
            _select(block, code, k, out=target[:, :, k // 2, :, k % 2])
    return _as_was(full, channels_last)


def pick(full: Tensor, codes: Tensor) -> Tensor:
    """Return the values at the codes; see ``Kernels``."""
    channels_last = is_channels_last(full)
    full = _channels_innermost(full)
    n, channels, height, width = full.shape[0], full.shape[1], full.shape[2] // 2, full.shape[3] // 2
    values = full.new_empty(n, height, width, channels)
    integer = _INTEGER[full.dtype]
    packed, sources = codes.permute(0, 2, 3, 1), _windows(full)
    for images, rows in _blocks(n, height, width * channels):
        source, found = sources[images, rows], values[images, rows]
        code = _unpack(packed, images, rows).to(found.dtype)
        _select(source[:, :, 0, :, 0], code, 0, out=found)
        for k in range(1, 4):
            piece = _select(source[:, :, k // 2, :, k % 2], code, k, out=torch.empty_like(found))
            found.view(integer).bitwise_or_(piece.view(integer))  # a sum would turn −0 into +0
    return _as_was(values, channels_last)


def _select(values: Tensor, code: Tensor, k: int, *, out: Tensor) -> Tensor:
    """Write the values where the code is k, else zero.

    The gradient of ``hardtanh`` is that very choice, ``values if low < code < high else 0``, made by masking
    bits: exact for NaN, infinities and −0. With ``where`` the pair takes four times as long and a step of
    segnet-lite 1.2 to 1.3 times; with masks made by hand the float32 pair 1.26 times (benchmarks/tricks.py).
    """
    torch.ops.aten.hardtanh_backward.grad_input(values, code, k - 0.5, k + 0.5, grad_input=out)
    return out


def _blocks(images: int, height: int, windows_in_row: int) -> Iterator[tuple[slice, slice]]:
    """Cut a batch into whole images, or an image into bands of whole bytes, of about BLOCK windows."""
    rows = max(4, BLOCK // windows_in_row // 4 * 4)
    together = max(1, BLOCK // (windows_in_row * height))
    for image in range(0, images, together):
        for row in range(0, height, rows):
            yield slice(image, min(image + together, images)), slice(row, min(row + rows, height))


def _bytes_of(rows: slice) -> slice:
    return slice(rows.start // 4, plain.packed_height(rows.stop))


def _unpack(packed: Tensor, images: slice, rows: slice) -> Tensor:
    """Return the codes 0 to 3 of a block, ``(N, rows, W, C)``."""
    block = packed[images, _bytes_of(rows)]
    codes = torch.bitwise_right_shift(block.unsqueeze(2), _SHIFTS).bitwise_and_(3)
    return codes.flatten(1, 2)[:, : rows.stop - rows.start]


def _windows(x: Tensor) -> Tensor:
    """Return a view ``(N, rows of windows, 2, columns of windows, 2, C)`` of a map ``(N, C, H, W)``."""
    height, width = x.shape[2] // 2, x.shape[3] // 2
    whole = x.permute(0, 2, 3, 1)[:, : 2 * height, : 2 * width]
    return whole.unflatten(2, (width, 2)).unflatten(1, (height, 2))


def is_channels_last(x: Tensor) -> bool:
    """Say whether channels are innermost in memory; where both orders are one, as with one channel, not."""
    return x.stride(1) == 1 and not x.is_contiguous()


def _channels_innermost(x: Tensor) -> Tensor:
    return x if x.stride(1) == 1 else x.contiguous(memory_format=torch.channels_last)


def _as_was(nhwc: Tensor, channels_last: bool) -> Tensor:
    """Return ``(N, C, H, W)`` in the memory format that the input had."""
    nchw = nhwc.permute(0, 3, 1, 2)
    return nchw if channels_last else nchw.contiguous()
