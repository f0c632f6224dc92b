"""What ``segnet bench models`` measures and refuses, on tiny models: rows, files and errors, never times."""

import csv
import sys
from pathlib import Path

import numpy as np
import onnx
import pytest
import torch
from onnx import TensorProto, helper
from rich.console import Console

from segnet import ClassTable, create_model
from segnet.bench.entries import draw_pictures, open_model
from segnet.bench.latency import PACKAGES, compare_models, latency_table, reference_of, write_csv
from segnet.export.onnx_graph import to_graph
from segnet.inference.description import Description
from segnet.inference.model_file import write_model_file

from ..exported import small_network, write_onnx
from ..tracing import traced_once

TINY = {"stages": [[8, 2]], "bottleneck": [8, 0, 3]}
QUICK = {"size": (32, 32), "repeats": 2, "threads": 1}


@pytest.fixture(scope="module", autouse=True)
def _traced_once():
    with traced_once():
        yield


@pytest.fixture(scope="module")
def tiny(tmp_path_factory):
    """A tiny segnet-lite as a model file."""
    torch.manual_seed(0)
    classes = ClassTable.named(("pet", "background", "border"))
    description = Description("segnet-lite", classes, (32, 32), "nearest", TINY)
    path = tmp_path_factory.mktemp("bench") / "tiny.safetensors"
    write_model_file(path, create_model("segnet-lite", **TINY).state_dict(), description)
    return path


@pytest.fixture(scope="module")
def other(tmp_path_factory):
    """Someone else's file, for images and batches of any size."""
    path = tmp_path_factory.mktemp("bench") / "other.onnx"
    write_onnx(path, small_network(), None)
    return path


@pytest.fixture(scope="module")
def rows(tiny, other):
    usual = [name for name in PACKAGES if name != "torch-compiled"]
    return compare_models([str(tiny)], beside=[other], runtimes=usual, batch_sizes=(2, 1), **QUICK)


@pytest.mark.campaign
def test_a_model_has_a_row_in_every_runtime_beside_its_stock_copy_and_other_peoples_files(rows, tiny):
    sides = [(row.side.model, row.side.runtime) for row in rows if row.batch_size == 1]
    floats, in_int8 = ["torch", "onnxruntime", "openvino"], ["onnxruntime-int8", "openvino-int8"]
    assert sides == [
        *((str(tiny), runtime) for runtime in [*floats, *in_int8, "litert", "litert-int8"]),
        *((f"{tiny}, stock", runtime) for runtime in floats),
        *(("other.onnx", runtime) for runtime in floats[1:]),
    ]
    assert [(row.side.model, row.side.runtime) for row in rows if row.batch_size == 2] == sides
    assert [row.batch_size for row in rows] == sorted(row.batch_size for row in rows)


@pytest.mark.campaign
def test_a_row_says_what_was_measured(rows):
    for row in rows:
        assert 0 < row.fastest_ms <= row.median_ms <= row.p95_ms
        assert row.images_a_second == pytest.approx(1000 * row.batch_size / row.median_ms)
        assert len(row.seconds) >= 2
        assert row.memory_mib is None or row.memory_mib > 0
        assert row.side.size_bytes > 1000
    lite = create_model("segnet-lite", **TINY)
    parameters = sum(weight.numel() for weight in lite.parameters())
    network = sum(weight.numel() for weight in small_network().parameters())
    counted = {row.side.model.rpartition("/")[2]: row.side.parameters for row in rows}
    one = 1  # the 255 that its graph divides by
    assert counted == {
        "tiny.safetensors": parameters,
        "tiny.safetensors, stock": parameters,
        "other.onnx": network + one,
    }


@pytest.mark.campaign
def test_ratios_are_to_the_file_from_beside_in_the_same_runtime(rows):
    for row in rows:
        other = reference_of(row, rows)
        assert other.side.model == "other.onnx"
        assert other.batch_size == row.batch_size
        in_others = dict.fromkeys(("torch", "litert"), "onnxruntime")  # which can't run the file
        assert other.side.runtime == in_others.get(row.side.engine, row.side.engine)


@pytest.mark.campaign
def test_without_such_a_file_they_are_to_the_stock_copy_in_the_same_runtime(rows, tiny):
    ours = [row for row in rows if not row.side.is_beside]
    for row in ours:
        other = reference_of(row, ours)
        engine = {"litert": "torch"}.get(row.side.engine, row.side.engine)  # LiteRT has no stock copy
        assert (other.side.model, other.side.runtime) == (f"{tiny}, stock", engine)
        assert other.batch_size == row.batch_size


@pytest.mark.campaign
def test_without_either_they_are_to_the_first_row(rows, tiny):
    ours = [row for row in rows if row.side.model == str(tiny)]
    assert {id(reference_of(row, ours)) for row in ours} == {id(ours[0]), id(ours[len(ours) // 2])}


@pytest.mark.campaign
def test_rows_are_written_and_printed(rows, tmp_path):
    write_csv(tmp_path / "a.csv", rows, "# here")
    machine, *lines = (tmp_path / "a.csv").read_text().splitlines()
    assert machine == "# here"
    written = [*csv.DictReader(lines)]
    assert [line["runtime"] for line in written] == [row.side.runtime for row in rows]
    for line, row in zip(written, rows, strict=True):
        assert float(line["median_ms"]) == pytest.approx(row.median_ms, rel=1e-3)
        ratio = row.median_ms / reference_of(row, rows).median_ms
        assert float(line["ratio"]) == pytest.approx(ratio, rel=1e-3)
        assert line["ratio_to"] == f"other.onnx in {reference_of(row, rows).side.runtime}"
    console = Console(width=200, record=True)
    console.print(latency_table(rows, "title"))
    assert console.export_text().count("other.onnx") == 4


def test_fresh_weights_get_statistics_of_pictures():
    model = open_model("segnet-lite", (32, 32), draw_pictures(8, (32, 32))).module
    assert not torch.allclose(model.normalise.running_mean, torch.zeros(3))
    assert not model.training


@pytest.mark.campaign
def test_a_model_without_a_stock_copy_is_measured_without_it():
    said = []
    rows = compare_models(["unet"], runtimes=["torch"], batch_sizes=(1,), say=said.append, **QUICK)
    assert [row.side.model for row in rows] == ["unet"]
    assert "left out: unet of stock layers; UNet has no stages of SegNet's, so no stock copy" in said


# Beside the command: benchmarks/pooling_share.py


@pytest.fixture
def pooling_share(monkeypatch):
    monkeypatch.syspath_prepend(Path(__file__).parents[2] / "benchmarks")
    import pooling_share

    return pooling_share


@pytest.mark.campaign
def test_what_pooling_takes_is_told_from_the_network(tiny, pooling_share, monkeypatch, here, capsys):
    options = [
        "--size",
        "32",
        "--batch-sizes",
        "1",
        "2",
        "--threads",
        "1",
        "--repeats",
        "2",
        "--csv",
        "a.csv",
    ]
    monkeypatch.setattr(sys, "argv", ["pooling_share.py", str(tiny), *options])
    pooling_share.main()
    assert capsys.readouterr().out.count(" pooling ") == 2
    machine, *lines = (here / "a.csv").read_text().splitlines()
    assert machine.startswith("# ")
    spent = [*csv.DictReader(lines)]
    for batch_size in ("1", "2"):
        own = [row for row in spent if row["batch_size"] == batch_size]
        assert sum(float(row["share"]) for row in own) == pytest.approx(1, abs=1e-3)
        parts = {(row["part"], row["operation"]) for row in own}
        assert {("network", "Conv"), ("pooling", "Conv"), ("pooling", "MaxPool")} <= parts
        assert ("network", "MaxPool") not in parts


def test_marking_changes_names_alone_and_finds_every_layer_of_the_network(pooling_share):
    torch.manual_seed(0)  # weights as in the file
    model = create_model("segnet-lite", **TINY).eval()
    graph = to_graph(model, (32, 32))
    image = np.random.RandomState(0).rand(2, 3, 32, 48).astype(np.float32) * 255
    before = run(graph, image)
    pooling_share.mark_parts(graph.graph)
    onnx.checker.check_model(graph)
    assert np.array_equal(run(graph, image), before)
    convolutions = [node for node in graph.graph.node if node.op_type == "Conv"]
    layers = [module for module in model.modules() if isinstance(module, torch.nn.Conv2d)]
    assert sum(node.name.startswith("network/") for node in convolutions) == len(layers)


def run(graph, image):
    import onnxruntime

    return onnxruntime.InferenceSession(graph.SerializeToString()).run(None, {"image": image})[0]


# The command, with files that need no export.


QUICKLY = ("--size", "32", "--repeats", "1", "--batch-sizes", "1", "--threads", "1")


def test_the_command_prints_a_table_and_writes_a_csv(segnet, other, here):
    ended = segnet("bench", "models", other, "--runtimes", "onnxruntime", "--csv", "a.csv", *QUICKLY)
    assert (ended.code, ended.err) == (0, "")
    row = next(line.split() for line in ended.out.splitlines() if line.split()[:1] == ["other.onnx"])
    assert row[1:3] == ["onnxruntime", "1"]
    assert row[-1] == "1.00"
    assert (here / "a.csv").read_text().count("\n") == 3


def test_a_file_for_one_batch_size_is_left_out_of_the_others(segnet, here):
    write_fixed(here / "fixed.onnx", [1, 3, 32, 32])
    options = ("--runtimes", "onnxruntime", "--batch-sizes", "1,2", "--size", "32", "--repeats", "1")
    ended = segnet("bench", "models", "fixed.onnx", *options)
    assert (ended.code, ended.err) == (0, "")
    assert "left out: fixed.onnx with batches of 2; it takes batches of 1 alone" in ended.out


def write_fixed(path, shape, kind=TensorProto.FLOAT, operation="Relu"):
    """A file that takes images of one shape, and does what ONNX may not even have."""
    sides = [[helper.make_tensor_value_info(name, kind, shape)] for name in ("x", "y")]
    graph = helper.make_graph([helper.make_node(operation, ["x"], ["y"])], "fixed", *sides)
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=10)
    onnx.save(model, path)


MISTAKES = {
    "--beside nowhere.onnx": "there is no file nowhere.onnx",
    "--beside text.onnx": "text.onnx is damaged or no ONNX file",
    "--beside half.onnx": "takes float16 (1, 3, 32, 32), where one float (N, 3, H, W) is needed",
    "--beside grey.onnx": "takes float (1, 1, 32, 32), where one float (N, 3, H, W) is needed",
    "--beside flat.onnx": "takes float (3, 32), where one float (N, 3, H, W) is needed",
    "--beside large.onnx": "large.onnx takes images of 64x96 alone; give --size 64x96",
    "--beside many.onnx": "many.onnx takes batches of 4 alone; give --batch-sizes 4",
    "--beside unknown.onnx": "unknown.onnx can't be run by onnxruntime: ",
    "--repeats 0": "--repeats, --batch-sizes and --threads must be at least 1, got 0, 1 and 1",
    "--batch-sizes 0": "must be at least 1, got 1, 0 and 1",
    "--batch-sizes some": "whole numbers with commas between, such as 1,16, not some",
    "--threads 0": "must be at least 1, got 1, 1 and 0",
    "--runtimes onxruntime": "there is no runtime 'onxruntime'; did you mean 'onnxruntime'?",
    "segnet-light": "segnet-light is no run folder, no model file and no bundled model",
    "--size 8": "segnet-lite needs images of at least 16 px each way",
    "grey.onnx --runtimes torch --size 32": "takes float (1, 1, 32, 32)",
    "good.onnx --runtimes torch": "nothing to measure",
}


@pytest.mark.parametrize(("arguments", "says"), MISTAKES.items())
def test_a_mistake_is_one_line_that_says_what_would_work(segnet, here, arguments, says):
    (here / "text.onnx").write_text("no model")
    write_fixed(here / "good.onnx", [1, 3, 32, 32])
    write_fixed(here / "half.onnx", [1, 3, 32, 32], TensorProto.FLOAT16)
    write_fixed(here / "grey.onnx", [1, 1, 32, 32])
    write_fixed(here / "flat.onnx", [3, 32])
    write_fixed(here / "large.onnx", ["batch", 3, 64, 96])
    write_fixed(here / "many.onnx", [4, 3, 32, 32])
    write_fixed(here / "unknown.onnx", [1, 3, 32, 32], operation="Levitate")
    given = arguments.split()
    defaults = [
        word
        for name, value in (*zip(QUICKLY[::2], QUICKLY[1::2], strict=True), ("--runtimes", "onnxruntime"))
        if name not in given
        for word in (name, value)
    ]
    segnet("bench", "models", *given, *defaults).is_a_mistake_in_one_line(says)
