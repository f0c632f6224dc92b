"""The configuration: recipes fill in what is left out, mistakes are named, YAML goes there and back."""

from pathlib import Path

import pytest
import yaml

from segnet import SegnetError, TrainConfig
from segnet.base.settings import absolute_paths
from segnet.training.configuration.config import RECIPES, recipe_settings
from segnet.training.configuration.config_file import read_config


def test_the_default_is_the_articles_recipe_number_by_number():
    config = TrainConfig()
    assert (config.data, config.model, config.recipe, config.border) == (
        "oxford-pets",
        "segnet",
        "article",
        "class",
    )
    assert (config.size, config.resize, config.epochs, config.batch_size) == ((128, 128), "nearest", 20, 64)
    assert (config.optimizer, config.lr, config.schedule) == ("adam", 1e-3, "step")
    assert (config.step_epochs, config.step_gamma) == (7, 0.7)
    assert (config.flip, config.contrast, config.crop_scale) == (0.5, 0.3, 1.0)
    switched_off = ("weight_decay", "warmup_epochs", "clip_norm", "ema_decay", "brightness", "saturation")
    assert [getattr(config, name) for name in switched_off] == [0] * len(switched_off)
    assert not config.progressive
    assert config.holdout == 0


def test_for_the_models_of_parts_3_and_4_the_article_is_their_own_notebooks():
    separable, transformer = TrainConfig(model="segnet-dsc"), TrainConfig(model="vit")
    assert (separable.lr, separable.schedule, separable.epochs) == (1e-3, "constant", 20)
    assert (transformer.lr, transformer.schedule, transformer.epochs) == (4e-4, "step", 50)
    assert (transformer.step_epochs, transformer.step_gamma) == (12, 0.8)
    assert TrainConfig(model="vit", epochs=3).epochs == 3
    assert TrainConfig(model="vit", recipe="modern").lr == TrainConfig(recipe="modern").lr


def test_what_is_given_wins_over_the_recipe_and_the_rest_is_filled_in():
    config = TrainConfig(recipe="modern", epochs=7)
    assert config.epochs == 7
    assert config.optimizer == "adamw"


def test_every_recipe_decides_the_same_settings():
    assert len({frozenset(recipe_settings(recipe)) for recipe in RECIPES}) == 1


@pytest.mark.parametrize(
    ("settings", "says"),
    [
        ({"recipe": "modren"}, "did you mean 'modern'"),
        ({"epochs": 0}, "--epochs must be from 1"),
        ({"batch_size": 0}, "--batch-size must be from 1"),
        ({"lr": -1.0}, "--lr must be from 0"),
        ({"lr": float("nan")}, "--lr must be from 0"),
        ({"flip": 1.5}, "--flip must be from 0 to 1, got 1.5"),
        ({"size": (128, 15)}, "at least 16 each way, got 128x15"),
        ({"holdout": 1.0}, "--holdout"),
        ({"step_epochs": 0}, "--step-epochs must be from 1"),
    ],
)
def test_a_setting_outside_its_range_is_named_with_its_option(settings, says):
    with pytest.raises(SegnetError, match=says):
        TrainConfig(**settings)


@pytest.mark.parametrize(
    ("settings", "says"),
    [
        ({"schedule": "cosin"}, "--schedule can't be 'cosin'; did you mean 'cosine'"),
        ({"optimizer": "lamb"}, "--optimizer can't be 'lamb'"),
        ({"resize": "cubic"}, "--resize can't be 'cubic'; there is area, bilinear, nearest"),
        ({"size": (32,)}, r"size must be \(height, width\) in whole pixels, got \(32,\)"),
        ({"epochs": "many"}, "--epochs must be from 1"),
    ],
)
def test_values_that_only_the_python_interface_lets_through_are_refused_too(settings, says):
    with pytest.raises(SegnetError, match=says):
        TrainConfig(**settings)


def test_yaml_goes_there_and_back(tmp_path):
    config = TrainConfig(
        data_root=Path("a/b"),
        archive=(Path("x.tar.gz"),),
        size=(64, 96),
        model_options={"stages": 3},
        encoder_weights=Path("vgg16.safetensors"),
    )
    file = tmp_path / "config.yaml"
    file.write_text(yaml.safe_dump(config.to_dict()))
    assert read_config(file) == config


def test_saved_paths_hold_from_any_working_directory(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "photos").mkdir()
    paths = absolute_paths(TrainConfig(data="photos", data_root=Path("x"), extra_list="more.txt"))
    assert paths == {"data": str(tmp_path / "photos"), "data_root": tmp_path / "x", "archive": ()}
    assert "extra_list" not in paths, "a name that is no file here is looked up in annotations/"
    (tmp_path / "oxford-pets").mkdir()
    assert "data" not in absolute_paths(TrainConfig(), names=["oxford-pets"]), "it stays the dataset's name"


@pytest.mark.parametrize(
    ("content", "says"),
    [
        (b"epoch: 3", r"config.yaml: there is no setting 'epoch'; did you mean 'epochs'"),
        (b"[1, 2]", "must hold lines such as"),
        (b"a: b: c", "is no YAML"),
        (b"\xff\xfe\x00", "is no YAML"),
        (b"size: 3", "config.yaml: --size must be at least 16 each way, got 3x3"),
        (b"model: [segnet]", r"--model must be the name of a model, got \['segnet'\]"),
        (b"model_options: {stages: 3", "is no YAML"),
    ],
)
def test_a_file_that_is_no_configuration_is_named_with_what_is_wrong(tmp_path, content, says):
    file = tmp_path / "config.yaml"
    file.write_bytes(content)
    with pytest.raises(SegnetError, match=says):
        read_config(file)
