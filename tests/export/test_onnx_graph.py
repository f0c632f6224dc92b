"""The exported graph: equal to the model at any size, and nothing in it that a runtime would stumble on."""

from dataclasses import dataclass

import onnx
import onnxruntime
import pytest
import torch
from onnx import ModelProto, TensorProto
from torch import nn
from torch.export import Dim, ExportedProgram
from torch.nn import functional as F

from segnet import MODELS, SegnetError, create_model
from segnet.core.blocks import DecoderStage, EncoderStage, encode_decode
from segnet.core.kernels.exported import EVEN_SIZES
from segnet.export import onnx_graph
from segnet.export.onnx_graph import to_graph

SMALL = {
    "segnet": {"stages": 1},
    "segnet-basic": {"channels": 4},
    "segnet-dsc": {"stages": 2},
    "segnet-nano": {"stages": [[48, 1], [48, 1]], "bottleneck": [48, 1, 3]},
    "segnet-lite": {"stages": [[8, 1], [16, 1]], "bottleneck": [16, 1, 3]},
    "segnet-plus": {"stages": [[8, 1]], "bottleneck": [8, 1, 3], "features": False, "stride": 1},
    "segnet-efficient": {"width": 0.25},
    "segnet-vgg16": {"width": 2},
    "fcn": {"width": 4, "head": 16},
    "unet": {"width": 4},
    "vit": {"image_size": 64, "patch": 16, "width": 32, "depth": 1},
}
STEP = {"vit": 16}
# One with pooling indices alone, whose graph holds it twice, and one of those that pad and hand on features.
REPRESENTATIVE = ("segnet-lite",)


def run(graph, image):
    session = onnxruntime.InferenceSession(graph.SerializeToString())
    return torch.from_numpy(session.run(["logits"], {"image": image.numpy()})[0])


@dataclass(frozen=True)
class Exported:
    name: str
    model: nn.Module
    graph: ModelProto
    program: ExportedProgram | None
    """What ``graph`` was made of, where that is the model for any size."""


@pytest.fixture(
    scope="module",
    params=[
        name if name in REPRESENTATIVE else pytest.param(name, marks=pytest.mark.campaign) for name in SMALL
    ],
)
def exported(request):
    torch.manual_seed(0)
    model = create_model(request.param, **SMALL[request.param]).train()
    with torch.no_grad():
        for _ in range(10):  # so that batch norm knows what it normalises
            model(torch.rand(4, 3, 64, 64))
    programs, trace = {}, onnx_graph._exported_program

    def kept(model, size, channels, step):
        program = trace(model, size, channels, step)
        programs[step, EVEN_SIZES.holds] = program
        return program

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(onnx_graph, "_exported_program", kept)
        graph = to_graph(model.eval(), (64, 64))
    return Exported(request.param, model, graph, programs.get((1, False)))


def test_every_model_is_exported():
    assert set(SMALL) == set(MODELS)


def test_gives_the_models_logits_at_any_size_and_batch(exported):
    model, graph = exported.model, exported.graph
    step = STEP.get(exported.name, 1)
    for batch, height, width in [(1, 64, 64), (3, 96, 32), (2, 97, 131), (1, 63, 34)]:
        image = (torch.rand(batch, 3, height // step * step, width // step * step) * 255).round()
        with torch.no_grad():
            expected = model(image / 255)
        found = run(graph, image)
        assert (found.argmax(1) == expected.argmax(1)).float().mean() >= 0.999
        # a maximum that wins by float rounding may win elsewhere: then a value stands beside its place
        assert torch.isclose(found, expected, rtol=1e-3, atol=1e-4).float().mean() > 0.98


def test_torchs_own_program_takes_any_batch_height_and_width(exported):
    step, full = STEP.get(exported.name, 1), 255
    program = exported.program
    if program is None:  # the graph was made of one for some sizes
        full, anything = 1, Dim.DYNAMIC
        sizes = ({0: anything, 2: anything, 3: anything},)
        program = torch.export.export(exported.model, (torch.rand(2, 3, 96, 128),), dynamic_shapes=sizes)
    network = program.module()
    for batch, height, width in [(1, 73, 95), (3, 80, 64)]:  # torch.export can't let a pooled map shrink to 1
        image = torch.rand(batch, 3, height // step * step, width // step * step)
        with torch.no_grad():
            torch.testing.assert_close(network(image * full), exported.model(image), rtol=1e-4, atol=1e-5)


def graphs_of(model):
    """Every graph of a model: its own, and those in the branches of its nodes."""
    found = [model.graph]
    for graph in found:
        found += [each.g for node in graph.node for each in node.attribute if each.HasField("g")]
    return found


def test_is_made_of_standard_operations_that_every_runtime_knows(exported):
    graph = exported.graph
    onnx.checker.check_model(graph, full_check=True)
    assert [(each.domain, each.version) for each in graph.opset_import] == [("", 18)]
    for nodes in (each.node for each in graphs_of(graph)):
        for node in nodes:
            assert node.domain == ""
            assert node.op_type not in {"IsNaN", "MaxUnpool", "ScatterND", "NonZero", "Loop", "Scan"}
            assert not (node.op_type == "MaxPool" and len(node.output) > 1), "pooling indices"


def test_is_floating_point_on_the_images_whole_way(exported):
    graph = exported.graph
    inferred = onnx.shape_inference.infer_shapes(graph)
    on_the_way = {"image"}
    types = {}
    for each in graphs_of(inferred):
        for value in [*each.value_info, *each.input, *each.output]:
            types[value.name] = value.type.tensor_type.elem_type
        for node in each.node:
            if node.op_type != "Shape" and on_the_way & set(node.input):
                on_the_way |= set(node.output)
    assert {types[name] for name in on_the_way if name in types} == {TensorProto.FLOAT}
    assert len(on_the_way & types.keys()) > 10
    assert not any(t in types.values() for t in (TensorProto.UINT8, TensorProto.INT8))


def test_says_nothing_of_the_machine_it_was_made_on(exported):
    graph = exported.graph
    assert b".py" not in graph.SerializeToString()


class Pooling(nn.Module):
    """Pool and un-pool alone, ``depth`` times."""

    def __init__(self, depth):
        super().__init__()
        self.encoder = nn.ModuleList(EncoderStage([nn.Identity()]) for _ in range(depth))
        self.decoder = nn.ModuleList(DecoderStage([nn.Identity()]) for _ in range(depth))

    def forward(self, image):
        return encode_decode(image, self.encoder, self.decoder)


def stock_pooling(image, depth):
    kept = []
    for _ in range(depth):
        size = image.shape[-2:]
        image, indices = F.max_pool2d(image, 2, return_indices=True)
        kept.append((indices, size))
    for indices, size in reversed(kept):
        image = F.max_unpool2d(image, indices, 2, output_size=list(size))
    return image


@pytest.fixture(scope="module")
def pooling_graph():
    return to_graph(Pooling(2), (64, 64))


@pytest.mark.parametrize("size", [(16, 16), (64, 32), (17, 16), (16, 17), (30, 45), (33, 63)])
@pytest.mark.parametrize("values", [1, 2, 3, 256])
def test_pools_and_unpools_like_stock_bit_by_bit_ties_and_all(pooling_graph, size, values):
    torch.manual_seed(values)
    image = torch.randint(0, values, (2, 3, *size)).float()  # of few values, many are equal
    assert torch.equal(run(pooling_graph, image), stock_pooling(image / 255, 2))


class OfOneSize(nn.Module):
    """A module that can't take another size than 32x48."""

    def __init__(self):
        super().__init__()
        self.rows = nn.Linear(48, 48)
        self.classifier = nn.Conv2d(3, 2, 1)

    def forward(self, image):
        return self.classifier(self.rows(image.reshape(image.shape[0], 3, 32, 48)))


def test_a_module_of_ones_own_for_one_size_is_exported_for_that_size():
    model = OfOneSize().eval()
    graph = to_graph(model, (32, 48))
    image = torch.rand(3, 3, 32, 48) * 255
    torch.testing.assert_close(run(graph, image), model(image / 255).detach(), rtol=1e-4, atol=1e-5)


class LooksAtItsValues(nn.Module):
    def forward(self, image):
        return image if image.mean() > 0.5 else image * 2


def test_a_module_that_cannot_be_exported_says_why_in_one_line():
    with pytest.raises(
        SegnetError, match="LooksAtItsValues can't be exported; torch's exporter says: "
    ) as error:
        to_graph(LooksAtItsValues(), (32, 32))
    assert "\n" not in str(error.value)
