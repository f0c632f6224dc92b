"""The house: a room imports only from its own floor and those below, no file in a circle; files stay short.

And nothing depends on where the repository lies: a clone's folder is called segnet, as the package is.
"""

import ast
import itertools
from collections import Counter
from functools import cache
from graphlib import TopologicalSorter
from pathlib import Path

import pytest

from .conftest import ALL_TESTS

ROOT = Path(__file__).parents[1]
SOURCE = ROOT / "src" / "segnet"
FLOORS = {
    "base": 0,
    "core": 1,
    "models": 2, "data": 2, "runs": 2,
    "inference": 3,
    "scoring": 4,
    "report": 5, "figures": 5,
    "training": 6, "export": 6, "bench": 6, "labelling": 6,
    "serve": 7,
    "cli": 8,
}  # fmt: skip
FILES = sorted(SOURCE.rglob("*.py"))


@cache
def parsed(file):
    return ast.parse(file.read_text(encoding="utf-8"))


@cache
def modules_imported_by(file):
    """Every module of the package that a file imports, at its top or inside a function."""
    found = set()
    for node in ast.walk(parsed(file)):
        if isinstance(node, ast.ImportFrom) and (node.module or "").startswith("segnet"):
            found |= {node.module, *(f"{node.module}.{name.name}" for name in node.names)}
    return found


def rooms_imported_by(file):
    return {module.split(".")[1] for module in modules_imported_by(file) if "." in module} & FLOORS.keys()


def test_every_room_has_its_floor():
    rooms = {path.name for path in SOURCE.iterdir() if (path / "__init__.py").exists()}
    assert rooms == FLOORS.keys()


@pytest.mark.parametrize("room", FLOORS)
def test_a_room_imports_nothing_from_above(room):
    above = {
        (str(file.relative_to(SOURCE)), other)
        for file in (SOURCE / room).rglob("*.py")
        for other in rooms_imported_by(file)
        if FLOORS[other] > FLOORS[room]
    }
    assert above == set()


def test_no_file_imports_itself_by_way_of_others():
    names = {".".join(file.relative_to(SOURCE.parent).with_suffix("").parts): file for file in FILES}
    imports = {name: names.keys() & modules_imported_by(file) for name, file in names.items()}
    TopologicalSorter(imports).prepare()  # raises CycleError


def test_no_file_is_longer_than_400_lines():
    long = {file.name: len(file.read_text(encoding="utf-8").splitlines()) for file in FILES}
    assert {name: lines for name, lines in long.items() if lines > 400} == {}


def test_no_function_has_a_body_of_more_than_60_lines():
    long = {}
    for file in FILES:
        for node in ast.walk(parsed(file)):
            if isinstance(node, ast.FunctionDef):
                first = node.body[1:2] if ast.get_docstring(node) else node.body[:1]
                lines = node.end_lineno - first[0].lineno + 1 if first else 0
                if lines > 60:
                    long[f"{file.name} {node.name}"] = lines
    assert long == {}


def test_no_room_has_more_than_25_files():
    counts = Counter(str(file.parent.relative_to(SOURCE)) for file in FILES)
    assert {room: count for room, count in counts.items() if count > 25} == {}


def test_no_two_rooms_have_files_of_one_name():
    """But for those of the commands, which are called after them."""
    names = [file.stem for file in FILES if file.stem != "__init__" and file.parent.name != "cli"]
    twice = {name for name in names if names.count(name) > 1}
    assert twice <= {"pooling"}, "pooling has its benchmark"


def test_no_two_files_have_public_classes_of_one_name():
    names = Counter(
        node.name
        for file in FILES
        for node in parsed(file).body
        if isinstance(node, ast.ClassDef) and not node.name.startswith("_")
    )
    assert [name for name, count in names.items() if count > 1] == []


@pytest.mark.parametrize("folder", ["src", "tests", "benchmarks", "docs", "notebooks"])
def test_nothing_looks_for_the_package_in_the_parts_of_a_path(folder):
    """A file of ours is one below `segnet.__file__`; in a clone every file has a part called segnet."""
    found = [
        f"{file.relative_to(ROOT)}:{node.lineno}"
        for file in sorted((ROOT / folder).rglob("*.py"))
        for node in ast.walk(parsed(file))
        if isinstance(node, ast.Compare)
        for one, other in itertools.permutations((node.left, *node.comparators), 2)
        if isinstance(one, ast.Constant) and isinstance(one.value, str) and "segnet" in one.value
        if isinstance(other, ast.Attribute) and other.attr in ("parts", "parent", "filename", "__file__")
    ]
    assert found == []


def test_campaigns_are_few(request):
    """``make test`` leaves them out: at most one test in twenty."""
    items = request.config.stash[ALL_TESTS]
    if {item.path for item in items} != {*(ROOT / "tests").rglob("test_*.py")}:
        pytest.skip("needs all tests, as make test collects them")
    marked = [item.nodeid for item in items if item.get_closest_marker("campaign")]
    assert len(marked) <= len(items) / 20
