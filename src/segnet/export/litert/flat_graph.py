"""A LiteRT model that is put together operation by operation, and its bytes.

Every tensor is of a known shape, the rows and columns before the channels. Only what opens the file by name
has one: names of all tensors would make a small model's file a tenth larger.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import flatbuffers
import numpy as np
import numpy.typing as npt
from ai_edge_litert import schema_py_generated as schema

from segnet.inference.runtimes import INPUT, OUTPUT

_ALIGNED = 16  # bytes: kernels read weights where they lie in the file
_VERSION = 3  # of the schema; it has had no other since 2017
_TYPES = {
    np.dtype(np.float32): schema.TensorType.FLOAT32,
    np.dtype(np.float16): schema.TensorType.FLOAT16,
    np.dtype(np.int8): schema.TensorType.INT8,
    np.dtype(np.int32): schema.TensorType.INT32,
}
# The versions of operations that a runtime must know for int8; of floating point it is 1.
_INT8_VERSIONS = {"CONV_2D": 3, "DEPTHWISE_CONV_2D": 3, "QUANTIZE": 1}
_LATER_INT8 = 2


@dataclass(frozen=True)
class Quantised:
    """The value of a whole number in an int8 tensor: ``(number - zero) * scale``."""

    scale: tuple[float, ...]
    """One, or one for each channel."""
    zero: int = 0
    axis: int = 0
    """Of the channels, where there are several scales."""


@dataclass(frozen=True)
class FlatTensor:
    """A tensor of a graph, by its number."""

    number: int
    shape: tuple[int, ...]
    quantised: Quantised | None = None


class FlatGraph:
    """Operations and tensors so far; each operation returns what it gives."""

    def __init__(self) -> None:
        self._buffers = [schema.BufferT()]  # the first is empty, as the format asks
        self._tensors: list[_Tensor] = []
        self._operators: list[_Operator] = []
        self._constants: dict[object, FlatTensor] = {}
        self._known: dict[bytes, int] = {}
        self._codes: list[tuple[str, int]] = []

    def tensor(
        self,
        shape: Sequence[int],
        dtype: npt.DTypeLike = np.float32,
        quantised: Quantised | None = None,
    ) -> FlatTensor:
        """Add a tensor that an operation gives, or the image."""
        return self._add(tuple(shape), np.dtype(dtype), 0, quantised)

    def name(self, tensor: FlatTensor, name: str) -> None:
        """Give a tensor a name."""
        self._tensors[tensor.number].name = name

    def constant(self, values: npt.NDArray[Any], quantised: Quantised | None = None) -> FlatTensor:
        """Return a tensor with these values, one for all that are equal."""
        key = values.tobytes(), values.shape, values.dtype, quantised
        if key not in self._constants:
            number = self._buffer_of(values.tobytes())
            self._constants[key] = self._add(values.shape, values.dtype, number, quantised)
        return self._constants[key]

    def operation(
        self, kind: str, inputs: Sequence[FlatTensor], outputs: Sequence[FlatTensor], **options: Any
    ) -> FlatTensor:
        """Add an operation by the schema's name for it, and return its first output.

        Args:
            kind: a name in the schema's ``BuiltinOperator``.
            inputs: in its order.
            outputs: tensors that this operation gives.
            options: the fields of its options, by the schema's names; none where it has none.
        """
        int8 = schema.TensorType.INT8
        is_int8 = any(self._tensors[each.number].kind == int8 for each in (*inputs, *outputs))
        version = _INT8_VERSIONS.get(kind, _LATER_INT8) if is_int8 else 1
        if (kind, version) not in self._codes:
            self._codes.append((kind, version))
        takes, gives = (tuple(each.number for each in side) for side in (inputs, outputs))
        code = self._codes.index((kind, version))
        self._operators.append(_Operator(kind, code, takes, gives, tuple(options.items())))
        return outputs[0]

    def to_bytes(self, image: FlatTensor, logits: FlatTensor, metadata: dict[str, bytes]) -> bytes:
        """Return the file from what enters and what comes out, with what it says of itself by name."""
        model, graph = schema.ModelT(), schema.SubGraphT()
        model.version, model.description = _VERSION, "segnet"
        model.metadata = []
        for name, content in metadata.items():
            entry = schema.MetadataT()
            entry.name, entry.buffer = name, self._buffer_of(content)
            model.metadata.append(entry)
        graph.tensors, graph.operators = self._tensors, self._operators
        graph.inputs, graph.outputs = [image.number], [logits.number]
        model.subgraphs, model.buffers = [graph], self._buffers
        model.operatorCodes = [_code(*each) for each in self._codes]
        model.signatureDefs = [_signature(image, logits)]
        builder = flatbuffers.Builder(1 << 16)
        written: dict[object, Any] = {}
        for part in (*self._tensors, *self._operators):
            part.written = written
        builder.Finish(model.Pack(builder), file_identifier=b"TFL3")
        return bytes(builder.Output())

    def _buffer_of(self, content: bytes) -> int:
        """Return the number of the buffer with these bytes, one for all that are equal."""
        if content not in self._known:
            self._known[content] = len(self._buffers)
            self._buffers.append(_Buffer(content))
        return self._known[content]

    def _add(
        self, shape: tuple[int, ...], dtype: np.dtype[Any], buffer: int, quantised: Quantised | None
    ) -> FlatTensor:
        self._tensors.append(_Tensor(shape, _TYPES[dtype], buffer, quantised))
        return FlatTensor(len(self._tensors) - 1, shape, quantised)


# Where the options of an operation aren't called as it is.
_OPTIONS = {
    "CONV_2D": "Conv2DOptions",
    "DEPTHWISE_CONV_2D": "DepthwiseConv2DOptions",
    "MAXIMUM": "MaximumMinimumOptions",
    "MINIMUM": "MaximumMinimumOptions",
}


class _Part:
    """A part of a graph, in place of the schema's class that writes equal vectors and tables again and again.

    Of an int8 file these were a quarter, above all zeros for every channel of every kernel.
    """

    written: dict[object, Any]
    """Where in the file a vector or table is that was written before."""

    def _once(self, content: object, write: Callable[[], Any]) -> Any:
        if content not in self.written:
            self.written[content] = write()
        return self.written[content]

    def _numbers(self, builder: Any, values: tuple[float, ...], dtype: npt.DTypeLike = np.int32) -> Any:
        """Write a vector of numbers."""
        array = np.array(values, dtype)
        return self._once((array.tobytes(), dtype), lambda: builder.CreateNumpyVector(array))


@dataclass
class _Operator(_Part):
    kind: str
    code: int
    inputs: tuple[int, ...]
    outputs: tuple[int, ...]
    options: tuple[tuple[str, Any], ...]

    def Pack(self, builder: Any) -> Any:  # noqa: N802 - the schema's name
        inputs, outputs = (self._numbers(builder, side) for side in (self.inputs, self.outputs))
        words = "".join(part.capitalize() for part in self.kind.split("_"))
        name = _OPTIONS.get(self.kind, f"{words}Options")
        options = self.options and self._once((name, self.options), lambda: self._pack_options(builder, name))
        schema.OperatorStart(builder)
        schema.OperatorAddOpcodeIndex(builder, self.code)
        schema.OperatorAddInputs(builder, inputs)
        schema.OperatorAddOutputs(builder, outputs)
        if options:
            schema.OperatorAddBuiltinOptionsType(builder, getattr(schema.BuiltinOptions, name))
            schema.OperatorAddBuiltinOptions(builder, options)
        return schema.OperatorEnd(builder)

    def _pack_options(self, builder: Any, name: str) -> Any:
        options = getattr(schema, f"{name}T")()
        for field, value in self.options:
            setattr(options, field, value)
        return options.Pack(builder)


@dataclass
class _Tensor(_Part):
    shape: tuple[int, ...]
    kind: int
    buffer: int
    quantised: Quantised | None
    name: str | None = None

    def Pack(self, builder: Any) -> Any:  # noqa: N802 - the schema's name
        shape = self._numbers(builder, self.shape)
        quantised = self._once(self.quantised, lambda: self._quantisation(builder))
        name = None if self.name is None else builder.CreateString(self.name)
        schema.TensorStart(builder)
        schema.TensorAddShape(builder, shape)
        schema.TensorAddType(builder, self.kind)
        schema.TensorAddBuffer(builder, self.buffer)
        if name is not None:
            schema.TensorAddName(builder, name)
        if quantised is not None:
            schema.TensorAddQuantization(builder, quantised)
        return schema.TensorEnd(builder)

    def _quantisation(self, builder: Any) -> Any:
        if self.quantised is None:
            return None
        scale = self._numbers(builder, self.quantised.scale, np.float32)
        zero = self._numbers(builder, (self.quantised.zero,) * len(self.quantised.scale), np.int64)
        schema.QuantizationParametersStart(builder)
        schema.QuantizationParametersAddScale(builder, scale)
        schema.QuantizationParametersAddZeroPoint(builder, zero)
        schema.QuantizationParametersAddQuantizedDimension(builder, self.quantised.axis)
        return schema.QuantizationParametersEnd(builder)


class _Buffer(schema.BufferT):  # type: ignore[misc] # the schema's classes have no types
    """Bytes that begin where kernels can read them; the schema's own class packs them at any place."""

    def __init__(self, content: bytes) -> None:
        super().__init__()
        self._content = content

    def Pack(self, builder: Any) -> Any:  # noqa: N802 - the schema's name
        data = aligned_vector(builder, self._content)
        schema.BufferStart(builder)
        schema.BufferAddData(builder, data)
        return schema.BufferEnd(builder)


def aligned_vector(builder: Any, content: bytes) -> Any:
    """Write bytes so that they begin where kernels and parsers may read them, and return where."""
    builder.StartVector(1, len(content), _ALIGNED)
    builder.head -= len(content)
    builder.Bytes[builder.head : builder.head + len(content)] = content
    return builder.EndVector()


def _code(kind: str, version: int) -> Any:
    code = schema.OperatorCodeT()
    code.builtinCode, code.version = getattr(schema.BuiltinOperator, kind), version
    code.deprecatedBuiltinCode = min(code.builtinCode, 127)  # where runtimes of before 2020 look
    return code


def _signature(image: FlatTensor, logits: FlatTensor) -> Any:
    signature = schema.SignatureDefT()
    signature.signatureKey, signature.subgraphIndex = "serving_default", 0
    for side, name, tensor in (("inputs", INPUT, image), ("outputs", OUTPUT, logits)):
        named = schema.TensorMapT()
        named.name, named.tensorIndex = name, tensor.number
        setattr(signature, side, [named])
    return signature
