"""A plain setting is its field, which says all there is to know of it, and the file that uses it."""

import ast
from dataclasses import fields
from pathlib import Path

import segnet
from segnet import DataOptions, TrainConfig

SOURCE = Path(segnet.__file__).parent

# Settings that decide more than one thing, each with why; every other one is plain.
NOT_PLAIN = {
    "recipe": "names tables of the others, and stands in reports",
    "model": "names what is built, and stands in reports and files",
    "model_options": "build a model: the run's, one to start from, one to compare shapes with",
    "teacher": "a model of its own, with checks, a loss and a line as the run begins",
    "unlabeled": "data of its own, with checks, a loss and a line as the run begins",
    "encoder_lr": "the optimizer, and a check that there is an encoder",
    "start_from": "brings weights, classes and a licence",
    "size": "images, batches, patches, masks and the model file",
    "patch": "another kind of data: chosen, cut, predicted and described otherwise",
    "patch_scale": "how patches are read, in training and in the model file",
    "crop_scale": "crops, how large images are kept for them, and how large patches are cut",
    "epochs": "the loop's end, the schedule, what is derived, what is printed; resume takes it",
    "batch_size": "batches, what is derived, checks and what is printed",
    "accumulate": "shares of batches, what is derived, checks; resume takes it",
    "sync_batch_norm": "the processes' batch norm, a check and what is printed",
    "loss": "the loss, what is derived, and the name beside curves",
    "class_weights": "the loss, checks, what is derived and what is printed",
    "seed": "everything random",
    "precision": "how every network of a run is computed",
    "compile": "is tried before it costs anything, and then done",
    "out": "the run's folder, which a teacher must not be",
    "derived": "what segnet notes of the others",
    "undecided": "what segnet notes of the others",
}


def is_configuration(node):
    """Whether an expression is a configuration, as in ``config`` and ``self.config``."""
    return getattr(node, "id", getattr(node, "attr", "")) in ("config", "TrainConfig")


def is_setting(node):
    """Whether an expression is a call of ``setting``."""
    return isinstance(node, ast.Call) and getattr(node.func, "id", "") == "setting"


def names_in(file):
    """The names that a file reads of a configuration, gives to one, or lists."""
    lists_settings = file.relative_to(SOURCE).parts[0] in ("training", "data")
    for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Attribute) and is_configuration(node.value):
            yield node.attr
        elif isinstance(node, ast.Call) and any(map(is_configuration, (node.func, *node.args[:1]))):
            yield from (keyword.arg for keyword in node.keywords)
        elif isinstance(node, ast.Tuple | ast.List | ast.Set) and lists_settings:
            yield from (each.value for each in node.elts if isinstance(each, ast.Constant))
        elif isinstance(node, ast.AnnAssign) and is_setting(node.value):
            yield node.target.id


def test_a_plain_setting_stands_in_two_files():
    own = {entry.name for entry in fields(TrainConfig)} - {entry.name for entry in fields(DataOptions)}
    found = {file: {*names_in(file)} for file in sorted(SOURCE.rglob("*.py"))}
    places = {
        name: [str(file.relative_to(SOURCE)) for file, names in found.items() if name in names]
        for name in (own | {"seed"}) - NOT_PLAIN.keys()
    }
    assert len(places) >= 35
    assert {name: files for name, files in places.items() if len(files) > 2} == {}
