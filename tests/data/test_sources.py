"""From what a user typed to a dataset."""

from dataclasses import replace

import pytest

from segnet import DataOptions, SegnetError, load_dataset


def names(samples):
    return {sample.name for sample in samples}


def test_an_unknown_name_is_met_with_its_neighbour():
    with pytest.raises(SegnetError, match="did you mean 'oxford-pets'"):
        load_dataset(DataOptions(data="oxfordpets"))


def test_synthetic_needs_nothing_but_a_seed():
    dataset = load_dataset(DataOptions(data="synthetic", seed=3))
    assert dataset.classes.names == ("pet", "background", "border")
    assert len(dataset.train) > len(dataset.val) > 0
    assert not names(dataset.train) & names(dataset.val)


def test_pets_validate_on_the_official_test_split_as_the_article_does(oxford_pets):
    dataset = load_dataset(DataOptions(data_root=oxford_pets))
    assert (len(dataset.train), len(dataset.val), len(dataset.test), len(dataset.extra)) == (653, 411, 0, 0)


def test_a_held_out_part_keeps_the_test_split_out_of_training_and_validation(oxford_pets):
    options = DataOptions(data_root=oxford_pets, extra_list="trainval_extra.txt")
    whole = load_dataset(options)
    dataset = load_dataset(replace(options, holdout=0.1, seed=1))
    assert len(dataset.train) + len(dataset.val) == 653
    assert 40 < len(dataset.val) < 90
    assert (len(dataset.test), len(dataset.extra)) == (411, 728)
    assert names(dataset.train) | names(dataset.val) == names(whole.train)
    assert not names(dataset.val) & (names(dataset.train) | names(dataset.extra))
    assert names(dataset.test) == names(whole.val)
