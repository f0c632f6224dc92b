"""One safetensors file is a model: what goes in comes out, and what is no model of ours is refused."""

import json

import pytest
import torch
from safetensors.torch import load_file, save, save_file

from segnet import ClassTable, SegnetError
from segnet.inference.description import Description
from segnet.inference.model_file import build_model, read_description, read_model, write_model_file

DESCRIPTION = Description(
    model="segnet-lite",
    classes=ClassTable(("a", "b"), ((1, 2, 3), (250, 5, 6))),
    size=(48, 64),
    resize="area",
    options={"stages": [[8, 1]], "bottleneck": [8, 0, 3]},
    scores={"val": {"mean_iou": 0.5, "confusion": [[1, 2], [3, 4]]}},
    training={"data": "leaves", "seed": 3},
    versions={"torch": "2"},
    notice="CC BY-SA 4.0, © somebody",
)


@pytest.fixture
def weights():
    return build_model(DESCRIPTION).state_dict()


@pytest.fixture
def file(tmp_path, weights):
    path = tmp_path / "model.safetensors"
    write_model_file(path, weights, DESCRIPTION)
    return path


def rewrite(path, *, tensors=None, **changes):
    """Change entries of the description (None takes one out) or the weights of a model file."""
    header = json.loads(path.read_bytes()[8 : 8 + int.from_bytes(path.read_bytes()[:8], "little")])
    values = json.loads(header["__metadata__"]["segnet"]) | changes
    text = json.dumps({name: value for name, value in values.items() if value is not None})
    save_file(tensors or load_file(path), path, metadata={"segnet": text})


def test_what_was_written_is_read_back_to_the_bit(file, weights):
    model, description = read_model(file)
    assert description == DESCRIPTION
    assert read_description(file) == DESCRIPTION
    assert not model.training
    assert all(torch.equal(tensor, weights[name]) for name, tensor in model.state_dict().items())


def test_the_same_model_gives_the_same_bytes_in_whatever_order_it_comes(file, weights, tmp_path):
    again = tmp_path / "again.safetensors"
    write_model_file(again, dict(reversed(weights.items())), DESCRIPTION)
    assert again.read_bytes() == file.read_bytes()


def test_the_metadata_is_one_key_of_json_that_other_programs_can_read(file):
    content = file.read_bytes()
    header = json.loads(content[8 : 8 + int.from_bytes(content[:8], "little")])
    assert list(header["__metadata__"]) == ["segnet"]
    description = json.loads(header["__metadata__"]["segnet"])
    assert description["classes"]["names"] == ["a", "b"]
    assert description["size"] == [48, 64]


def test_weights_may_lie_anywhere_in_memory_and_keep_their_values(tmp_path, weights):
    channels_last = {
        name: tensor.to(memory_format=torch.channels_last) if tensor.ndim == 4 else tensor
        for name, tensor in weights.items()
    }
    write_model_file(tmp_path / "m.safetensors", channels_last, DESCRIPTION)
    restored = read_model(tmp_path / "m.safetensors")[0].state_dict()
    assert all(torch.equal(restored[name], tensor) for name, tensor in weights.items())


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_half_precision_weights_are_opened_in_float32(file, weights, dtype):
    halves = {name: t.to(dtype) if t.is_floating_point() else t for name, t in weights.items()}
    rewrite(file, tensors=halves)
    restored = read_model(file)[0].state_dict()
    assert {t.dtype for t in restored.values()} == {torch.float32, torch.int64}
    assert all(torch.equal(restored[name], half.to(restored[name].dtype)) for name, half in halves.items())


def test_entries_that_a_later_version_adds_are_left_out(file):
    rewrite(file, colour_of_the_sky="blue")
    assert read_description(file) == DESCRIPTION


@pytest.mark.parametrize(
    ("content", "says"),
    [
        (b"", "damaged or no safetensors file"),
        (b"PK\x03\x04 a pickled checkpoint, say", "damaged or no safetensors file"),
        (save({"a": torch.zeros(9)}, {"segnet": "{}"})[:-4], "damaged or no safetensors file"),
        (save({"a": torch.zeros(9)}), "holds weights but not what they belong to"),
        (save({"a": torch.zeros(9)}, {"format": "pt"}), "holds weights but not what they belong to"),
        (save({"a": torch.zeros(9)}, {"segnet": "{"}), "the description inside .* is damaged"),
        (save({"a": torch.zeros(9)}, {"segnet": "5"}), "the description inside .* is damaged"),
        (save({"a": torch.zeros(9)}, {"segnet": "{}"}), "the description inside .* is damaged"),
    ],
)
def test_a_file_that_is_no_model_of_ours_is_named_with_what_to_give(tmp_path, content, says):
    path = tmp_path / "other.safetensors"
    path.write_bytes(content)
    for read in (read_description, read_model):
        with pytest.raises(SegnetError, match=says) as error:
            read(path)
        assert "other.safetensors" in str(error.value)
        assert "give a run folder or the model.safetensors of one" in str(error.value)


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        ({"format": 3}, "written by a newer segnet; upgrade"),
        ({"format": None}, "damaged"),
        ({"format": "new"}, "upgrade"),
        ({"model": None}, "damaged"),
        ({"model": 3}, "damaged .*model 3"),
        ({"resize": "cubic"}, "damaged .*cubic"),
        ({"size": [128]}, "damaged"),
        ({"size": [0, 128]}, "damaged"),
        ({"size": "big"}, "damaged"),
        ({"classes": ["a", "b"]}, "damaged"),
        ({"classes": {"names": ["a", "a"], "colours": [[0, 0, 0]] * 2, "ignore_index": 255}}, "must differ"),
        ({"classes": {"names": ["a"], "colours": [[0, 300, 0]], "ignore_index": 255}}, "damaged .*300"),
        ({"classes": {"names": ["a"], "colours": [[0, 0]], "ignore_index": 255}}, "damaged"),
        ({"intensity": {"channels": 0, "ranges": None}}, "damaged .*channels 0"),
        ({"intensity": {"channels": 3, "ranges": [[0, 1]]}}, "damaged .*1 ranges for 3 channels"),
        ({"intensity": {"channels": 1, "ranges": [[2, 1]]}}, "damaged .*ranges"),
        ({"intensity": 3}, "damaged"),
        ({"intensity": {"channels": 4, "ranges": None}}, "in the file and .* in the model"),
        ({"model": "segnet-lyte"}, "did you mean 'segnet-lite'.*upgrade"),
        ({"options": {"stagez": 3}}, "no option 'stagez'.*did you mean 'stages'"),
        ({"options": {"stages": 3}}, "segnet-lite can't be built with"),
        (
            {"options": {"stages": [[4, 1]], "bottleneck": [4, 0, 3]}},
            r"is \(8, 8, 1, 1\) in the file and \(8, 4, 1, 1\) in the model",
        ),
        ({"options": {"stages": [[8, 1], [8, 1]], "bottleneck": [8, 0, 3]}}, "is absent in the file and"),
        ({"model": "segnet", "options": {}}, "in the file and absent in the model"),
    ],
)
def test_a_description_that_is_wrong_is_one_line_with_the_file(file, changes, says):
    rewrite(file, **changes)
    with pytest.raises(SegnetError, match=says) as error:
        read_model(file)
    assert str(file) in str(error.value)
    assert "\n" not in str(error.value)
    assert len(str(error.value)) < 250 + len(str(file))


def test_a_file_of_the_first_segnet_lite_is_told_from_one_that_lacks_something(file, weights):
    rewrite(file, tensors={name: tensor for name, tensor in weights.items() if "depthwise_norm" not in name})
    with pytest.raises(SegnetError, match=r"segnet 0\.1 wrote it, whose segnet-lite was another network"):
        read_model(file)
    rewrite(file, tensors={name: tensor for name, tensor in weights.items() if "lateral" not in name})
    with pytest.raises(SegnetError, match=r"lateral.* is absent in the file"):
        read_model(file)


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_weights_of_a_training_that_diverged_are_refused(file, weights, value):
    broken = weights["classifier.weight"].clone()
    broken[0, 0] = value
    rewrite(file, tensors=weights | {"classifier.weight": broken})
    with pytest.raises(SegnetError, match=r"classifier\.weight holds NaN or infinity"):
        read_model(file)


def test_no_file_and_a_folder_are_told_apart(tmp_path):
    with pytest.raises(SegnetError, match=r"there is no model file .*none\.safetensors"):
        read_model(tmp_path / "none.safetensors")
    with pytest.raises(SegnetError, match="can't be read"):
        read_model(tmp_path)


def test_a_full_disk_leaves_the_old_model(file, weights):
    resource = pytest.importorskip("resource", reason="file size limits are POSIX's")
    before = file.read_bytes()
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (1000, hard))
    try:
        with pytest.raises(SegnetError, match="can't write"):
            write_model_file(file, weights, DESCRIPTION)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert file.read_bytes() == before
    assert [path.name for path in file.parent.iterdir()] == ["model.safetensors"]
