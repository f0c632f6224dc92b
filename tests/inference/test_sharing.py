"""One segmenter in many threads and processes: each gets what it would get alone, and none waits for ever."""

import copy
import os
import pickle
import subprocess
import sys
from concurrent.futures import ProcessPoolExecutor, ThreadPoolExecutor
from multiprocessing import get_context

import numpy as np
import pytest
import torch
from torch import nn

from segnet import ClassTable, SegnetError, create_model, load
from segnet.data.faults import Fault
from segnet.inference.model_file import write_model_file

from .conftest import BAYESIAN, describe, segmenter_of

OPENED = [
    ("tiny_file", "torch"),
    ("onnx_file", "onnxruntime"),
    ("onnx_file", "openvino"),
    ("openvino_file", "openvino"),
]
LIMIT_S = 120  # for what takes seconds on an idle machine, and where it is wrong for ever


@pytest.fixture(
    params=[
        pytest.param(each, id=f"{each[0]} in {each[1]}", marks=[pytest.mark.campaign] * ("openvino" in each))
        for each in OPENED
    ]
)
def opened(request):
    """A file, and the runtime that opens it."""
    file, runtime = request.param
    return request.getfixturevalue(file), runtime


def noise(height, width, seed=0):
    return np.random.RandomState(seed).randint(0, 256, (height, width, 3), dtype=np.uint8)


def all_equal(found, expected):
    return len(found) == len(expected) and all(map(np.array_equal, found, expected))


# Threads


def test_threads_get_what_one_after_the_other_gets(opened):
    file, runtime = opened
    segmenter = load(file, runtime=runtime)
    images = [noise(70, 50, seed) for seed in range(12)]
    expected = [segmenter.predict(image).logits for image in images]
    with ThreadPoolExecutor(6) as pool:
        found = [result.logits for result in pool.map(segmenter.predict, images * 4)]
    assert all_equal(found, expected * 4)


@pytest.mark.parametrize(
    ("name", "options"),
    [
        ("segnet-basic", BAYESIAN),
        pytest.param("segnet-vgg16", {"dropout": 0.5, "width": 8}, marks=pytest.mark.campaign),
        ("vit", {"width": 16, "depth": 2, "heads": 2}),
    ],
)
def test_samples_in_one_thread_change_nothing_in_another(name, options):
    torch.manual_seed(0)
    model = create_model(name, 3, **options).eval()
    segmenter = segmenter_of(model, describe(model=name, options=options, size=(32, 32)))
    images = [noise(32, 32, seed) for seed in range(4)]
    plain = [segmenter.predict(image).logits for image in images]
    sampled = [segmenter.predict(image, samples=3, seed=9).logits for image in images]
    before = torch.get_rng_state()
    with ThreadPoolExecutor(4) as pool:
        tasks = [
            pool.submit(segmenter.predict, image, samples=samples, seed=9)
            for _ in range(10)
            for samples in (0, 3)
            for image in images
        ]
        found = [task.result().logits for task in tasks]
    assert all_equal(found, (plain + sampled) * 10)
    assert torch.equal(torch.get_rng_state(), before)
    assert not any(module.training for module in model.modules())


def test_a_threshold_in_one_thread_is_none_in_another(network):
    torch.manual_seed(0)
    two = segmenter_of(nn.Conv2d(3, 2, 1), describe(classes=ClassTable.named(("background", "thing"))))
    image = noise(40, 40)
    others = [two, two.at_threshold(0.2), two.at_threshold(0.8)]
    expected = [each.predict(image).mask for each in others]
    assert len({mask.tobytes() for mask in expected}) == 3
    with ThreadPoolExecutor(6) as pool:
        found = [*pool.map(lambda each: each.predict(image).mask, others * 10)]
    assert all_equal(found, expected * 10)


# What belongs to the whole process

STATE = """
import json, os, random, signal, sys, threading, warnings
import numpy as np, PIL.Image, PIL.ImageFile, torch, segnet

def state():
    return {
        "threads": (torch.get_num_threads(), torch.get_num_interop_threads()),
        "deterministic": (
            torch.are_deterministic_algorithms_enabled(),
            torch.backends.cudnn.benchmark,
            torch.backends.mha.get_fastpath_enabled(),
            torch.get_float32_matmul_precision(),
            torch.get_default_dtype(),
            torch.is_grad_enabled(),
        ),
        "random": (torch.get_rng_state().tolist(), random.getstate(), str(np.random.get_state())),
        "environment": dict(os.environ),
        "warnings": list(warnings.filters),
        "pillow": (PIL.Image.MAX_IMAGE_PIXELS, PIL.ImageFile.LOAD_TRUNCATED_IMAGES),
        "floats": np.geterr(),
        "signals": [signal.getsignal(each) for each in signal.valid_signals()],
        "folder": os.getcwd(),
        "path": list(sys.path),
        "python threads": threading.active_count(),
    }

image = np.zeros((40, 50, 3), np.uint8)
for file, runtime in zip(sys.argv[1::2], sys.argv[2::2]):
    __import__(runtime)  # what a library itself does when it is imported is not segnet's
    before = state()
    segmenter = segnet.load(file, runtime=runtime)
    for samples in (0, 2) if runtime == "torch" else (0,):
        result = segmenter.predict(image, samples=samples)
        result.mask, result.probabilities, result.overlay()
    after = state()
    print(json.dumps([what for what in before if before[what] != after[what]]), flush=True)
    print("done", file=sys.stderr, flush=True)
"""
WHOLE = [*(each for each in OPENED if each[1] != "torch"), ("bayesian_file", "torch")]


@pytest.fixture(scope="module")
def changed(request):
    """What each file and runtime has changed, and what was said meanwhile; one after the other."""
    words = [word for file, runtime in WHOLE for word in (str(request.getfixturevalue(file)), runtime)]
    done = subprocess.run([sys.executable, "-c", STATE, *words], capture_output=True, text=True)
    said = done.stderr.split("done\n")
    assert len(said) == len(WHOLE) + 1, done.stderr
    return dict(zip(WHOLE, zip(done.stdout.splitlines(), said, strict=False), strict=True))


@pytest.mark.parametrize(("source", "runtime"), WHOLE)
def test_nothing_of_the_whole_process_is_changed(changed, source, runtime):
    assert changed[source, runtime] == ("[]", "")


@pytest.fixture(scope="module")
def bayesian_file(bayesian_model, tmp_path_factory):
    path = tmp_path_factory.mktemp("bayesian") / "bayesian.safetensors"
    write_model_file(path, bayesian_model.state_dict(), describe(model="segnet-basic", options=BAYESIAN))
    return path


@pytest.mark.parametrize("runtime", ["onnxruntime", "openvino"])
def test_a_runtime_is_imported_without_what_reports_its_use(onnx_file, runtime):
    code = (
        "import os, sys, segnet; before = dict(os.environ); "
        "segnet.load(sys.argv[1], runtime=sys.argv[2], threads=1); "
        "print(before == os.environ, 'openvino_telemetry' in sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", code, onnx_file, runtime], capture_output=True, text=True)
    assert done.stdout == "True False\n", done.stderr


# Other processes


def mask_of(segmenter, image):
    return segmenter.predict(image).mask


@pytest.fixture(scope="module")
def spawned():
    """Two processes that import what they are sent; torch takes them seconds."""
    with ProcessPoolExecutor(2, get_context("spawn")) as pool:
        yield pool


def test_a_spawned_process_opens_a_pickled_segmenter(opened, spawned):
    file, runtime = opened
    segmenter = load(file, runtime=runtime, **({} if runtime == "torch" else {"threads": 2}))
    images = [noise(70, 50, seed) for seed in range(3)]
    tasks = [spawned.submit(segmenter.predict, image) for image in images]
    results = [task.result(LIMIT_S) for task in tasks]
    assert all_equal([each.logits for each in results], [segmenter.predict(each).logits for each in images])
    assert (results[0].classes, results[0].image.size) == (segmenter.classes, (50, 70))


@pytest.mark.parametrize("copied", [copy.deepcopy, lambda each: pickle.loads(pickle.dumps(each))])
def test_a_copy_has_all_that_the_segmenter_has(opened, copied, monkeypatch, tmp_path):
    file, runtime = opened
    monkeypatch.chdir(file.parent)
    segmenter = load(file.name, runtime=runtime)
    monkeypatch.chdir(tmp_path)  # a relative path must not be looked for in another folder
    other = copied(segmenter)
    assert (other.runtime.name, other.device, other.threshold) == (runtime, "cpu", None)
    assert other.description == segmenter.description
    assert np.array_equal(other.predict(noise(9, 8)).logits, segmenter.predict(noise(9, 8)).logits)


def test_a_bundled_model_and_a_threshold_are_pickled_too():
    bundled = load("pets-nano")
    assert pickle.loads(pickle.dumps(bundled)).classes == bundled.classes
    two = segmenter_of(nn.Conv2d(3, 2, 1), describe(classes=ClassTable.named(("background", "thing"))))
    assert pickle.loads(pickle.dumps(two.at_threshold(0.3))).threshold == 0.3


def test_weights_that_were_trained_on_since_are_those_that_another_process_gets(tiny_file):
    segmenter = load(tiny_file, runtime="torch")
    before = segmenter.predict(noise(40, 40)).logits
    with torch.no_grad():
        segmenter.model.classifier.bias.add_(1)
    after = pickle.loads(pickle.dumps(segmenter)).predict(noise(40, 40)).logits
    assert np.array_equal(after, segmenter.predict(noise(40, 40)).logits)
    assert not np.array_equal(after, before)


@pytest.mark.parametrize(
    ("happens", "says"),
    [
        (lambda file: file.unlink(), r"can't open the model file .*model\.onnx \(No such file"),
        (
            lambda file: file.write_bytes(b"other"),
            r"model\.onnx has changed since it was opened; call segnet",
        ),
    ],
)
def test_a_file_that_is_not_what_it_was_is_said_in_one_line(onnx_file, tmp_path, happens, says):
    file = tmp_path / "model.onnx"
    file.write_bytes(onnx_file.read_bytes())
    pickled = pickle.dumps(load(file))
    happens(file)
    with pytest.raises(SegnetError, match=says) as error:
        pickle.loads(pickled)
    assert "\n" not in str(error.value)


def test_a_module_that_cannot_be_pickled_is_said_in_one_line():
    module = nn.Conv2d(3, 3, 1)
    module.register_forward_hook(lambda *_: None)
    with pytest.raises(SegnetError, match=r"\(Conv2d\) can't be sent to another process .*call segnet\.load"):
        pickle.dumps(segmenter_of(module))


def test_what_is_wrong_with_an_image_comes_back_from_another_process(tiny_file, spawned):
    error = spawned.submit(load(tiny_file, runtime="torch").predict, "no/such.jpg").exception(LIMIT_S)
    assert isinstance(error, SegnetError)
    assert str(error) == "no/such.jpg does not exist; check the path"
    fault = Fault("damaged", "a.jpg", "is damaged")
    assert str(pickle.loads(pickle.dumps(fault))) == str(fault)


# A fork, as gunicorn --preload has it: load and predict, then fork

FORKED = """
import os, sys, threading
from concurrent.futures import ThreadPoolExecutor
import numpy as np
import segnet

file, runtime = sys.argv[1:]
threads = {} if runtime == "torch" else {"threads": 4}
segmenter = segnet.load(file, runtime=runtime, **threads)
image = np.random.RandomState(0).randint(0, 256, (300, 200, 3), dtype=np.uint8)
expected = segmenter.predict(image).mask
if runtime == "torch":
    import torch
    before = torch.get_num_threads()
for happens in ("nothing", "predicts", "pool first", "opened anew"):
    child = os.fork()
    if not child:
        break
    status = os.waitpid(child, 0)[1]
    said = [os.waitstatus_to_exitcode(status), np.array_equal(segmenter.predict(image).mask, expected)]
    if runtime == "torch":
        said.append(torch.get_num_threads() == before > 1)
    print(*said, flush=True)
    print("ended", file=sys.stderr, flush=True)
else:
    sys.exit()
if happens == "nothing":
    sys.exit()
if happens == "opened anew":
    segmenter = segnet.load(file, runtime=runtime, **threads)
if happens == "pool first":
    with ThreadPoolExecutor(4) as pool:
        found = [each.mask for each in pool.map(segmenter.predict, [image] * 12)]
else:
    found = [segmenter.predict(image).mask for _ in range(3)]
same = all(np.array_equal(mask, expected) for mask in found)
grandchild = os.fork()
if not grandchild:
    sys.exit(0 if np.array_equal(segmenter.predict(image).mask, expected) else 3)
below = os.waitstatus_to_exitcode(os.waitpid(grandchild, 0)[1])
sys.exit(7 if same and below == 0 else 2)
"""


HAPPENS = ["nothing", "predicts", "pool first", "opened anew"]


@pytest.fixture(scope="module")
def forked():
    """How a process and those that were forked from it fared, one for each of ``HAPPENS``; by runtime."""
    known = {}

    def fared(file, runtime):
        if (file, runtime) not in known:
            command = [sys.executable, "-W", "ignore::DeprecationWarning", "-c", FORKED, str(file), runtime]
            threads = {"OMP_NUM_THREADS": "4", "MKL_NUM_THREADS": "4"}  # one would never wait for others
            done = subprocess.run(
                command,
                capture_output=True,
                text=True,
                timeout=LIMIT_S,
                env=os.environ | threads,
                cwd=file.parent,
            )
            said = done.stderr.split("ended\n")
            assert len(said) == len(HAPPENS) + 1, done.stderr
            known[file, runtime] = dict(
                zip(HAPPENS, zip(done.stdout.splitlines(), said, strict=False), strict=True)
            )
        return known[file, runtime]

    return fared


@pytest.mark.skipif(sys.platform != "linux", reason="only here a fork is what a server does")
@pytest.mark.parametrize("happens", HAPPENS)
def test_a_forked_process_predicts_and_ends(opened, forked, happens):
    file, runtime = opened
    out, said = forked(file, runtime)[happens]
    code = 0 if happens == "nothing" else 7
    kept = " True" if runtime == "torch" else ""  # the parent keeps its threads
    assert out == f"{code} True{kept}", said
    if runtime == "torch" and happens != "nothing":
        assert len(said.splitlines()) == 1
        assert "PyTorch computes with one thread here" in said
    else:
        assert said == ""
