"""The model file for browsers, byte by byte as web/FORMAT.md has it."""

from __future__ import annotations

import json
import zlib
from collections.abc import Iterator, Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any, get_args

import numpy as np
import numpy.typing as npt

from segnet import __version__
from segnet.base.class_roles import background_of
from segnet.base.errors import SegnetError
from segnet.export.network import Network, NetworkLayer, Scaling, Weights, kernel_shapes
from segnet.export.parity import Precision
from segnet.inference.segmenter import Segmenter

_MAGIC, _VERSION, _START = b"SEGNET", 1, 12
_LARGEST_INT8 = 127
_STORED = {"float32": "<f4", "float16": "<f2"}


def about(segmenter: Segmenter) -> dict[str, Any]:
    """Return what the header says besides the network: what happens before and after it."""
    description, classes = segmenter.description, segmenter.classes
    background = background_of(classes.names)
    return {
        "model": description.model,
        "segnet": __version__,
        "classes": {"names": classes.names, "colours": classes.colours},
        "background": None if background is None else classes.names.index(background),
        "size": description.size,
        "resize": description.resize,
        "keep_aspect": description.keep_aspect,
        "notice": description.notice,
    }


def to_bytes(said: Mapping[str, Any], network: Network, precision: Precision) -> bytes:
    """Return the bytes of a model file; the same network gives the same bytes.

    Args:
        said: what ``about`` returns.
        network: layers and weights.
        precision: how a kernel is stored; biases are float32.

    """
    weights = b"".join(
        part + bytes(-len(part) % 4)
        for layer, each in zip(network.layers, network.weights, strict=True)
        if each is not None
        for part in _parts(layer, each, precision)
    )
    scaling = asdict(network.scaling)
    header = {
        **said,
        "input": scaling,
        "layers": [layer.to_plain() for layer in network.layers],
        "weights": {"precision": precision, "bytes": len(weights), "crc32": zlib.crc32(weights)},
    }
    text = json.dumps(header, ensure_ascii=False, separators=(",", ":")).encode()
    text += b" " * (-len(text) % 4)
    return _MAGIC + _VERSION.to_bytes(2, "little") + len(text).to_bytes(4, "little") + text + weights


def from_bytes(data: bytes, file: Path) -> tuple[dict[str, Any], Network]:
    """Return the header and the network of a model file; its weights as the engine computes with them.

    Args:
        data: the file's bytes.
        file: where they come from, for the error.

    Raises:
        SegnetError: bytes of something else, of a later version, cut or damaged.
    """
    again = "export it again with segnet export --to web"
    if data[: len(_MAGIC)] != _MAGIC[: len(data)] or not data:
        raise SegnetError(f"{file} is no model file for browsers; segnet export RUN --to web writes one")
    if len(data) < _START:
        raise SegnetError(f"{file} is cut: it ends after {len(data)} bytes; {again}")
    version, length = (int.from_bytes(data[first:last], "little") for first, last in ((6, 8), (8, _START)))
    if version > _VERSION:
        raise SegnetError(f"{file} was written by a newer segnet; upgrade with pip install -U segnet")
    if len(data) < _START + length:
        raise SegnetError(f"{file} is cut: it ends after {len(data)} bytes, in its header; {again}")
    try:
        header = json.loads(data[_START : _START + length].decode())
        stored, weights = header["weights"], data[_START + length :]
        if len(weights) < stored["bytes"]:
            missing = stored["bytes"] - len(weights)
            raise SegnetError(f"{file} is cut: its last {missing} bytes are missing; {again}")
        if len(weights) > stored["bytes"] or zlib.crc32(weights) != stored["crc32"]:
            raise ValueError("its weights have another checksum")
        return header, _network(header, weights)
    except (ValueError, KeyError, TypeError) as error:
        raise SegnetError(f"{file} is damaged ({error!r}); {again}") from error


def _network(header: Mapping[str, Any], weights: bytes) -> Network:
    layers = tuple(NetworkLayer.from_plain(each) for each in header["layers"])
    image = header["input"]
    scaling = Scaling(
        int(image["channels"]), int(image["multiple"]), tuple(image["scale"]), tuple(image["shift"])
    )
    if not len(scaling.scale) == len(scaling.shift) == scaling.channels >= 1 or scaling.multiple < 1:
        raise ValueError(f"input {image}")
    shapes, precision = kernel_shapes(scaling, layers), header["weights"]["precision"]
    if precision not in get_args(Precision):
        raise ValueError(f"precision {precision!r}")
    parts = _Parts(weights)
    read = tuple(None if shape is None else _read(parts, shape, precision) for shape in shapes)
    if parts.position != len(weights):
        raise ValueError(f"weights of {len(weights)} bytes, where the layers have {parts.position}")
    return Network(scaling, layers, read)


def _parts(layer: NetworkLayer, weights: Weights, precision: Precision) -> Iterator[bytes]:
    """Give what is stored of a layer, in order."""
    kernel = weights.kernel
    if precision == "int8":
        scale = np.abs(kernel).max(axis=tuple(range(kernel.ndim - 1))) / np.float32(_LARGEST_INT8)
        scale[scale == 0] = 1
        yield scale.astype("<f4").tobytes()
        yield np.rint(kernel / scale).astype("i1").tobytes()
    else:
        with np.errstate(over="ignore"):  # too large for float16: the comparison with the model shows it
            yield kernel.astype(_STORED[precision]).tobytes()
    yield weights.bias.astype("<f4").tobytes()


def _read(parts: _Parts, shape: tuple[int, ...], precision: Precision) -> Weights:
    given = shape[-1:]
    if precision == "int8":
        scale = parts.take("<f4", given)
        kernel = parts.take("i1", shape).astype(np.float32) * scale
    else:
        kernel = parts.take(_STORED[precision], shape).astype(np.float32)
    return Weights(kernel, parts.take("<f4", given).astype(np.float32))


class _Parts:
    """Parts of the weights one after the other, each at a multiple of 4 bytes."""

    def __init__(self, data: bytes) -> None:
        self.position = 0
        self._data = data

    def take(self, kind: str, shape: tuple[int, ...]) -> npt.NDArray[Any]:
        """Return the next part; ValueError where the bytes don't reach."""
        count = int(np.prod(shape))
        part = np.frombuffer(self._data, kind, count, self.position).reshape(shape)
        self.position += -(-part.nbytes // 4) * 4
        return part
