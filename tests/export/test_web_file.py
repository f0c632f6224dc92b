"""The model file for browsers: what it holds, and that a cut, damaged or later one is refused."""

import json
import zlib
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from segnet import ClassTable, SegnetError
from segnet.export.layers import network_of
from segnet.export.network import FIELDS, Weights
from segnet.export.web.web_file import about, from_bytes, to_bytes
from segnet.inference.runtimes.with_torch import TorchRuntime
from segnet.inference.segmenter import Segmenter

from .browser_networks import TAKEN, exact

FILE = Path("model.segnet")


@pytest.fixture(scope="module")
def network():
    return network_of(*exact(*TAKEN["segnet-lite"]))


@pytest.fixture(scope="module")
def whole(network):
    return to_bytes({"model": "segnet-lite"}, network, "float16")


def parts(data):
    end = 12 + int.from_bytes(data[8:12], "little")
    return json.loads(data[12:end]), data[end:]


def put_together(header, weights):
    text = json.dumps(header).encode()
    return b"SEGNET\1\0" + len(text).to_bytes(4, "little") + text + weights


def test_the_bytes_lie_as_the_format_says(network, whole):
    header, weights = parts(whole)
    assert whole[:8] == b"SEGNET\1\0"
    assert int.from_bytes(whole[8:12], "little") % 4 == 0
    assert header["weights"] == {
        "precision": "float16",
        "bytes": len(weights),
        "crc32": zlib.crc32(weights),
    }
    first, second = network.weights[:2]
    kernel = np.frombuffer(weights, "<f2", first.kernel.size).reshape(first.kernel.shape)
    assert np.array_equal(kernel, first.kernel)
    at = 2 * first.kernel.size
    assert np.array_equal(np.frombuffer(weights, "<f4", 8, at), first.bias)
    assert np.array_equal(
        np.frombuffer(weights, "<f2", second.kernel.size, at + 4 * 8), second.kernel.ravel()
    )


def test_each_layer_says_what_its_kind_has_and_no_more(whole):
    for layer in parts(whole)[0]["layers"]:
        assert layer.keys() - {"op", "name", "from"} <= {*FIELDS[layer["op"]]}


@pytest.mark.parametrize("precision", ["float32", "float16"])
@pytest.mark.parametrize("case", ["segnet-lite", "segnet-dsc", "segnet-basic", "segnet-efficient"])
def test_what_is_read_back_is_what_was_written(case, precision):
    network = network_of(*exact(*TAKEN[case]))
    _, found = from_bytes(to_bytes({}, network, precision), FILE)
    assert found.layers == network.layers
    assert found.scaling == network.scaling
    for ours, theirs in zip(network.weights, found.weights, strict=True):
        assert (ours is None) == (theirs is None)
        if ours is not None:
            assert np.array_equal(ours.kernel, theirs.kernel)
            assert np.array_equal(ours.bias, theirs.bias)


@pytest.mark.parametrize("case", ["segnet-lite", "segnet-dsc", "segnet-efficient"])
def test_eight_bits_are_off_by_half_a_step_of_each_channel(case):
    network = network_of(*exact(*TAKEN[case]))
    _, found = from_bytes(to_bytes({}, network, "int8"), FILE)
    for ours, theirs in zip(network.weights, found.weights, strict=True):
        if ours is not None:
            step = np.abs(ours.kernel).max(axis=(*range(ours.kernel.ndim - 1),)) / 127
            assert (np.abs(ours.kernel - theirs.kernel) <= 0.5001 * step).all()
            assert np.array_equal(ours.bias, theirs.bias)


def test_a_channel_of_zeros_stays_zero(network):
    first, *others = network.weights
    silent = replace(network, weights=(Weights(first.kernel * 0, first.bias), *others))
    for precision in ("float16", "int8"):
        _, found = from_bytes(to_bytes({}, silent, precision), FILE)
        assert not found.weights[0].kernel.any()


def test_eight_bits_are_half_of_sixteen(network):
    half, eight = (len(parts(to_bytes({}, network, each))[1]) for each in ("float16", "int8"))
    assert 0.5 < eight / half < 0.7


@pytest.mark.parametrize("precision", ["float32", "float16", "int8"])
def test_the_same_network_gives_the_same_bytes(precision):
    once, again = (to_bytes({}, network_of(*exact(*TAKEN["segnet-lite"])), precision) for _ in range(2))
    assert once == again


def test_the_header_says_what_the_description_does():
    model, description = exact(*TAKEN["segnet-lite"])
    description = replace(description, notice="© the photographers", keep_aspect=True, resize="bilinear")
    said = about(Segmenter(TorchRuntime(model), description))
    header, _ = from_bytes(to_bytes(said, network_of(model, description), "float16"), FILE)
    assert header["model"] == "segnet-lite"
    assert header["classes"]["names"] == ["pet", "background", "border"]
    assert header["classes"]["colours"] == [[*colour] for colour in description.classes.colours]
    assert header["background"] == 1
    assert (header["size"], header["resize"], header["keep_aspect"]) == ([64, 32], "bilinear", True)
    assert header["notice"] == "© the photographers"


def test_the_background_is_that_of_an_overlay():
    model, description = exact("segnet", {"stages": 1})

    def background(*names):
        table = replace(description, classes=ClassTable.named(names))
        return about(Segmenter(TorchRuntime(model), table))["background"]

    assert background("cat", "dog", "horse") is None
    assert background("road", "crack") == 0
    assert background("cell", "BG") == 1


def with_header(change):
    def damaged(data):
        header, weights = parts(data)
        change(header)
        return put_together(header, weights)

    return damaged


def set_layer(index, **values):
    return with_header(lambda header: header["layers"][index].update(values))


def flip(at):
    return lambda data: data[:at] + bytes([data[at] ^ 255]) + data[at + 1 :]


DAMAGED = {
    "nothing": (lambda data: b"", "is no model file for browsers"),
    "another file": (lambda data: b"\x89PNG\r\n\x1a\n" + data, "is no model file for browsers"),
    "cut in its first bytes": (lambda data: data[:4], "is cut: it ends after 4 bytes"),
    "cut before its header": (lambda data: data[:12], "in its header"),
    "cut in its header": (lambda data: data[:500], "in its header"),
    "cut in its weights": (lambda data: data[:-7], "is cut: its last 7 bytes are missing"),
    "a later version": (lambda data: data[:6] + b"\2\0" + data[8:], "newer segnet; upgrade"),
    "bytes behind it": (lambda data: data + b"more", "checksum"),
    "a weight that changed": (flip(-2), "checksum"),
    "a header that is no text": (flip(20), "is damaged"),
    "a header that is no JSON": (lambda data: data[:12] + b"x" + data[13:], "is damaged"),
    "a header that is a list": (lambda data: put_together([1], b""), "is damaged"),
    "no weights said": (with_header(lambda header: header.pop("weights")), "weights"),
    "no layers": (with_header(lambda header: header.pop("layers")), "layers"),
    "another precision": (with_header(lambda header: header["weights"].update(precision="int4")), "int4"),
    "weights of another precision": (
        with_header(lambda header: header["weights"].update(precision="int8")),
        "is damaged",
    ),
    "a layer that is left out": (with_header(lambda header: header["layers"].pop(1)), "is damaged"),
    "a layer of another kind": (set_layer(0, op="attention"), "attention"),
    "another activation": (set_layer(0, activation="gelu"), "gelu"),
    "a stride of nothing": (set_layer(0, stride=0), "is damaged"),
    "a kernel that is a text": (set_layer(0, kernel="4"), "is damaged"),
    "a padding below nothing": (set_layer(0, pad=[-1, 1]), "is damaged"),
    "a layer that takes itself": (set_layer(3, **{"from": 4}), "later tensor"),
    "a layer that takes what comes before the image": (set_layer(3, **{"from": -1}), "is damaged"),
    "a map of other channels added": (set_layer(1, add=0), "adds 3 channels to 8"),
    "positions that no pool gives": (
        with_header(
            lambda header: [each.update(codes=1) for each in header["layers"] if each["op"] == "unpool"]
        ),
        "no pool gives",
    ),
    "a scale too few": (with_header(lambda header: header["input"]["scale"].pop()), "input"),
}


@pytest.mark.parametrize("case", DAMAGED)
def test_a_damaged_file_is_refused_in_one_line_that_names_it(case, whole):
    damage, says = DAMAGED[case]
    with pytest.raises(SegnetError, match=says) as error:
        from_bytes(damage(whole), FILE)
    assert str(error.value).startswith("model.segnet ")
    assert "\n" not in str(error.value)


def test_fields_that_a_later_writer_adds_are_left_out(whole):
    header, weights = parts(whole)
    header["more"], header["layers"][0]["hint"] = 1, "fast"
    assert from_bytes(put_together(header, weights), FILE)[1].layers == from_bytes(whole, FILE)[1].layers
