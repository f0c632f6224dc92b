"""The command line: what it prints, what it leaves behind, and how it answers mistakes.

Commands run in this process through the real ``main``; only pipes and imports need a process of their own.
"""

import io
import json
import os
import shlex
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from segnet import ClassTable, create_model
from segnet.base.colours import hex_code
from segnet.inference.description import Description
from segnet.inference.model_file import write_model_file
from segnet.inference.opening import load

from .exported import small_network, write_onnx

FULL = Path("/dev/full")
OPTIONS = {"stages": [[8, 1], [8, 1]], "bottleneck": [8, 0, 3]}


@pytest.fixture(scope="session")
def model(tmp_path_factory):
    """A run folder's worth of model: tiny, and with all three classes in its predictions."""
    torch.manual_seed(0)
    network = create_model("segnet-lite", 3, **OPTIONS)
    with torch.no_grad():
        network.classifier.weight.mul_(20)
        network.classifier.bias.zero_()
    classes = ClassTable.named(("pet", "background", "border"))
    path = tmp_path_factory.mktemp("run") / "model.safetensors"
    write_model_file(
        path, network.state_dict(), Description("segnet-lite", classes, (64, 64), "area", options=OPTIONS)
    )
    return path


@pytest.fixture(scope="session")
def bayesian(tmp_path_factory):
    """A model with dropout, and with batch norm that knows noise."""
    torch.manual_seed(0)
    options = {"channels": 8, "dropout": 0.5}
    network = create_model("segnet-basic", 3, **options)
    with torch.no_grad():
        for _ in range(30):
            network(torch.rand(4, 3, 64, 64))
    classes = ClassTable.named(("pet", "background", "border"))
    path = tmp_path_factory.mktemp("bayesian") / "model.safetensors"
    write_model_file(
        path, network.state_dict(), Description("segnet-basic", classes, (64, 64), "area", options=options)
    )
    return path


@pytest.fixture(scope="session")
def exported(tmp_path_factory):
    """A model that a process of its own opens without importing torch."""
    classes = ClassTable.named(("pet", "background", "border"))
    path = tmp_path_factory.mktemp("exported") / "model.onnx"
    write_onnx(path, small_network(), Description("own.Small", classes, (64, 64), "area").to_json())
    return path


def photo(folder, name="photo.jpg", height=48, width=70, seed=0):
    path = folder / name
    path.parent.mkdir(parents=True, exist_ok=True)
    pixels = np.random.RandomState(seed).randint(0, 256, (height, width, 3), dtype=np.uint8)
    Image.fromarray(pixels).save(path)
    return path


def cut_short(path):
    path.write_bytes(path.read_bytes()[:400])


def files(folder):
    return sorted(str(path.relative_to(folder)) for path in folder.rglob("*") if not path.is_dir())


# Help


def test_help_names_every_command(segnet):
    ended = segnet("--help")
    assert ended.code == 0
    assert all(
        command in ended.out
        for command in ("train", "resume", "eval", "predict", "models", "compare", "show", "bench")
    )


@pytest.mark.parametrize("command", ["train", "resume", "eval", "predict", "models", "compare"])
def test_every_command_has_help(segnet, command):
    ended = segnet(command, "--help")
    assert ended.code == 0
    assert f"segnet {command}" in ended.out


@pytest.mark.parametrize("arguments", [["--help"], ["train", "--help"], ["--version"]])
def test_help_imports_nothing_heavy(arguments):
    script = (
        "import atexit, sys; atexit.register(lambda: print('LOADED', *sys.modules, file=sys.stderr));"
        f"sys.argv = ['segnet', *{arguments}]; from segnet.cli import main; main()"
    )
    ended = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    loaded = set(ended.stderr.split("LOADED")[1].split())
    assert "segnet.cli" in loaded
    assert loaded.isdisjoint({"torch", "numpy", "PIL", "kornia", "matplotlib", "torchmetrics", "requests"})


# segnet predict


def test_an_image_gives_a_mask_an_overlay_and_a_line_of_json(segnet, here, model):
    photo(here)
    ended = segnet("predict", "photo.jpg", "--model", model)
    assert (ended.code, ended.err) == (0, "")
    assert files(here) == ["masks/photo.mask.png", "masks/photo.overlay.png", "photo.jpg"]
    line = json.loads(ended.out)
    assert line["image"] == "photo.jpg"
    assert [line["mask"], line["overlay"]] == [
        str(Path("masks") / f"photo.{kind}.png") for kind in ("mask", "overlay")
    ]
    assert (line["width"], line["height"]) == (70, 48)
    with Image.open(line["mask"]) as mask:
        ids = np.asarray(mask)
    assert np.array_equal(ids, load(model).predict("photo.jpg").mask)
    shares = np.bincount(ids.ravel(), minlength=3) / ids.size
    table = load(model).classes
    assert [(each["id"], each["name"]) for each in line["classes"]] == [*enumerate(table.names)]
    assert [each["colour"] for each in line["classes"]] == [hex_code(each) for each in table.colours]
    assert [each["share"] for each in line["classes"]] == pytest.approx(shares, abs=1e-6)
    assert min(shares) > 0


@pytest.mark.parametrize("source", ["model", "folder"])
def test_a_run_folder_and_its_model_file_predict_the_same(segnet, here, model, source):
    photo(here)
    given = model if source == "model" else model.parent
    assert segnet("predict", "photo.jpg", "--model", given).code == 0
    assert np.array_equal(
        np.asarray(Image.open(here / "masks" / "photo.mask.png")), load(model).predict("photo.jpg").mask
    )


def test_folders_and_patterns_give_one_line_for_each_image(segnet, here, model):
    for name in ("a/1.png", "a/b/2.jpg", "c/3.webp", "c/1.png"):
        photo(here, name)
    ended = segnet("predict", "a", "c/*", "--model", model, "--out", "found")
    assert ended.code == 0
    lines = [json.loads(line) for line in ended.out.splitlines()]
    assert [line["image"] for line in lines] == ["a/1.png", "a/b/2.jpg", "c/1.png", "c/3.webp"]
    assert len(files(here / "found")) == 8
    assert lines[2]["mask"] == str(Path("found") / "1-2.mask.png")


def test_predicting_twice_into_the_images_own_folder_gives_the_same_again(segnet, here, model):
    for name in ("1.png", "2.png"):
        photo(here, name)
    first = segnet("predict", ".", "--model", model, "--out", ".")
    left = files(here)
    second = segnet("predict", ".", "--model", model, "--out", ".")
    assert first == second
    assert files(here) == left
    assert len(left) == 6


def test_a_bad_file_in_a_folder_is_reported_and_skipped_and_the_exit_code_says_so(segnet, here, model):
    for name in ("in/1.jpg", "in/2.jpg", "in/3.jpg"):
        photo(here, name)
    cut_short(here / "in" / "2.jpg")
    ended = segnet("predict", "in", "--model", model)
    assert ended.code == 1
    assert [json.loads(line)["image"] for line in ended.out.splitlines()] == ["in/1.jpg", "in/3.jpg"]
    reported, summary = ended.err.splitlines()
    assert reported.startswith("segnet: in/2.jpg is damaged")
    assert summary == "segnet: 1 of 3 images could not be read"
    assert not (here / "masks" / "2.mask.png").exists()


def test_where_no_image_can_be_read_the_exit_code_is_2_and_nothing_is_written(segnet, here, model):
    for name in ("1.jpg", "2.jpg"):
        photo(here, name)
        cut_short(here / name)
    assert segnet("predict", ".", "--model", model).code == 2
    alone = segnet("predict", "1.jpg", "--model", model)
    assert (alone.code, alone.err.count("\n")) == (2, 1)
    assert files(here) == ["1.jpg", "2.jpg"]


def test_standard_input_is_an_image_like_any_other(segnet, here, model, tmp_path):
    image = photo(tmp_path)
    ended = segnet("predict", "-", "--model", model, stdin=image.read_bytes())
    assert ended.code == 0
    assert json.loads(ended.out)["image"] == "-"
    assert files(here) == ["masks/stdin.mask.png", "masks/stdin.overlay.png"]
    with Image.open(here / "masks" / "stdin.mask.png") as mask:
        assert np.array_equal(np.asarray(mask), load(model).predict(image).mask)


def test_a_pipe_takes_an_image_in_and_gives_a_mask_out(exported, tmp_path):
    image = photo(tmp_path)
    command = [sys.executable, "-m", "segnet", "predict", "-", "--out", "-", "--model", exported]
    ended = subprocess.run(command, input=image.read_bytes(), capture_output=True, check=True, cwd=tmp_path)
    with Image.open(io.BytesIO(ended.stdout)) as mask:
        assert np.array_equal(np.asarray(mask), load(exported).predict(image).mask)
    line = json.loads(ended.stderr)
    assert (line["width"], line["height"]) == (70, 48)
    assert files(tmp_path) == ["photo.jpg"]


def test_samples_give_a_picture_of_uncertainty_and_its_mean(segnet, here, bayesian):
    photo(here)
    ended = segnet("predict", "photo.jpg", "--model", bayesian, "--samples", 4, "--seed", 2)
    assert (ended.code, ended.err) == (0, "")
    expected = load(bayesian).predict("photo.jpg", samples=4, seed=2)
    line = json.loads(ended.out)
    assert line["uncertainty"] == pytest.approx(expected.uncertainty.mean(), rel=1e-4)
    assert line["uncertainty"] > 1e-4
    assert line["uncertainty_map"] == str(Path("masks") / "photo.uncertainty.png")
    with Image.open(line["uncertainty_map"]) as picture, Image.open(line["mask"]) as mask:
        deviation = np.asarray(picture) / 255 * 0.5
        assert np.allclose(deviation, np.sqrt(expected.uncertainty), atol=0.5 / 255)
        assert np.array_equal(np.asarray(mask), expected.mask)
    assert segnet("predict", "photo.jpg", "--model", bayesian, "--samples", 4, "--seed", 2).out == ended.out


def test_without_samples_there_is_no_word_of_uncertainty(segnet, here, bayesian):
    photo(here)
    ended = segnet("predict", "photo.jpg", "--model", bayesian)
    assert "uncertainty" not in ended.out
    assert files(here / "masks") == ["photo.mask.png", "photo.overlay.png"]


def test_a_sampled_mask_on_standard_output_leaves_no_file_and_its_line_has_the_mean(segnet, here, bayesian):
    image = photo(here)
    command = ["predict", "-", "--out", "-", "--model", bayesian, "--samples", 2]
    ended = subprocess.run(
        [sys.executable, "-m", "segnet", *map(str, command)],
        input=image.read_bytes(),
        capture_output=True,
        check=True,
        cwd=here,
    )
    assert json.loads(ended.stderr)["uncertainty"] > 0
    assert files(here) == ["photo.jpg"]


@pytest.mark.skipif(not FULL.exists(), reason="needs a device that is always full")
def test_output_that_finds_no_room_is_one_line(exported, tmp_path):
    photo(tmp_path)
    command = [sys.executable, "-m", "segnet", "predict", "photo.jpg", "--model", exported]
    with FULL.open("wb") as full:
        ended = subprocess.run(command, stdout=full, stderr=subprocess.PIPE, text=True, cwd=tmp_path)
    assert (ended.returncode, ended.stderr) == (2, "segnet: standard output: No space left on device\n")


def test_a_reader_that_goes_away_ends_it_quietly(exported, tmp_path):
    photo(tmp_path)
    command = [sys.executable, "-m", "segnet", "predict", "photo.jpg", "--model", exported]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, cwd=tmp_path)
    process.stdout.close()
    assert process.stderr.read() == b""
    assert process.wait() == 141
    process.stderr.close()


# segnet eval


@pytest.fixture
def labelled(here):
    """A folder of six images with masks that hold the model's classes, split into train and val."""
    for index in range(6):
        split = "val" if index < 4 else "train"
        photo(here, f"data/{split}/images/{index}.png", height=64, width=64, seed=index)
        mask = np.random.RandomState(index).randint(0, 3, (64, 64), dtype=np.uint8)
        (here / "data" / split / "masks").mkdir(exist_ok=True)
        Image.fromarray(mask).save(here / "data" / split / "masks" / f"{index}.png")
    (here / "data" / "dataset.yaml").write_text("classes: [pet, background, border]\n")
    return here / "data"


def test_eval_prints_scores_that_are_counted_pixel_by_pixel(segnet, labelled, model):
    ended = segnet("eval", model, "--data", labelled, "--split", "val", "--json")
    assert (ended.code, ended.err) == (0, "")
    counted = np.zeros((3, 3), int)
    for index in range(4):
        truth = np.asarray(Image.open(labelled / "val" / "masks" / f"{index}.png"))
        found = load(model).predict(labelled / "val" / "images" / f"{index}.png").mask
        np.add.at(counted, (truth, found), 1)
    scores = json.loads(ended.out)
    assert np.abs(np.array(scores["confusion"]) - counted).sum() <= 2
    assert scores["pixel_accuracy"] == pytest.approx(counted.trace() / counted.sum(), abs=1e-4)


def test_eval_says_first_how_many_images_of_which_split_it_scores(segnet, labelled, model):
    by_default = segnet("eval", model.parent, "--data", labelled)
    assert by_default.code == 0
    unknown = "(the model file doesn't say what it was trained on)"
    assert by_default.out.startswith(f"{model.parent} on 6 images, all of data {unknown}\n")
    assert all(
        word in by_default.out for word in ("pet", "background", "border", "mean IoU", "pixel accuracy")
    )
    train = segnet("eval", model, "--data", labelled, "--split", "train")
    assert train.out.startswith(f"{model} on 2 images, the train split of data")


# Mistakes. Each is one line that says what is wrong, where, and what to do; nothing is left behind.

TRAINING_MISTAKES = {
    "--model segnet-lit": "there is no model 'segnet-lit'; did you mean 'segnet-lite'?",
    "--model deeplab": "there is no model 'deeplab'; there is fcn, segnet, segnet-basic",
    "--recipe modrn": "there is no recipe 'modrn'; did you mean 'modern'?",
    "--data syntetic": "'syntetic' is neither a dataset nor a folder here; did you mean 'synthetic'?",
    "--data file.txt": "file.txt is no folder; check the path",
    "--data-root no/where": "no/where",
    "--archive no.tar.gz": "no.tar.gz",
    "--size 8": "--size must be at least 16 each way, got 8x8",
    "--size big": "such as 128 or 96x128",
    "--epochs 0": "--epochs must be from 1",
    "--epochs many": 'Invalid value for --epochs: unable to convert "many" into int. See: segnet train',
    "--batch-size -4": "--batch-size must be from 1",
    "--lr nan": "--lr must be from 0",
    "--model segnet-lite --encoder-weights x": "segnet-lite takes no --encoder-weights; segnet,",
    "--model vit --size 100": "can't cut images of 100x100 into patches of 16x16;",
    "--model fcn --size 16": "fcn needs images of at least 32 px each way; raise --size",
    "--class-weights 1,2": "--class-weights needs 3 numbers, one each for pet, background, border; got 2",
    "--class-weights 1,2,3 --border pet": "--class-weights needs 2 numbers, one each for pet, background",
    "--loss focla": "did you mean 'focal'?",
    "--resize cubic": '"nearest", "area", "bilinear"',
    "--border none": '"class", "pet", "ignore"',
    "--device cud": "the device 'cud' can't be used here; try --device auto or cpu",
    "--epocs 3": "Unknown option: --epocs. Did you mean --epochs?",
    '--data synthetic --model-options {"stagez":3}': "no option 'stagez'; did you mean 'stages'?",
    "--model-options stages": "a JSON object",
    "--data synthetic --model-options stagez=3": "no option 'stagez'; did you mean 'stages'?",
    "synthetic": "No option takes synthetic. See: segnet train --help",
    "a.jpg b.jpg c.jpg d.jpg e.jpg": "No option takes a.jpg b.jpg c.jpg and 2 more words; a pattern such as "
    "'photos/*.jpg' needs quotation marks. See: segnet train --help",
    "--epochs": "--epochs requires an argument",
    "--config none.yaml": "none.yaml",
    "--config .": "can't read the configuration .",
    "--config file.txt": "file.txt",
    "--config unknown.yaml": "unknown.yaml: there is no setting 'epocs'; did you mean 'epochs'?",
    "--config broken.yaml": "broken.yaml is no YAML",
    "--config list.yaml": "list.yaml",
    "--config value.yaml": "--epochs must be from 1",
    "--config type.yaml": "epochs",
    "--config binary.yaml": "binary.yaml is no YAML",
}


def test_a_program_that_has_imported_pydantic_parses_the_same(segnet, here):
    pytest.importorskip("pydantic", reason="pydantic comes with the extra serve")
    done = segnet("train", "--data", "nothing")
    done.is_a_mistake_in_one_line("'nothing' is neither a dataset nor a folder here")


@pytest.mark.parametrize(("arguments", "says"), TRAINING_MISTAKES.items())
def test_a_mistake_in_train_is_one_line_and_nothing_is_left_behind(segnet, here, arguments, says):
    for name, text in {
        "file.txt": "hello",
        "unknown.yaml": "epocs: 3",
        "broken.yaml": "epochs: [1",
        "list.yaml": "- epochs",
        "value.yaml": "epochs: 0",
        "type.yaml": "epochs: many",
    }.items():
        (here / name).write_text(text)
    (here / "binary.yaml").write_bytes(b"\xff\xfe\x00\x81")
    before = files(here)
    ended = segnet("train", *arguments.split())
    ended.is_a_mistake_in_one_line(says)
    assert ended.out == ""
    assert files(here) == before


def test_train_never_writes_into_a_folder_that_holds_something(segnet, labelled, here):
    (here / "run").mkdir()
    (here / "run" / "thesis.txt").write_text("precious")
    ended = segnet("train", "--data", labelled, "--model", "segnet-lite", "--size", 32, "--out", "run")
    assert ended.code == 2
    assert ended.err == "segnet: run isn't empty; take another --out, or go on with: segnet resume run\n"
    assert files(here / "run") == ["thesis.txt"]


def test_a_configuration_of_one_call_is_forgotten_in_the_next(segnet, here):
    (here / "zero.yaml").write_text("epochs: 0")
    assert "--epochs" in segnet("train", "--config", "zero.yaml").err
    assert "--epochs" not in segnet("train", "--data", "nothing").err


PREDICTION_MISTAKES = {
    "predict": "no image given; name files, folders or patterns, or - for standard input",
    "predict nothing.jpg": "there is no image nothing.jpg: no file or folder of this name",
    "predict *.bmp": "there is no image *.bmp",
    "predict empty": "there is no image empty: the folder holds none",
    "predict photo.jpg -": "- stands for one image from standard input; give it alone",
    "predict photo.jpg other.jpg --out -": "--out - writes one mask, but there are 2 images",
    "predict photo.jpg --modle MODEL": "Unknown option: --modle. Did you mean --model?",
    "predict photo.jpg --out": "--out requires an argument",
    "predict photo.jpg --config zero.yaml": "Unknown option: --config",
    "predict photo.jpg --model no/run": "no/run is no run folder, no model file and no bundled model",
    "predict photo.jpg --model empty": "empty holds no model.safetensors",
    "predict photo.jpg --model photo.jpg": "photo.jpg is no model file that segnet opens",
    "predict photo.jpg --model MODEL --device cud": "the device 'cud' can't be used here",
    "predict photo.jpg --model MODEL --out photo.jpg": "can't write photo.jpg/photo.mask.png: a file stands",
    "predict photo.jpg --model MODEL --out photo.jpg/x": "a file stands where its folder should be",
    "predict text.jpg --model MODEL": "text.jpg is not an image that can be read",
    "predict cut.jpg --model MODEL": "cut.jpg is damaged",
    "predict - --model MODEL": "the image from standard input is not an image that can be read",
    "predict cut.jpg --model MODEL --samples 5": "the model (CompactSegNet) has no dropout, so all samples",
    "predict - --model MODEL --samples 5": "the model (CompactSegNet) has no dropout",
    "predict cut.jpg --model MODEL --samples -1": "--samples must be a whole number from 0 to 1000000",
    "predict cut.jpg --model MODEL --samples many": "--samples",
    "eval": "MODEL requires an argument",
    "eval nothing --data synthetic": "nothing is no run folder, no model file and no bundled model",
    "eval MODEL --data nothing": "'nothing' is neither a dataset nor a folder here",
    "eval MODEL --data empty": "empty",
    "eval MODEL --split half": '"train", "val", "test"',
    "eval MODEL --data synthetic --split tests": '"train", "val", "test"',
    "resume empty": "empty",
    "resume nothing": "nothing",
    "predct": 'Unknown command "predct". Did you mean "predict"?',
}


@pytest.mark.parametrize(("arguments", "says"), PREDICTION_MISTAKES.items())
def test_a_mistake_in_another_command_is_one_line_and_nothing_is_left_behind(
    segnet, here, model, arguments, says
):
    for name in ("photo.jpg", "other.jpg", "cut.jpg"):
        photo(here, name)
    cut_short(here / "cut.jpg")
    (here / "text.jpg").write_text("not a photo")
    (here / "zero.yaml").write_text("epochs: 0")
    (here / "empty").mkdir()
    before = files(here)
    ended = segnet(*(str(model) if word == "MODEL" else word for word in arguments.split()))
    ended.is_a_mistake_in_one_line(says)
    assert ended.out == ""
    assert files(here) == before


def test_debug_shows_where_an_error_came_from_before_the_line(segnet):
    ended = segnet("predict", "nothing.jpg", "--debug")
    assert ended.code == 2
    assert "Traceback" in ended.err
    assert "find_images" in ended.err
    assert ended.err.splitlines()[-1].startswith("segnet: there is no image nothing.jpg")


def test_a_name_that_the_system_refuses_is_one_line_too(segnet, here):
    photo(here)
    ended = segnet("predict", "photo.jpg", "--model", "x" * 300)
    assert ended.code == 2
    assert ended.err.count("\n") == 1


# Terminals, names and streams that are not as one would wish


def drawn_pairs(folder, count=6):
    """A folder of images and masks whose names are no text."""
    for kind in ("images", "masks"):
        (folder / kind).mkdir(parents=True)
    for index in range(count):
        mask = np.zeros((32, 32), np.uint8)
        mask[8:20, 4 + index : 20 + index] = 1
        pixels = np.random.RandomState(index).randint(0, 80, (32, 32, 3)) + mask[..., None] * 100
        for kind, content in (("images", pixels.astype(np.uint8)), ("masks", mask)):
            with (folder / kind / f"caf\udce9{index}.png").open("wb") as file:
                Image.fromarray(content).save(file, "PNG")
    return folder


@pytest.mark.usefixtures("plain_runs")
@pytest.mark.skipif(sys.platform != "linux", reason="other systems allow no such names")
def test_names_that_are_no_text_train_resume_score_and_predict(segnet, here):
    drawn_pairs(here / "caf\udce9")
    options = ["--model", "segnet-lite", "--model-options", json.dumps(OPTIONS), "--size", 32, "--epochs", 1]
    assert segnet("train", "--data", "caf\udce9", *options, "--out", "run").code == 0
    assert segnet("resume", "run", "--epochs", 2).code == 0
    assert segnet("eval", "run").code == 0
    assert segnet("train", "--config", here / "run" / "config.yaml", "--out", "again").code == 0
    segnet("train", "--data", "caf\udce9", *options, "--out", "r\udce9").is_a_mistake_in_one_line(
        "is no text"
    )
    (here / "again").rename(here / "r\udce9")
    assert segnet("predict", "caf\udce9/images", "--model", "run").code == 0
    segnet("eval", "r\udce9").is_a_mistake_in_one_line("since its name is no text; rename the folder")


@pytest.mark.parametrize("closed", ["<&-", ">&-", "2>&-"])
def test_closed_streams_are_no_fault_of_ours(exported, tmp_path, closed):
    photo(tmp_path)
    command = f"{shlex.quote(sys.executable)} -m segnet predict - --model {exported} {closed}"
    source = subprocess.DEVNULL if closed == "<&-" else (tmp_path / "photo.jpg").open("rb")
    ended = subprocess.run(["sh", "-c", command], stdin=source, capture_output=True, text=True, cwd=tmp_path)
    assert ended.returncode == (2 if closed == "<&-" else 0)
    assert ("standard input is closed" in ended.stderr) == (closed == "<&-")


def test_a_terminal_that_knows_only_ascii_gets_every_result(model, tmp_path):
    environment = os.environ | {"PYTHONIOENCODING": "ascii", "PYTHONUTF8": "0", "LC_ALL": "C"}
    command = [sys.executable, "-m", "segnet", "show", "pooling"]
    ended = subprocess.run(command, capture_output=True, env=environment, cwd=tmp_path)
    assert (ended.returncode, ended.stderr) == (0, b"")
    assert b"maxima" in ended.stdout


def test_a_disk_that_is_full_when_torch_saves_is_one_line(tmp_path):
    """torch makes a RuntimeError of it; a limit on the size of files is as good as a full disk."""
    resource = pytest.importorskip("resource", reason="file size limits are POSIX's")
    from segnet import SegnetError
    from segnet.runs.run_folder import RunFolder
    from segnet.training.state import State, save_checkpoint

    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (10_000, hard))
    try:
        with pytest.raises(SegnetError, match=r"can't write .*state\.pt"):
            save_checkpoint(RunFolder(tmp_path), {}, State(), {"model": torch.nn.Linear(300, 300)})
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert not [path for path in tmp_path.rglob("*") if path.is_file()]


def test_ctrl_c_while_the_command_is_imported_ends_it_without_a_word():
    program = """
import sys

import segnet.cli


class CtrlC:
    @staticmethod
    def find_spec(name, *_):
        if name == "segnet.cli.launch":
            raise KeyboardInterrupt


sys.meta_path.insert(0, CtrlC)
segnet.cli.main()
"""
    ended = subprocess.run([sys.executable, "-c", program], capture_output=True)
    assert (ended.returncode, ended.stdout, ended.stderr) == (130, b"", b"")
