"""Pool, place and pick as Triton kernels: one pass over memory each, where plain operations take a dozen.

A program handles bytes of codes, each four windows below each other, in the order in which they lie in
memory. Runs on a CPU too, slowly, under ``TRITON_INTERPRET=1``: that is how it is tested where no GPU is.
"""

# mypy: disable-error-code="no-untyped-def, untyped-decorator, index, operator"
from __future__ import annotations

import torch
import triton
import triton.language as tl
from torch import Tensor

from segnet.core.kernels.blocked import is_channels_last
from segnet.core.kernels.plain import packed_height

_BYTES = 16 * 128  # of a map that a program takes at once: the most that each of its threads can load


def pool(x: Tensor) -> tuple[Tensor, Tensor]:
    """Return maxima and codes; see ``Kernels``."""
    n, channels, height, width = x.shape[0], x.shape[1], x.shape[2] // 2, x.shape[3] // 2
    values = _empty(x, (n, channels, height, width), x.dtype)
    codes = _empty(x, (n, channels, packed_height(height), width), torch.uint8)
    _launch(_pool, x, values, codes)
    return values, codes


def place(values: Tensor, codes: Tensor, size: tuple[int, int], accumulate: bool) -> Tensor:
    """Return the sparse map; see ``Kernels``."""
    full = _empty(values, (*values.shape[:2], *size), values.dtype)
    full[:, :, 2 * values.shape[2] :] = 0
    full[:, :, :, 2 * values.shape[3] :] = 0
    _launch(_place, full, values + 0.0 if accumulate else values, codes)
    return full


def pick(full: Tensor, codes: Tensor) -> Tensor:
    """Return the values at the codes; see ``Kernels``."""
    n, channels, height, width = full.shape
    values = _empty(full, (n, channels, height // 2, width // 2), full.dtype)
    _launch(_pick, full, values, codes)
    return values


def _empty(like: Tensor, shape: tuple[int, ...], dtype: torch.dtype) -> Tensor:
    layout = torch.channels_last if is_channels_last(like) else torch.contiguous_format
    return torch.empty(shape, dtype=dtype, device=like.device, memory_format=layout)


def _launch(kernel, full: Tensor, values: Tensor, codes: Tensor) -> None:
    block = _BYTES // full.element_size()
    grid = (triton.cdiv(codes.numel(), block),)
    sizes = (codes.numel(), codes.shape[1], codes.shape[2], values.shape[2], values.shape[3])
    strides = (*full.stride(), *values.stride(), *codes.stride())
    with torch.cuda.device_of(full):
        kernel[grid](full, values, codes, *sizes, *strides, values.stride(1) == 1, block)


@triton.jit
def _positions(total, channels, byte_rows, width, CHANNELS_LAST: tl.constexpr, BLOCK: tl.constexpr):
    """Which byte each lane has: inside the tensor or not, image, channel, row of bytes, column."""
    i = tl.program_id(0).to(tl.int64) * BLOCK + tl.arange(0, BLOCK)
    inside = i < total
    if CHANNELS_LAST:
        channel = i % channels
        column = i // channels % width
        row = i // (channels * width) % byte_rows
        image = i // (channels * width * byte_rows)
    else:
        column = i % width
        row = i // width % byte_rows
        channel = i // (width * byte_rows) % channels
        image = i // (width * byte_rows * channels)
    return inside, image, channel, row, column


@triton.jit
def _at(image, channel, row, column, n, c, h, w):
    """Where an element is, by the strides of its tensor."""
    return image * n + channel * c + row * h + column * w


@triton.jit
def _codes(codes, image, channel, byte_row, column, inside, n, c, h, w):
    return tl.load(codes + _at(image, channel, byte_row, column, n, c, h, w), inside, 0).to(tl.int32)


@triton.jit
def _later_of(first, second):
    """On a tie the first stays, but a NaN always takes over, as in max_pool2d."""
    takes_over = (second > first) | (second != second)
    return tl.where(takes_over, second, first), takes_over.to(tl.int32)


@triton.jit
def _pool(
    full, values, codes, total, channels, byte_rows, height, width,
    fn, fc, fh, fw, vn, vc, vh, vw, cn, cc, ch, cw, CHANNELS_LAST: tl.constexpr, BLOCK: tl.constexpr,
):  # fmt: skip
    inside, image, channel, byte_row, column = _positions(
        total, channels, byte_rows, width, CHANNELS_LAST, BLOCK
    )
    packed = tl.zeros((BLOCK,), tl.int32)
    for k in tl.static_range(4):
        row = byte_row * 4 + k
        there = inside & (row < height)
        corner = full + _at(image, channel, row * 2, column * 2, fn, fc, fh, fw)
        top, right_of_top = _later_of(tl.load(corner, there, 0.0), tl.load(corner + fw, there, 0.0))
        bottom, right_of_bottom = _later_of(
            tl.load(corner + fh, there, 0.0), tl.load(corner + fh + fw, there, 0.0)
        )
        maximum, down = _later_of(top, bottom)
        tl.store(values + _at(image, channel, row, column, vn, vc, vh, vw), maximum, there)
        packed |= tl.where(down == 1, right_of_bottom + 2, right_of_top) << (2 * k)
    tl.store(codes + _at(image, channel, byte_row, column, cn, cc, ch, cw), packed.to(tl.uint8), inside)


@triton.jit
def _place(
    full, values, codes, total, channels, byte_rows, height, width,
    fn, fc, fh, fw, vn, vc, vh, vw, cn, cc, ch, cw, CHANNELS_LAST: tl.constexpr, BLOCK: tl.constexpr,
):  # fmt: skip
    inside, image, channel, byte_row, column = _positions(
        total, channels, byte_rows, width, CHANNELS_LAST, BLOCK
    )
    packed = _codes(codes, image, channel, byte_row, column, inside, cn, cc, ch, cw)
    for k in tl.static_range(4):
        row = byte_row * 4 + k
        there = inside & (row < height)
        code = (packed >> (2 * k)) & 3
        value = tl.load(values + _at(image, channel, row, column, vn, vc, vh, vw), there, 0.0)
        corner = full + _at(image, channel, row * 2, column * 2, fn, fc, fh, fw)
        zero = tl.zeros_like(value)
        tl.store(corner, tl.where(code == 0, value, zero), there)
        tl.store(corner + fw, tl.where(code == 1, value, zero), there)
        tl.store(corner + fh, tl.where(code == 2, value, zero), there)
        tl.store(corner + fh + fw, tl.where(code == 3, value, zero), there)


@triton.jit
def _pick(
    full, values, codes, total, channels, byte_rows, height, width,
    fn, fc, fh, fw, vn, vc, vh, vw, cn, cc, ch, cw, CHANNELS_LAST: tl.constexpr, BLOCK: tl.constexpr,
):  # fmt: skip
    inside, image, channel, byte_row, column = _positions(
        total, channels, byte_rows, width, CHANNELS_LAST, BLOCK
    )
    packed = _codes(codes, image, channel, byte_row, column, inside, cn, cc, ch, cw)
    for k in tl.static_range(4):
        row = byte_row * 4 + k
        there = inside & (row < height)
        code = (packed >> (2 * k)) & 3
        at = _at(image, channel, row * 2 + (code >> 1), column * 2 + (code & 1), fn, fc, fh, fw)
        found = tl.load(full + at, there, 0.0)
        tl.store(values + _at(image, channel, row, column, vn, vc, vh, vw), found, there)
