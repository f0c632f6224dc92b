"""Data in the order of a model's classes: every way in which samples are read gets the model's ids."""

import numpy as np
import pytest
from PIL import Image

from segnet import ClassTable, DataOptions, Dataset, SegnetError, load_dataset
from segnet.data.by_name import in_order_of
from segnet.data.dataset import HasValues
from segnet.data.images.intensity import Intensity

MODEL = ClassTable.named(("sky", "road", "car", "tree"))


@pytest.fixture
def folder(tmp_path):
    """Two pairs of 16 bits in 1 channel, with the classes of ``MODEL`` in another order."""
    for kind in ("images", "masks"):
        (tmp_path / kind).mkdir()
    mask = np.array([[0, 1, 2], [3, 255, 0], [1, 1, 2]], np.uint8).repeat(8, 0).repeat(8, 1)
    for name, value in (("a", 700), ("b", 300)):
        Image.fromarray(np.full((24, 24), value, np.uint16)).save(tmp_path / "images" / f"{name}.png")
        Image.fromarray(mask).save(tmp_path / "masks" / f"{name}.png")
        mask = mask.T.copy()
    (tmp_path / "dataset.yaml").write_text("classes: [Tree, sky, Car, road]\n")
    return tmp_path


def test_masks_get_the_models_ids_however_a_sample_is_read(folder):
    given = load_dataset(DataOptions(data=str(folder), channels=1, holdout=0.5))
    found = in_order_of(MODEL, given)
    assert found.classes is MODEL
    assert found.matched == (
        f"classes of {folder.name} are matched by name, in its order: Tree as tree, sky, Car as car, road"
    )
    table = np.full(256, 255)
    table[:4] = [3, 0, 2, 1]
    intensity = Intensity(1, ((0.0, 1000.0),))
    for split in ("train", "val"):
        for before, after in zip(getattr(given, split), getattr(found, split), strict=True):
            assert isinstance(after, HasValues)
            assert (after.name, after.image_ids(), after.is_deep) == (before.name, before.image_ids(), True)
            assert after.fingerprint() != before.fingerprint(), "a cache of the other ids must not be opened"
            image, mask = before.read_as(intensity)
            same, other = after.read_as(intensity)
            assert np.array_equal(other, table[mask])
            assert other.dtype == np.uint8
            assert np.array_equal(image, same)
            assert np.array_equal(after.read()[1], table[before.read()[1]])
            assert np.array_equal(after.read_values(1), before.read_values(1))


def test_data_with_the_models_classes_stays_as_it_is(folder):
    (folder / "dataset.yaml").write_text("classes: [sky, road, car, tree]\n")
    given = load_dataset(DataOptions(data=str(folder), channels=1))
    assert in_order_of(MODEL, given) is given


@pytest.mark.parametrize(
    ("data", "matched"),
    [
        (("Traffic_Light", "bike"), "Traffic_Light as traffic light, bike"),
        (("traffic-light", "bike"), "traffic-light as traffic light, bike"),
        (("bike", "traffic light"), "bike, traffic light"),
    ],
)
def test_names_match_where_they_are_spelt_alike(data, matched):
    model = ClassTable.named(("traffic light", "bike"))
    given = Dataset("streets", ClassTable.named(data), [], [])
    assert in_order_of(model, given).matched.endswith(f"in its order: {matched}")


def test_of_two_names_that_are_spelt_alike_none_is_guessed():
    model = ClassTable.named(("car", "road"))
    given = Dataset("streets", ClassTable.named(("Car", "car")), [], [])
    with pytest.raises(SegnetError, match="the model knows car, road, but streets has Car; give classes"):
        in_order_of(model, given)


@pytest.mark.parametrize("border", ["pet", "ignore"])
def test_the_pets_borders_are_no_matter_of_names(border, oxford_pets):
    pets = load_dataset(DataOptions(data="oxford-pets", data_root=oxford_pets, border=border))
    three = ClassTable.named(("pet", "background", "border"))
    with pytest.raises(SegnetError, match="--border class, pet or ignore decides which classes there are"):
        in_order_of(three, pets)


def test_a_mask_with_a_value_that_is_no_class_is_still_refused():
    class Made:
        name = "made"

        def image_ids(self):
            return (b"made",)

        def fingerprint(self):
            return b"made"

        def read(self):
            return Image.new("RGB", (4, 4)), np.full((4, 4), 2, np.uint8)

    given = Dataset("made", ClassTable.named(("road", "sky")), [], [Made()])
    with pytest.raises(SegnetError, match="the mask of made holds the value 2, but there are 2 classes"):
        in_order_of(MODEL, given).val[0].read()
