"""What torch's exporter makes of a network, which takes it ten seconds: made once for all tests of a file."""

from contextlib import contextmanager

import pytest
from onnx import ModelProto

from segnet.core.kernels import exported
from segnet.export import onnx_graph


@contextmanager
def traced_once():
    """Let ``to_graph`` trace a network once, and go on from a copy where it gets the same one again."""
    trace, known = onnx_graph._traced, {}

    def remembered(model, *settings):
        weights = tuple((name, tensor.numpy().tobytes()) for name, tensor in model.state_dict().items())
        promised = [
            each.holds for each in (exported.EVEN_SIZES, exported.FIXED_SIZE, exported.HALF_CONSTANTS)
        ]
        key = (repr(model), weights, settings, *promised)
        if key not in known:
            known[key] = trace(model, *settings)
        copied = ModelProto()
        copied.CopyFrom(known[key])
        return copied

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(onnx_graph, "_traced", remembered)
        yield
