"""``segnet export``: files that predict what their model does, and a gate that holds back the others."""

import json

import numpy as np
import onnx
import pytest
from onnx import TensorProto, numpy_helper
from onnx.reference import ReferenceEvaluator
from PIL import Image

from segnet import SegnetError, load
from segnet.export.exporter import export
from segnet.export.parity import Parity, judge

from ..tracing import traced_once


@pytest.fixture(scope="module", autouse=True)
def _traced_once():
    """Every file is written and compared anew; those of one precision begin with the same trace."""
    with traced_once():
        yield


@pytest.fixture(scope="module")
def exported(model_file, photos):
    return export(model_file, images=str(photos))


def test_the_file_lies_beside_the_model_and_predicts_the_same(exported, model_file, noise):
    assert exported.path == model_file.with_suffix(".onnx")
    ours, theirs = load(model_file).predict(noise), load(exported.path).predict(noise)
    assert np.mean(ours.mask == theirs.mask) > 0.999
    assert load(exported.path).description == load(model_file).description


def test_a_name_may_hold_what_patterns_are_made_of(model_file, photos, tmp_path):
    done = export(model_file, images=str(photos), out=tmp_path / "net[1].onnx")
    assert done.size_bytes == (tmp_path / "net[1].onnx").stat().st_size > 0


def test_the_report_says_what_was_compared_and_with_what_result(exported, photos):
    report = json.loads(exported.report.read_text())
    assert report["passed"] is True
    assert report["images"] == f"6 images of {photos}"
    assert report["count"] == 6
    assert report["equal_pixels"] >= report["limits"]["equal_pixels"] == 0.999
    assert report["mean_iou_model"] is None, "photos have no truth"
    assert report["mean_iou_file"] > 0.99
    assert report["bytes"] == exported.path.stat().st_size
    assert report["latency_ms_file"] > 0
    assert report["versions"]["onnxruntime"]


def test_int8_turns_the_dense_layers_and_keeps_the_rest_as_float16(model_file, photos, tmp_path):
    exported = export(
        model_file, precision="int8", images=str(photos), calibrate=str(photos), out=tmp_path / "small.onnx"
    )
    graph = onnx.load(exported.path).graph
    kinds = {tensor.data_type for tensor in graph.initializer if ".weight" in tensor.name}
    assert {onnx.TensorProto.INT8, onnx.TensorProto.FLOAT16} <= kinds
    assert load(exported.path).predict(photos / "0.png").mask.shape


def test_a_file_that_says_something_else_gets_a_name_that_says_so(model_file, photos, tmp_path, segnet):
    out, dark = tmp_path / "small.onnx", tmp_path / "dark"
    dark.mkdir()
    Image.new("RGB", (64, 64)).save(dark / "night.png")
    ended = segnet(
        *map(str, ["export", model_file, "--int8", "--images", photos, "--calibrate", dark, "--out", out])
    )
    assert ended.code == 1
    assert "small.failed.onnx is not what" in ended.err
    assert "at least 0.9 it must be; calibrate on images like those that it will get" in ended.err
    assert {path.name for path in tmp_path.glob("small*")} == {
        "small.failed.onnx",
        "small.failed.onnx.parity.json",
    }
    assert json.loads((tmp_path / "small.failed.onnx.parity.json").read_text())["passed"] is False


def test_int8_may_lose_mean_iou_only_where_the_truth_is_known():
    def failure(model, file, max_loss=1.0):
        parity = Parity("images", 1, 0.0, 0.98, model, file, 1.0, 1.0)
        return judge(parity, "int8", max_loss)[1]

    assert failure(0.72, 0.715) == ""
    assert failure(0.72, 0.70) == "2.00 points of mean IoU are lost, at most 1 may be"
    assert failure(0.72, 0.70, max_loss=3) == ""
    assert failure(None, 0.94) == "", "pixels in doubt change sides, and no score is known"
    assert "a mean IoU of 0.880, at least 0.9" in failure(None, 0.88)


def test_without_the_models_own_data_int8_is_compared_on_what_it_was_calibrated_on(
    model_file, photos, tmp_path
):
    exported = export(model_file, precision="int8", calibrate=str(photos), out=tmp_path / "small.onnx")
    assert exported.parity.images == f"6 images of {photos}"
    assert json.loads(exported.report.read_text())["limits"] == {"mean_iou_with_the_models_masks": 0.9}


@pytest.mark.campaign
def test_float16_weights_are_half_the_file_and_openvino_gets_its_own_format(model_file, photos, tmp_path):
    pytest.importorskip("openvino")
    half = export(
        model_file, to="openvino", precision="float16", out=tmp_path / "half.xml", images=str(photos)
    )
    assert half.failure == ""
    assert load(half.path).runtime.name == "openvino"
    assert (tmp_path / "half.bin").stat().st_size < 2.5 * 3000  # of some 2,900 weights


def in_float16(graph):
    """Turn every number of a graph to float16, as a runtime does that computes in it throughout."""
    for tensor in graph.graph.initializer:
        if tensor.data_type == TensorProto.FLOAT:
            values = numpy_helper.to_array(tensor)
            assert np.isfinite(values.astype(np.float16)).all(), tensor.name
            tensor.CopyFrom(numpy_helper.from_array(values.astype(np.float16), tensor.name))
    for node in graph.graph.node:
        for attribute in node.attribute:
            if node.op_type == "Cast" and attribute.i == TensorProto.FLOAT:
                attribute.i = TensorProto.FLOAT16
            assert attribute.t.data_type != TensorProto.FLOAT, node.name
    for value in (*graph.graph.input, *graph.graph.output, *graph.graph.value_info):
        if value.type.tensor_type.elem_type == TensorProto.FLOAT:
            value.type.tensor_type.elem_type = TensorProto.FLOAT16
    return graph


@pytest.mark.campaign
def test_a_float16_file_can_be_computed_in_float16_throughout(model_file, photos, tmp_path):
    exported = export(model_file, precision="float16", out=tmp_path / "half.onnx", images=str(photos))
    assert exported.parity.equal_pixels >= 0.999
    images = np.stack([np.asarray(Image.open(file).resize((32, 32))) for file in sorted(photos.iterdir())])
    expected = load(model_file).runtime.logits(images)
    half = ReferenceEvaluator(in_float16(onnx.load(exported.path)))
    (found,) = half.run(None, {"image": images.transpose(0, 3, 1, 2).astype(np.float16)})
    assert found.dtype == np.float16
    assert np.isfinite(found).all()
    assert (found.argmax(1) == expected.argmax(1)).mean() > 0.98


@pytest.mark.campaign
def test_torchs_own_program_is_compared_too(model_file, photos, tmp_path):
    exported = export(model_file, to="torch", out=tmp_path / "tiny.pt2", images=str(photos))
    assert exported.parity.equal_pixels >= 0.999
    assert exported.path.is_file()
    with pytest.raises(SegnetError, match="is exported already"):
        export(exported.path)
    with pytest.raises(SegnetError, match=r"no model file that segnet opens; .* torch.export.load opens it"):
        load(exported.path)


def test_weights_of_another_name_are_weights_all_the_same(model_file, tmp_path, noise):
    other = tmp_path / "weights.bin"
    other.write_bytes(model_file.read_bytes())
    assert np.array_equal(load(other).predict(noise).mask, load(model_file).predict(noise).mask)


MISTAKES = {
    "no such model": (["export", "nothing.safetensors"], "no model file"),
    "a target nobody knows": (["export", "MODEL", "--to", "onx"], "Did you mean"),
    "two precisions": (["export", "MODEL", "--fp16", "--int8"], "take one"),
    "int8 of a program": (["export", "MODEL", "--to", "torch", "--int8"], "keeps float32 alone"),
    "a suffix of another format": (["export", "MODEL", "--out", "x.pt"], "ends in .onnx"),
    "calibration without int8": (["export", "MODEL", "--calibrate", "EMPTY"], "is for --int8"),
    "no images to calibrate on": (["export", "MODEL", "--int8", "--calibrate", "EMPTY"], "there is no image"),
    "nothing said to calibrate on": (["export", "MODEL", "--int8"], "--calibrate"),
    "no images to compare on": (["export", "MODEL", "--images", "EMPTY"], "there is no image"),
    "a loss below nothing": (["export", "MODEL", "--int8", "--max-loss", "-1"], "at least 0"),
}


@pytest.mark.parametrize("case", MISTAKES)
def test_mistakes_are_one_line_and_leave_nothing(case, model_file, tmp_path, segnet, here):
    arguments, says = MISTAKES[case]
    (tmp_path / "empty").mkdir()
    model = tmp_path / "model.safetensors"
    model.write_bytes(model_file.read_bytes())
    names = {"MODEL": str(model), "EMPTY": str(tmp_path / "empty")}
    segnet(*(names.get(each, each) for each in arguments)).is_a_mistake_in_one_line(says)
    assert {path.name for path in tmp_path.iterdir()} == {"here", "empty", "model.safetensors"}
    assert not [*here.iterdir()]


def test_an_exported_file_is_not_exported_again(exported):
    with pytest.raises(SegnetError, match="is exported already"):
        export(exported.path)
