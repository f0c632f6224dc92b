"""Which group an image is in."""

import pytest

from segnet import DataOptions, Dataset, SegnetError
from segnet.base.classes import ClassTable
from segnet.data.groups import groups_of

PETS = Dataset("oxford-pets", ClassTable.named(("a", "b")), (), (), options=DataOptions(data="oxford-pets"))
FOLDER = Dataset("street", ClassTable.named(("a", "b")), (), (), options=DataOptions(data="street"))
NAMES = ["Maine_Coon_12", "pug_3"]


def test_pets_tell_species_and_breed_by_their_names():
    assert groups_of(PETS, NAMES, "species") == ["cat", "dog"]
    assert groups_of(PETS, NAMES, "breed") == ["maine coon", "pug"]


def test_a_table_names_groups_with_or_without_suffixes(tmp_path):
    table = tmp_path / "groups.csv"
    table.write_text("image,weather,other\na.jpg,rain,1\nb.1,sun,2\nunused,fog,3\n", encoding="utf-8-sig")
    assert groups_of(FOLDER, ["b.1", "a"], "weather", table) == ["sun", "rain"]


@pytest.mark.parametrize(
    ("dataset", "by", "table", "says"),
    [
        (
            PETS,
            "specie",
            None,
            "oxford-pets groups by species or breed, .* not 'specie'; did you mean 'species'",
        ),
        (FOLDER, "weather", None, "street doesn't say which weather an image is of; give --group-table"),
        (
            FOLDER,
            "wether",
            "image,weather\na,rain",
            "has the columns image, weather, but no 'wether'; did you mean 'weather'",
        ),
        (FOLDER, "weather", "weather\nrain", "has the columns weather, but no 'image'"),
        (
            FOLDER,
            "weather",
            "image,weather\nMaine_Coon_12,rain",
            "lacks 1 of the 2 images, the first of them pug_3",
        ),
        (FOLDER, "weather", "", r"has the columns \(none\), but no 'image'"),
    ],
)
def test_what_is_not_there_is_one_line(tmp_path, dataset, by, table, says):
    path = None
    if table is not None:
        path = tmp_path / "groups.csv"
        path.write_text(table)
    with pytest.raises(SegnetError, match=says):
        groups_of(dataset, NAMES, by, path)
    with pytest.raises(SegnetError, match=r"there is no .*none\.csv, the table of groups"):
        groups_of(dataset, NAMES, by, tmp_path / "none.csv")
