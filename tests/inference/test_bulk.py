"""Bulk prediction: the ordinary command's results from many workers, each once, whoever dies meanwhile."""

import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import time
import zipfile
from pathlib import Path

import numpy as np
import psutil
import pytest
from PIL import Image

from segnet import SegnetError, __version__
from segnet.inference.bulk import cluster as bulk_cluster
from segnet.inference.bulk.places import Address, find_sources
from segnet.inference.bulk.prediction import begin, part_name
from segnet.inference.bulk.worker import Options, Worker

pytest.importorskip("ray", reason="bulk prediction needs the extra ray")

LONGEST_S = 240  # a cluster starts in seconds, and in much more where other tests take the cores

# An object store, as fsspec finds one that is installed: another protocol, a rename that is a copy and a
# removal, and slow, so that there is a middle in which to kill something.
BUCKET = """
import os, time
from fsspec import AbstractFileSystem
from fsspec.implementations.dirfs import DirFileSystem
from fsspec.implementations.local import LocalFileSystem

class Bucket(DirFileSystem):
    protocol = "bucket"

    def __init__(self, **options):
        super().__init__(path=os.environ["BUCKET"], fs=LocalFileSystem())

    def get_file(self, path, *others, **options):
        time.sleep(0.1)
        return super().get_file(path, *others, **options)

    def mv(self, *paths, **options):
        return AbstractFileSystem.mv(self, *paths, **options)
"""


def draw(folder, count):
    for index in range(count):
        rng = np.random.default_rng(index)
        few = Image.fromarray(rng.integers(0, 256, (5, 5, 3), dtype=np.uint8))
        file = folder / f"{index % 3}" / f"{index:04}.jpg"
        file.parent.mkdir(parents=True, exist_ok=True)
        few.resize(tuple(map(int, rng.integers(30, 90, 2)))).save(file)


@pytest.fixture
def bucket(tmp_path, monkeypatch):
    """The folder that ``bucket://`` is."""
    installed = tmp_path / "installed"
    (installed / "bucket-1.dist-info").mkdir(parents=True)
    (installed / "bucket_fs.py").write_text(BUCKET)
    (installed / "bucket-1.dist-info" / "METADATA").write_text(
        "Metadata-Version: 2.1\nName: bucket\nVersion: 1\n"
    )
    (installed / "bucket-1.dist-info" / "entry_points.txt").write_text(
        "[fsspec.specs]\nbucket = bucket_fs:Bucket\n"
    )
    (tmp_path / "bucket").mkdir()
    path = os.pathsep.join([str(installed), *filter(None, [os.environ.get("PYTHONPATH")])])
    monkeypatch.setenv("PYTHONPATH", path)
    monkeypatch.setenv("BUCKET", str(tmp_path / "bucket"))
    return tmp_path / "bucket"


@pytest.fixture
def begin_command():
    """Start the command; whatever it started is gone afterwards."""
    started = []

    def start(*arguments):
        command = [sys.executable, "-m", "segnet", "predict", "--engine", "ray", *map(str, arguments)]
        started.append(subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True))
        return started[-1]

    yield start
    for process in started:
        if process.poll() is None:
            family = [*psutil.Process(process.pid).children(recursive=True), process]
            for each in family:
                each.kill()
        process.communicate()


def end(process):
    out, err = process.communicate(timeout=LONGEST_S)
    return process.returncode, out, err


def wait_for(condition):
    until = time.monotonic() + LONGEST_S
    while not (found := condition()):
        assert time.monotonic() < until
        time.sleep(0.05)
    return found


def files_of(folder):
    """The content of each result, without the manifest."""
    files = [file for file in folder.rglob("*") if file.is_file()]
    relative = {file.relative_to(folder).as_posix(): file for file in files}
    return {name: file.read_bytes() for name, file in relative.items() if not name.startswith("manifest/")}


def lines_of(folder):
    parts = sorted((folder / "manifest").glob("part-*.jsonl"))
    return [json.loads(line) for part in parts for line in part.read_text().splitlines()]


def worker_of(model, place, **options):
    return Worker({model.name: model.read_bytes()}, Options(**options), place, __version__, "0")


# One worker, without Ray


def test_a_piece_gives_the_ordinary_commands_files_and_lines(segnet, here, onnx_file):
    draw(here / "in", 20)
    (here / "in" / "broken.png").write_bytes(b"no image")
    Image.fromarray(np.zeros((20, 30, 3), np.uint8)).save(
        here / "in" / "pages.tif", save_all=True, append_images=[Image.new("RGB", (40, 20), "red")]
    )
    ordinary = segnet("predict", "in", "--model", onnx_file, "--out", "out", "--probabilities", "--regions")
    shutil.move("out", "ordinary")
    sources = find_sources(["in"])
    place = Address.at("out")
    worker = worker_of(onnx_file, place, probabilities=True, least_region=1)
    lines = worker.do(0, sources[:16]) + worker.do(1, sources[16:])
    assert files_of(here / "out") == files_of(here / "ordinary")
    good = [line for line in lines if "error" not in line]
    assert "".join(json.dumps(line) + "\n" for line in good) == ordinary.out
    assert [f"segnet: {line['error']}" for line in lines if "error" in line] == ordinary.err.splitlines()[:1]


def test_what_is_there_is_not_written_again(here, onnx_file):
    draw(here / "in", 3)
    sources = find_sources(["in"])
    place = Address.at("out")
    worker = worker_of(onnx_file, place)
    lines = worker.do(0, sources)

    def seen():
        return {file: file.stat().st_mtime_ns for file in (here / "out").rglob("*.png")}

    before = seen()
    assert worker.do(0, sources) == lines
    assert seen() == before


def test_a_part_that_a_killed_process_left_is_written_anew(here, onnx_file):
    """File systems that copy files to move them leave such parts, as fsspec's DirFileSystem does."""
    draw(here / "in", 2)
    sources = find_sources(["in"])
    worker = worker_of(onnx_file, Address.at("out"))
    worker.do(0, sources)
    whole = files_of(here / "out")
    for part, content in (("0.overlay.png", b""), ("1.mask.png", b"\x89PNG")):
        (file,) = (here / "out").rglob(f"*{part}")
        file.write_bytes(content)
    worker.do(0, sources)
    assert files_of(here / "out") == whole


def test_no_half_file_gets_a_name(here, onnx_file, monkeypatch):
    draw(here / "in", 1)
    sources = find_sources(["in"])
    place = Address.at("out")
    worker = worker_of(onnx_file, place)

    def stop_half_way(target, content, **options):
        Path(target).write_bytes(content[:20])
        if len(content) > 1:  # what is noted of the piece fits
            raise OSError(28, "No space left on device")

    monkeypatch.setattr(place.file_system, "pipe_file", stop_half_way)
    with pytest.raises(SegnetError, match=r"can't write out/.*No space left.*make room"):
        worker.do(0, sources)
    assert files_of(here / "out") == {}


def test_a_piece_that_killed_its_workers_before_is_not_tried_for_ever(here, onnx_file):
    draw(here / "in", 1)
    sources = find_sources(["in"])
    worker = worker_of(onnx_file, Address.at("out"))
    for _ in range(3):
        worker.place.begin_again("0-0", 3)
    with pytest.raises(SegnetError, match=r"3 workers died while they did in/0/0000.jpg"):
        worker.do(0, sources)


def test_a_worker_of_another_version_says_so(here, onnx_file):
    draw(here / "in", 1)
    sources = find_sources(["in"])
    model = {"model.onnx": onnx_file.read_bytes()}
    worker = Worker(model, Options(), Address.at("out"), "9.9", "0")
    with pytest.raises(SegnetError, match=f"a worker has segnet {__version__}, and not 9.9"):
        worker.do(0, sources)


@pytest.mark.parametrize(
    ("broken", "says"),
    [
        ("raise SegnetError('full')", "segnet: full\n"),
        (
            "raise ValueError('odd')",
            "segnet: RuntimeError: ValueError: odd (this is a fault of segnet; --debug",
        ),
    ],
)
@pytest.mark.campaign  # in one process: test_a_worker_of_another_version_says_so
def test_what_a_worker_raises_ends_the_command(here, onnx_file, broken, says, monkeypatch):
    """Of our own errors the line itself, as the ordinary command says it."""
    draw(here / "in", 1)
    code = f"""
import os
import segnet.inference.bulk.worker as worker
from segnet import SegnetError

def fail(*_):
    {broken}

worker.Worker._segment = fail
"""
    (here / "sitecustomize.py").write_text(code)
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join([str(here), os.environ.get("PYTHONPATH", "")]))
    command = [sys.executable, "-m", "segnet", "predict", "in", "--engine", "ray", "--model", str(onnx_file)]
    done = subprocess.run([*command, "--workers", "1"], capture_output=True, text=True, timeout=LONGEST_S)
    assert (done.stdout, done.stderr[: len(says)]) == ("", says)


# Paths and addresses


def test_addresses_stand_for_what_paths_do(here):
    draw(here / "in", 7)
    (here / "in" / ".hidden.jpg").write_bytes(b"")
    (here / "in" / "0" / "notes.txt").write_bytes(b"")
    with zipfile.ZipFile("in.zip", "w") as archive:
        for file in sorted((here / "in").rglob("*.*")):
            archive.write(file, file.relative_to(here / "in"))
    for pattern in ("", "0", "**/*.jpg", "1/0001.jpg"):
        expected = [(each.path, each.name) for each in find_sources([f"in/{pattern}"])]
        for protocol in ("file", "local"):
            found = find_sources([f"{protocol}://{here}/in/{pattern}"])
            assert [(each.path, each.name) for each in found] == expected
        zipped = find_sources([f"zip://{pattern}::{here}/in.zip"])
        assert [each.name for each in zipped] == [name for _, name in expected]
    assert zipped[0].shown == f"zip://1/0001.jpg::{here}/in.zip"


@pytest.mark.parametrize(
    ("source", "says"),
    [
        ("file://HERE/none", "there is no image file://.*none: no file or folder of this name"),
        ("file://HERE/empty", "there is no image file://.*empty: the folder holds none"),
        ("nothing://a", "can't open nothing://a: Protocol not known"),
        ("none.jpg", "there is no image none.jpg"),
    ],
)
def test_addresses_that_stand_for_nothing_are_named(here, source, says):
    (here / "empty").mkdir()
    with pytest.raises(SegnetError, match=says):
        find_sources([source.replace("HERE", str(here))])


def test_results_at_an_address_are_called_by_it(here):
    assert Address.at("masks").show("a.png") == str(Path("masks/a.png"))
    assert Address.at(f"file://{here}/masks/").show("a.png") == f"file://{here}/masks/a.png"
    assert Address.at(f"dir://masks::file://{here}").show("a.png") == f"dir://masks/a.png::file://{here}"


# The manifest


SETTINGS = {"model": ["1"], "images": 3, "list": "x", "threshold": None, "overlay": True}


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ({"model": ["2"]}, "out was begun with another model; go on so, or give another --out"),
        ({"images": 4, "list": "y"}, "out was begun with other images, 3 and not 4"),
        ({"list": "y"}, "out was begun with other images;"),
        ({"threshold": 0.5}, "out was begun with threshold left out and not 0.5"),
        ({"overlay": False}, "out was begun with overlay on and not off"),
    ],
)
def test_a_manifest_of_something_else_is_refused(here, change, says):
    place = Address.at("out")
    assert begin(place, SETTINGS) == {}
    assert begin(place, SETTINGS | change) == {}, "nothing was done"
    assert begin(place, SETTINGS) == {}
    (here / "out" / part_name(7)).write_text('{"image": "a"}\n')
    assert begin(place, SETTINGS) == {7: [{"image": "a"}]}
    with pytest.raises(SegnetError, match=says):
        begin(place, SETTINGS | change)


def test_a_folder_of_other_files_is_refused(here):
    (here / "out").mkdir()
    (here / "out" / "a.txt").write_text("")
    with pytest.raises(SegnetError, match="out holds files, and not of a bulk prediction"):
        begin(Address.at("out"), SETTINGS)
    with pytest.raises(SegnetError, match="is a file; name a folder"):
        begin(Address.at("out/a.txt"), SETTINGS)


# The command


def test_what_makes_no_sense_in_bulk_is_refused(segnet, here):
    draw(here / "in", 1)
    (here / "file").write_text("")
    bulk = ("predict", "--engine", "ray")
    for arguments, says in [
        ((*bulk, "-"), "writes masks of many files; leave - or --engine ray out"),
        ((*bulk, "in", "--out", "-"), "leave --out - or --engine ray out"),
        ((*bulk, "in", "--format", "coco"), "leave --format coco or --engine ray out"),
        ((*bulk, "in", "--workers", 0), "--workers is a number from 1"),
        ((*bulk, "in", "--device", "cuda:1"), "give --device cuda, not cuda:1"),
        ((*bulk, "in", "--out", "file/below"), "can't write file/below/manifest/settings.json: "),
        ((*bulk, "in", "--out", "nothing://a"), "can't open nothing://a"),
        (
            (*bulk, "in", "--ray-address", "127.0.0.1:1"),
            "no Ray cluster can be reached at 127.0.0.1:1: C",
        ),
        ((*bulk, "in", "--ray-address", "ray://a:1"), "--ray-address is HOST:PORT of a cluster's head"),
        (("predict", "in", "--workers", 2), "--workers and --ray-address go with --engine ray"),
    ]:
        segnet(*arguments).is_a_mistake_in_one_line(says)


def test_what_listens_but_is_no_ray_is_not_waited_for(here, monkeypatch):
    monkeypatch.setattr(bulk_cluster, "_ANSWER_S", 3)
    with socket.create_server(("127.0.0.1", 0)) as silent:
        address = f"127.0.0.1:{silent.getsockname()[1]}"
        with (
            pytest.raises(
                SegnetError, match=f"no Ray cluster can be reached at {address}: .* in 3 s; start one"
            ),
            bulk_cluster.cluster(address, 1),
        ):
            pass


@pytest.mark.campaign  # in one process: test_a_piece_that_killed_its_workers_before_is_not_tried_for_ever
def test_a_worker_killed_in_the_middle_costs_nothing(segnet, here, bucket, onnx_file, begin_command):
    """Two workers of a cluster of this machine; images from an address, results to a path."""
    draw(bucket / "in", 120)
    (bucket / "in" / "0" / "broken.jpg").write_bytes(b"no image")
    before = {*Path("/tmp").glob("segnet-*")}
    ran = begin_command("bucket://in", "--model", onnx_file, "--out", "out", "--workers", 2)
    wait_for(lambda: len([*Path("out/manifest").glob("part-*")]) >= 2 or ran.poll() is not None)
    family = psutil.Process(ran.pid).children(recursive=True)
    workers = [each for each in family if each.cmdline()[:1] and "MapWorker" in each.cmdline()[0]]
    assert len(workers) == 2
    workers[0].kill()
    code, out, err = end(ran)
    assert code == 1
    assert err.splitlines() == [
        "segnet: bucket://in/0/broken.jpg is not an image that can be read; "
        "convert it to PNG or JPEG, or take it out",
        "segnet: 1 of 121 images could not be read",
    ]
    assert segnet("predict", bucket / "in", "--model", onnx_file, "--out", "ordinary").code == 1
    assert files_of(here / "out") == files_of(here / "ordinary")
    said = [line["image"] for line in lines_of(here / "out")]
    images = [f"bucket://{file.relative_to(bucket)}" for file in (bucket / "in").rglob("*.jpg")]
    assert sorted(said) == sorted(images), "each once"
    assert sorted(json.loads(line)["image"] for line in out.splitlines()) == sorted(
        {*images} - {"bucket://in/0/broken.jpg"}
    )
    assert psutil.wait_procs(family, timeout=60)[1] == [], "all have ended"
    assert {*Path("/tmp").glob("segnet-*")} <= before
    assert [path.name for path in (here / "out" / "manifest").glob(".*")] == []


@pytest.mark.campaign  # in one process: test_what_is_there_is_not_written_again
def test_a_second_start_does_the_rest(segnet, here, bucket, onnx_file, begin_command):
    """The command is stopped with all its workers, then goes on; results at an address."""
    draw(bucket / "in", 100)
    command = ("bucket://in/**/*.jpg", "--model", onnx_file, "--out", "bucket://out", "--workers", 2)
    ran = begin_command(*command)
    wait_for(lambda: [*(bucket / "out/manifest").glob("part-*")] or ran.poll() is not None)
    ran.send_signal(signal.SIGINT)
    code, _, _ = end(ran)
    assert code == 130
    done = lines_of(bucket / "out")
    assert 0 < len(done) < 100
    code, second, err = end(begin_command(*command))
    assert code == 0
    assert err == f"segnet: {len(done)} of 100 files are done already\n"
    assert len(second.splitlines()) == 100 - len(done)
    lines = lines_of(bucket / "out")
    assert len({line["image"] for line in lines}) == len(lines) == 100
    assert {line["mask"].startswith("bucket://out/0") for line in lines} == {True}
    assert segnet("predict", bucket / "in", "--model", onnx_file, "--out", "ordinary").code == 0
    flat = {Path(name).name: content for name, content in files_of(here / "ordinary").items()}
    assert files_of(bucket / "out") == flat
    code, third, err = end(begin_command(*command, "--no-overlay"))
    assert (code, third) == (2, "")
    assert (
        err == "segnet: bucket://out was begun with overlay on and not off; go on so, or give another --out\n"
    )
