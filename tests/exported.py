"""Exported models written out node by node, so that what opens them is tested apart from our exporter."""

import numpy as np
import onnx
import torch
from onnx import TensorProto, helper, numpy_helper
from torch import nn


def small_network(classes=3):
    """Two convolutions with weights that tell classes apart in noise."""
    torch.manual_seed(0)
    network = nn.Sequential(nn.Conv2d(3, 8, 3, padding=1), nn.ReLU(), nn.Conv2d(8, classes, 1))
    with torch.no_grad():
        network[2].weight.mul_(20)
        network[2].bias.zero_()
        network[2].bias -= network(torch.rand(1, 3, 64, 64)).mean((0, 2, 3))
    return network.eval()


def small_graph(network, text, *, image="image", logits="logits"):
    """Return an ONNX model of ``small_network`` that takes 0 to 255; ``text`` None leaves metadata out."""
    first, _, last = network
    values = {"full": np.float32(255)}
    for name, layer in (("first", first), ("last", last)):
        values[f"{name}.weight"] = layer.weight.detach().numpy()
        values[f"{name}.bias"] = layer.bias.detach().numpy()
    classes = last.out_channels
    nodes = [
        helper.make_node("Div", [image, "full"], ["scaled"]),
        helper.make_node("Conv", ["scaled", "first.weight", "first.bias"], ["wide"], pads=[1, 1, 1, 1]),
        helper.make_node("Relu", ["wide"], ["positive"]),
        helper.make_node("Conv", ["positive", "last.weight", "last.bias"], [logits]),
    ]
    sides = [
        [helper.make_tensor_value_info(name, TensorProto.FLOAT, ["batch", channels, "height", "width"])]
        for name, channels in ((image, 3), (logits, classes))
    ]
    constants = [numpy_helper.from_array(value, name) for name, value in values.items()]
    graph = helper.make_graph(nodes, "small", *sides, constants)
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=10)
    if text is not None:
        helper.set_model_props(model, {"segnet": text})
    return model


def write_onnx(path, network, text, **names):
    onnx.save(small_graph(network, text, **names), path)


def write_openvino(path, network, text, **names):
    """Write OpenVINO's own format, ``.xml`` with ``.bin`` beside it."""
    import openvino

    graph = small_graph(network, None, **names).SerializeToString()
    model = openvino.Core().read_model(graph)
    if text is not None:
        model.set_rt_info(text, ["segnet"])
    openvino.save_model(model, path, compress_to_fp16=False)
