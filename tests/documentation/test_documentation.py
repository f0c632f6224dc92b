"""What README, CONTRIBUTING and the docs say to type does what they say, in a folder with what they name.

A command runs as it is, must end with 0 and leave the files it names. What would train or measure for long is
shortened, and what can't be run in a test is looked at: the table RUN says how and why, IN_PYTHON for Python.
"""

import argparse
import fnmatch
import io
import itertools
import os
import re
import runpy
import shlex
import shutil
import subprocess
import sys
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pytest
import yaml
from PIL import Image, ImageColor

from segnet import DataOptions, TrainConfig, load_dataset
from segnet.cli import main
from segnet.data.synthetic import load_synthetic
from segnet.training.check import check

ROOT = Path(__file__).parents[2]
PAGES = sorted(
    str(path.relative_to(ROOT))
    for pages in ("*.md", "docs/**/*.md", "benchmarks/*.md")
    for path in ROOT.glob(pages)
)
TINY = "--epochs 1 --size 32 --batch-size 4"
SMALL_LITE = """--model-options '{"stages": [[8, 1], [8, 1]], "bottleneck": [8, 0, 3]}'"""

# Words that stand for the reader's own.
STANDS_FOR = {
    "NAME": "segnet-lite",
    "NAMES": "segnet-lite",
    "RUN": "runs/bayes",
    "OTHER.onnx": "model.onnx",
    "runs/before": "runs/NAME",
    "runs/after": "runs/A",
    "runs/plain": "runs/first",
    "runs/near-edges": "runs/second",
    "runs/segnet": "runs/NAME",
    "runs/segnet-dsc": "runs/B",
    "runs/vit": "runs/A",
    "runs/focal": "runs/B",
}

# In the Python of the pages: (what is executed in its place, why).
IN_PYTHON = {
    'data="synthetic", model="segnet-lite", recipe="modern", epochs=20': (
        'data="my/folder", model="segnet-lite", recipe="modern", epochs=1, size=32, batch_size=4',
        "drawing the pets takes ten seconds, seen in the command line's own example",
    ),
    'bayesian = segnet.load("runs/NAME")': (
        'bayesian = segnet.load("runs/bayes")',
        "the model with dropout has a name of its own here",
    ),
    'TrainConfig(data="my/folder", recipe="modern")': (
        'TrainConfig(data="my/folder", recipe="modern", epochs=1, size=32, batch_size=4)',
        "one epoch of small images",
    ),
    'resume("runs/NAME", model=TinyNet(classes=2))': (
        "resume(run.folder, model=TinyNet(classes=2), epochs=2)",
        "runs/NAME is no TinyNet's; the run of the line above is, and ended after its only epoch",
    ),
}


# Looking at a command that is not run.


def settings_are_right(words, monkeypatch):
    """Read the options as ``segnet train`` does and check them, up to where data would be read."""
    import segnet.cli.launch  # noqa: F401 - adds the commands
    from segnet.cli.app import app

    _, bound, _ = app.parse_args(words[1:], exit_on_error=False, print_error=False)
    check(bound.arguments.get("config", TrainConfig()))


def its_options_exist(words, monkeypatch):
    """Read the options as the command does."""
    import segnet.cli.launch  # noqa: F401 - adds the commands
    from segnet.cli.app import app

    app.parse_args(words[1:], exit_on_error=False, print_error=False)


def segnet_takes_the_options(words, monkeypatch):
    """Read the options of the segnet that something else starts."""
    its_options_exist(words[words.index("segnet") :], monkeypatch)


def its_script_takes_the_options(words, monkeypatch):
    """Let the script read its arguments, and stop it there."""
    parse = argparse.ArgumentParser.parse_args

    def parse_and_stop(parser):
        parse(parser)
        raise SystemExit(0)

    monkeypatch.setattr(argparse.ArgumentParser, "parse_args", parse_and_stop)
    assert run_script(words, monkeypatch) == 0


def make_has_the_target(words, monkeypatch):
    if shutil.which("make") is None:
        pytest.skip("make isn't installed")
    done = subprocess.run([*words, "--dry-run"], cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr


def its_files_exist(words, monkeypatch):
    files = [word for word in words if re.search(r"/|\.(txt|py)$", word) and not word.startswith(".venv")]
    assert [file for file in files if not (ROOT / file).exists()] == []


def the_server_answers(words, monkeypatch):
    """Send what curl would to the app that ``segnet serve`` runs."""
    from starlette.testclient import TestClient

    from segnet import load
    from segnet.serve.app import create_app

    form, url, headers, body = {}, "", {}, None
    pairs = iter(words[1 : words.index(">") if ">" in words else None])
    for word in pairs:
        if word == "-F":
            part, _, file = next(pairs).partition("=@")
            form[part] = Path(file).read_bytes()
        elif word == "-H":
            name, _, value = next(pairs).partition(": ")
            headers[name] = value
        elif word == "--data-binary":
            body = Path(next(pairs).removeprefix("@")).read_bytes()
        else:
            url = word
    client = TestClient(create_app({"pets": load("pets-nano")}))
    answer = client.post(f"http://{url}", content=body, files=form, headers=headers)
    assert answer.status_code == 200, answer.text


# Of a command either (options that are added, in place of those that it has already, why),
# or, where it can't be run in a test, (what is looked at, why). The first pattern that fits counts.
RUN = {
    "segnet train": (settings_are_right, "downloads 811 MB and trains for hours"),
    "segnet train --help": ("", "nothing to shorten"),
    "segnet train --data synthetic --model segnet-lite": (
        "--epochs 1 --size 32",
        "an epoch of small images; few pets are drawn",
    ),
    "segnet train --data synthetic *--model segnet-lite *": (
        f"--data my/folder --out runs/new {TINY} {SMALL_LITE}",
        "drawing the pets takes ten seconds, and is seen above; a small network",
    ),
    "segnet train --data synthetic *--model NAME": (
        f"--data my/folder --out runs/new {TINY} {SMALL_LITE}",
        "as above",
    ),
    "segnet train --data synthetic *--model vit *": (
        f"""--data my/folder --out runs/new {TINY} --model-options '{{"width": 32, "depth": 2}}'""",
        "as above",
    ),
    "segnet train --data synthetic *--model unet *": (
        f"""--data my/folder --out runs/new {TINY} --model-options '{{"width": 4}}'""",
        "as above",
    ),
    "segnet train --data synthetic --epochs * --batch-size *": (
        f"""--data my/folder --out runs/new {TINY} --model-options '{{"stages": 2}}'""",
        "as above",
    ),
    "segnet train --data synthetic *": (
        f"--data my/folder --out runs/new {TINY}",
        "drawing the pets takes ten seconds, and is seen above",
    ),
    "segnet train --data my/folder --model segnet-lite --recipe modern": (TINY, "an epoch of small images"),
    "segnet train --data my/folder --model segnet-efficient --model-options encoder=timm:*": (
        its_options_exist,
        "fetches weights; tests/training/test_timm_encoder.py trains with them",
    ),
    "segnet train --data my/folder --model segnet-efficient --recipe modern": (
        f"--out runs/new {TINY}",
        "an epoch of small images",
    ),
    "segnet train --data my/folder *--seeds *": (
        f"--out runs/new --model segnet-lite --seeds 2 {TINY} {SMALL_LITE}",
        "two seeds of a small network, small images, and a folder of its own",
    ),
    "segnet train --data my/folder *--start-from pets-lite": (TINY, "an epoch of small images"),
    "segnet train --data my/folder *--freeze-encoder *": (
        "--epochs 2 --size 32 --batch-size 4 --freeze-encoder 1",
        "as many epochs as it takes to let the encoder learn",
    ),
    "segnet train --data my/folder *--patch *": (
        f"--epochs 1 --batch-size 4 --patch 16 --patches 8 {SMALL_LITE}",
        "few patches and a small network",
    ),
    "segnet train --data my/folder *": (
        f"{TINY} {SMALL_LITE}",
        "an epoch of small images and a small network; the README's has its own size",
    ),
    "segnet train --data my/field *": (f"--out runs/new {TINY} {SMALL_LITE}", "as above"),
    "segnet train --data road *": (
        f"--epochs 1 --batch-size 4 --patch 32 --patches 8 --out runs/new {SMALL_LITE}",
        "few patches and a small network",
    ),
    "segnet train --data cells *": (f"{TINY} --out runs/new {SMALL_LITE}", "as above"),
    "segnet train --data my/parts *": (f"{TINY} --out runs/new {SMALL_LITE}", "as above"),
    "segnet data convert parts/labels.json *": (
        its_options_exist,
        "my/parts is there for the commands that follow, converted by the fixture",
    ),
    "segnet train --data labels/data *": (f"{TINY} --out runs/new {SMALL_LITE}", "as above"),
    "segnet label start *": ("--project new/labels", "labels is there for the commands that follow"),
    "segnet label train *": (
        "--model segnet-nano --epochs 1 --size 32",
        "an epoch of small images and a small network",
    ),
    "python benchmarks/label_loop.py draw *": ("--photos 2", "two photos in place of 200"),
    "python benchmarks/label_loop.py correct *": ("", "nothing to shorten"),
    "segnet train --data hf:owner/*": (settings_are_right, "the hub is out of reach"),
    "segnet train --data hf:DIR *": (its_options_exist, "DIR is the reader's own"),
    "segnet train --data oxford-pets --data-root DIR": (its_options_exist, "DIR is the reader's own"),
    "segnet train --data hf:my/*": (f"{TINY} {SMALL_LITE}", "an epoch of small images, a small network"),
    "segnet train --data oxford-pets * --seeds *": (
        its_options_exist,
        "an hour; another such group is trained above",
    ),
    "segnet train --data oxford-pets * --teacher runs/efficient-trainval *": (
        "--epochs 1 --size 32 --teacher pets-nano",
        "an epoch of small images; the teacher took an hour, and this one has its classes too",
    ),
    "segnet train --data oxford-pets * --teacher runs/plus *": (
        "--epochs 1 --size 32 --teacher pets-lite",
        "an epoch of small images; the teacher took an hour, and this one has its classes too",
    ),
    "segnet train --data oxford-pets * --model segnet-nano * --start-from runs/*": (
        "--epochs 1 --size 32 --start-from pets-nano",
        "an epoch of small images, from a network of the same shape",
    ),
    "segnet train --data oxford-pets * --model segnet-lite * --start-from runs/*": (
        "--epochs 1 --size 32 --start-from pets-lite",
        "as above",
    ),
    "segnet train --data oxford-pets * --model segnet-efficient * --start-from runs/*": (
        its_options_exist,
        "starts from the line above it, which is run",
    ),
    "segnet train --data oxford-pets * --model segnet-efficient *": (
        "--epochs 1 --size 32 --encoder-weights none",
        "an epoch of small images, without weights",
    ),
    "segnet train --data oxford-pets * --start-from *": ("--epochs 1 --size 32", "an epoch of small images"),
    "segnet train --data oxford-pets *": (
        f"--epochs 1 --size 32 {SMALL_LITE}",
        "an epoch of small images, a small network; all models here are of this family",
    ),
    "segnet models": ("--size 32", "measuring receptive fields takes seconds on large images"),
    "segnet models * --size 360x480": ("--size 45x60", "as above"),
    "segnet resume runs/first": ("", "a folder of seeds, all of which have ended"),
    "segnet resume *": ("--epochs 2", "the run here is at its end after one epoch; this gives it another"),
    "segnet export runs/NAME --to litert": ("", "nothing to shorten"),
    "segnet export * --int8": (its_options_exist, "another export of half a minute; tests/export has it"),
    "segnet export * --fp16": (its_options_exist, "as above"),
    "segnet export * --to *": (its_options_exist, "as above"),
    "segnet show pooling --break all --retrain*": (
        its_options_exist,
        "a minute of training; tests/training and tests/report have shorter ones",
    ),
    "segnet show pooling --break all runs/*": (
        "--break bilinear",
        "one way in place of four, on the data of the run here",
    ),
    "segnet show pooling --break all *": (
        "--break bilinear --data synthetic",
        "one way in place of four, on the same drawn pets",
    ),
    "segnet bench pooling*": (
        "--batch-size 1 --repeats 1 --no-training",
        "takes minutes, on an idle machine",
    ),
    "segnet bench models*": (
        "--size 32 --batch-sizes 1 --repeats 1 --runtimes torch",
        "takes minutes, on an idle machine; the other runtimes are in tests/bench",
    ),
    "segnet predict * --engine ray *": (
        its_options_exist,
        "starts a cluster, for half a minute; tests/inference/test_bulk.py has two",
    ),
    "segnet serve*": (its_options_exist, "serves until it is stopped; tests/serve starts and stops it"),
    "curl *": (the_server_answers, "the app answers, without a socket"),
    "export SEGNET_TOKEN=*": (its_files_exist, "sets a variable"),
    "python benchmarks/bayesian_samples.py *": ("--samples 2", "two samples in place of 16"),
    "python benchmarks/drawn_cells.py *": ("", "nothing to shorten"),
    "python docs/tutorial/microsegnet.py": ("1", "one training step in place of 160"),
    "python benchmarks/*": (its_script_takes_the_options, "takes minutes, on an idle machine"),
    "torchrun *": (segnet_takes_the_options, "tests/training/test_processes.py starts processes"),
    "srun torchrun *": (segnet_takes_the_options, "there is no SLURM here"),
    "make *": (make_has_the_target, "installs everything anew, then takes minutes"),
    "python3 -m venv *": (its_files_exist, "installs"),
    "pip install *": (its_files_exist, "installs"),
    "pytest *": (its_files_exist, "these very tests"),
}

# Commands that take long, and whose like stands on another line: `make test` leaves them to .ci/run, and all
# that train but those of the README.
LIKE_ANOTHER = (
    "segnet bench models*",
    "segnet eval pets-lite *",
    "segnet export pets-lite *",
    "segnet models",
    "segnet models segnet-vgg16 *",
    "segnet models vit *",
    "segnet show pooling --break all --out broken.png",
    "segnet show receptive-field *",
)
ADD_IT = f"add it to RUN in {Path(__file__).relative_to(ROOT)}, with the reason"


# Reading the pages


class Example(NamedTuple):
    page: str
    line: int
    text: str


def read(page):
    return (ROOT / page).read_text(encoding="utf-8")


def line_at(text, place):
    return text.count("\n", 0, place) + 1


FENCE = re.compile(r"^```(\w*)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
INLINE = re.compile(r"`((?:[^`\n]|\n(?!\n))+)`")
LINK = re.compile(r"\]\(([^)\s]+)\)")
COMMAND = re.compile(r"^\S(?:.*\\\n)*.*$", re.MULTILINE)  # goes on after a backslash at the end of a line
PROGRAMS = ("segnet ", "python ", "python3 ", "make ", "pip ", "pytest ")


def blocks(page, language):
    text = read(page)
    fences = [fence for fence in FENCE.finditer(text) if fence[1] == language]
    return [Example(page, line_at(text, fence.start(2)), fence[2]) for fence in fences]


def prose(page):
    """The page without its blocks, which leave their lines empty."""
    return FENCE.sub(lambda fence: "\n" * fence[0].count("\n"), read(page))


def inline_code(page):
    text = prose(page)
    codes = INLINE.finditer(text)
    return [Example(page, line_at(text, code.start()), " ".join(code[1].split())) for code in codes]


def in_one_line(command):
    return " ".join(command.replace("\\\n", " ").split())


def commands_of_blocks(page):
    for block in blocks(page, "sh"):
        for command in COMMAND.finditer(block.text):
            text = in_one_line(re.sub(r"(^|\s)#.*", "", command[0]))
            if text:
                yield Example(page, block.line + line_at(block.text, command.start()) - 1, text)


def commands_of_the_makefile():
    """``make demo`` takes minutes; what it trains is run like a page's."""
    text = read("Makefile")
    for recipe in re.finditer(r"\$\(BIN\)/(segnet (?:.*\\\n)*.*)", text):
        yield Example("Makefile", line_at(text, recipe.start()), in_one_line(recipe[1]))


def is_name(command):
    """Whether prose only names a command: `segnet predict` writes .."""
    return re.fullmatch("segnet( [a-z]+)+", command.text) is not None


def once(examples):
    """What several pages say is run where it stands first."""
    first = {}
    for example in examples:
        first.setdefault(example.text, example)
    return [*first.values()]


IN_BLOCKS = [command for page in PAGES for command in commands_of_blocks(page)]
IN_PROSE = [code for page in PAGES for code in inline_code(page) if code.text.startswith(PROGRAMS)]
NAMES = once(filter(is_name, IN_PROSE))
COMMANDS = once([*IN_BLOCKS, *commands_of_the_makefile(), *itertools.filterfalse(is_name, IN_PROSE)])


def is_like_another(example):
    trains = example.text.startswith("segnet train") and example.page not in ("README.md", "Makefile")
    return trains or any(fnmatch.fnmatchcase(example.text, pattern) for pattern in LIKE_ANOTHER)


def each(examples, is_left_out=lambda example: False):
    """Parameters whose names say page and line; `make test` leaves out those that the function picks."""
    return [
        pytest.param(
            it,
            id=f"{it.page}:{it.line}: {' '.join(it.text.split())}",
            marks=[pytest.mark.campaign] * is_left_out(it),
        )
        for it in examples
    ]


# Running a command


def words_of(command):
    """Its arguments, with the reader's own words, without variables that are set for it."""
    words = shlex.split(command)
    while "=" in words[0]:
        del words[0]
    return [STANDS_FOR.get(word, word) for word in words]


def how_to_run(command):
    """Return the options that RUN adds or the function that looks at it; None where no entry fits."""
    plain = command[command.index(words_of(command)[0]) :]
    entries = (how for pattern, (how, _) in RUN.items() if fnmatch.fnmatchcase(plain, pattern))
    return next(entries, None)


def with_options(words, options):
    words, options = [*words], shlex.split(options)
    for option in options:
        if option.startswith("--") and option in words:
            place = words.index(option)
            del words[place : place + 2]
    return words + options


def run_script(words, monkeypatch):
    monkeypatch.syspath_prepend(ROOT / "benchmarks")
    monkeypatch.setattr(sys, "argv", words[1:])
    try:
        runpy.run_path(str(ROOT / words[1]), run_name="__main__")
    except SystemExit as end:
        return end.code or 0
    return 0


def run_in_shell(command):
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    environment = os.environ | {"PATH": path}
    return subprocess.run(command, shell=True, env=environment, capture_output=True, text=True)


def files_that_it_writes(words):
    pairs = itertools.pairwise(words)
    return [Path(file) for word, file in pairs if word in ("--out", "--csv", "--plot", ">") and file != "-"]


@pytest.fixture
def run(segnet, monkeypatch):
    """Run a command as a shell would; return its exit code, its errors, and the files it should have left."""

    def run_it(command, options):
        words = with_options(words_of(command), options)
        files = files_that_it_writes(words)
        if "segnet" in words and {"|", ">", "&&"} & {*words}:
            done = run_in_shell(command)
            return done.returncode, done.stderr, files
        if words[0] == "segnet":
            ended = segnet(*words[1:])
            return ended.code, ended.err, files
        if words[0] == "python":
            return run_script(words, monkeypatch), "", files
        pytest.fail(f"no test knows how to run {words[0]}; {ADD_IT}")

    return run_it


@pytest.mark.parametrize("example", each(COMMANDS, is_like_another))
def test_a_command_does_what_the_page_says(example, readers_folder, run, monkeypatch, request):
    command, how = example.text, how_to_run(example.text)
    monkeypatch.setitem(load_synthetic.__kwdefaults__, "train", 48)  # drawing 600 takes ten seconds
    monkeypatch.setitem(load_synthetic.__kwdefaults__, "val", 24)
    if "../shared/oxford-pets" in command:
        request.getfixturevalue("some_pets" if "segnet train" in command else "all_pets")
    if callable(how):
        how(words_of(command), monkeypatch)
        return
    unknown = how is None and command.startswith(("segnet train", "python "))
    assert not unknown, f"{example.page}:{example.line} may take hours; {ADD_IT}"
    code, said, files = run(command, how or "")
    assert code == 0, f"{example.page}:{example.line} ends with {code}: {said}correct the page, or {ADD_IT}"
    assert [file for file in files if not file.exists()] == []


@pytest.mark.parametrize("example", each(NAMES))
def test_a_command_that_prose_names_exists(example, segnet):
    ended = segnet(*example.text.split()[1:], "--help")
    assert ended.code == 0
    assert f"Usage: {example.text}" in ended.out


# Running the rest


@pytest.mark.parametrize("page", [page for page in PAGES if blocks(page, "python")])
def test_the_python_of_a_page_runs_from_top_to_bottom(page, readers_folder, own_module):
    names = {"TinyNet": own_module}
    for block in blocks(page, "python"):
        text = block.text
        for written, (executed, _) in IN_PYTHON.items():
            text = text.replace(written, executed)
        # empty lines above it, so that a traceback names the line of the page
        exec(compile("\n" * (block.line - 1) + text, page, "exec"), names)


def descriptions():
    """Each dataset.yaml of the pages, and what its comments have in its place."""
    for page in PAGES:
        for block in blocks(page, "yaml"):
            yield block
            for other in re.finditer(r"^#.*?(\w+: \{.*\})$", block.text, re.MULTILINE):
                yield Example(page, block.line + line_at(block.text, other.start()) - 1, other[1])


@pytest.mark.parametrize("example", each(descriptions()))
def test_a_dataset_yaml_tells_what_masks_hold(example, readers_folder):
    folder, description = readers_folder / "my/folder", yaml.safe_load(example.text)
    if "values" in description:
        stored, names = [*description["values"]], (*description["values"].values(),)
    else:
        names, colours = zip(*description["classes"].items(), strict=True)
        stored = [ImageColor.getrgb(colour) if isinstance(colour, str) else colour for colour in colours]
    truth = {file.name: np.asarray(Image.open(file)) for file in (folder / "masks").iterdir()}
    for name, mask in truth.items():
        Image.fromarray(np.array(stored, np.uint8)[mask]).save(folder / "masks" / name)
    (folder / "dataset.yaml").write_text(example.text)
    dataset = load_dataset(DataOptions(data="my/folder"))
    assert dataset.classes.names == names
    assert all(np.array_equal(sample.read()[1], truth[f"{sample.name}.png"]) for sample in dataset.train)


@pytest.mark.parametrize("page", PAGES)
def test_every_block_is_of_a_kind_that_is_run_or_is_output(page):
    kinds = {fence[1] for fence in FENCE.finditer(read(page))}
    kinds -= {"js"} if page == "docs/how-to/deploy.md" else set()  # tests/export/test_deploy_page.py runs it
    assert kinds <= {"sh", "python", "yaml", "text", ""}, "only sh, python and yaml are run"


def test_the_tables_hold_nothing_that_no_page_says():
    commands = [command.text for command in COMMANDS]
    code = "".join(block.text for page in PAGES for block in blocks(page, "python"))
    words = {word for command in commands for word in shlex.split(command)}
    unused = [pattern for pattern in (*RUN, *LIKE_ANOTHER) if not fnmatch.filter(commands, pattern)]
    unused += [written for written in IN_PYTHON if written not in code]
    assert unused + [word for word in STANDS_FOR if word not in words] == []


# What the pages point to


@pytest.mark.parametrize("page", PAGES)
def test_links_and_images_lead_to_files(page):
    targets = [target.split("#")[0] for target in LINK.findall(prose(page)) if "://" not in target]
    assert [target for target in targets if not (ROOT / page).parent.joinpath(target).exists()] == []


@pytest.mark.parametrize("page", PAGES)
def test_source_files_that_prose_names_exist(page):
    """Of CONTRIBUTING, which says where things are, every path."""
    paths = [code for code in inline_code(page) if re.fullmatch(r"\.?\w[\w-]*([/.][\w-]+)*/?", code.text)]
    part = "/" if page == "CONTRIBUTING.md" else ".py"
    ours = [path for path in paths if part in path.text]
    homes = (ROOT, ROOT / "src/segnet", ROOT / "src/segnet/cli", ROOT / "benchmarks")
    assert [path for path in ours if not any((home / path.text).exists() for home in homes)] == []


@pytest.fixture(scope="module")
def options_of_segnet():
    """The options in the help of all commands, which is read once for all pages."""
    commands = (
        "train",
        "resume",
        "eval",
        "predict",
        "serve",
        "models",
        "compare",
        "data convert",
        "show pooling",
        "show convolution",
        "show filters",
        "bench pooling",
        "export",
        "data check",
        "bench models",
        "label start",
        "label next",
        "label take",
        "label train",
        "",
    )
    with pytest.MonkeyPatch.context() as patched, io.TextIOWrapper(io.BytesIO(), "utf-8") as shown:
        patched.setenv("COLUMNS", "200")
        patched.setattr(sys, "stdout", shown)
        for command in commands:
            patched.setattr(sys, "argv", ["segnet", *command.split(), "--help"])
            with pytest.raises(SystemExit):
                main()
        return {*re.findall(r"--[a-z][a-z-]*", shown.buffer.getvalue().decode())}


@pytest.mark.parametrize("page", PAGES)
def test_options_that_prose_names_exist(page, options_of_segnet):
    known = options_of_segnet | {"--extra-index-url", "--max-restarts", "--preload", "--rdzv-id"}  # of others
    if page != "README.md":
        for script in (ROOT / "benchmarks").glob("*.py"):
            known |= {*re.findall(r'add_argument\(\s*"(--[a-z-]+)"', script.read_text())}
    named = [
        (code.line, option)
        for code in inline_code(page)
        for option in re.findall(r"(?<![\w-])--[a-z][a-z-]*", code.text)
    ]
    assert [(line, option) for line, option in named if option not in known] == []
