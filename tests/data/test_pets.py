"""Oxford-IIIT Pet: the official layout, drawn small here, from a folder, from archives or downloaded."""

from __future__ import annotations

import hashlib
import socket
import tarfile
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from itertools import combinations
from pathlib import Path
from threading import Thread

import numpy as np
import pytest
from PIL import Image, ImageDraw

from segnet.base.errors import SegnetError
from segnet.data.dataset import Dataset
from segnet.data.download import Archive
from segnet.data.options import BorderPolicy
from segnet.data.pets import OFFICIAL, load_pets

REAL = Path(__file__).parents[2] / "../shared/oxford-pets"
SIZE = (20, 16)
LISTS = {
    "trainval.txt": "# name class species breed\nBengal_1 6 1 2\npug_2 26 2 18\n\n",
    "test.txt": "Bengal_3 6 1 2\n",
    "more.txt": "pug_4 26 2 18\n",
}


def draw_pet(root: Path, name: str) -> None:
    trimap = Image.new("L", SIZE, 2)
    ImageDraw.Draw(trimap).rectangle((4, 4, 12, 11), fill=1, outline=3)
    trimap.save(root / "annotations" / "trimaps" / f"{name}.png")
    Image.fromarray(np.random.default_rng(len(name)).integers(0, 256, (*SIZE[::-1], 3), np.uint8)).save(
        root / "images" / f"{name}.jpg"
    )


@pytest.fixture
def official(tmp_path: Path) -> Path:
    """The layout as the archives give it, stray files included."""
    root = tmp_path / "oxford-iiit-pet"
    (root / "annotations" / "trimaps").mkdir(parents=True)
    (root / "images").mkdir()
    for name in ("Bengal_1", "pug_2", "Bengal_3", "pug_4"):
        draw_pet(root, name)
    for file, text in LISTS.items():
        (root / "annotations" / file).write_text(text)
    for stray in ("images/pug_2.mat", "images/unlisted.jpg", "annotations/trimaps/._pug_2.png"):
        (root / stray).write_bytes(b"stray")
    return root


def names(samples: object) -> list[str]:
    return [sample.name for sample in samples]  # type: ignore[attr-defined]


def splits(dataset: Dataset) -> list[list[str]]:
    return [names(split) for split in (dataset.train, dataset.val, dataset.test, dataset.extra)]


@pytest.mark.parametrize("above", [False, True], ids=["the folder itself", "the folder above"])
def test_the_split_lists_alone_say_what_belongs_to_a_split(above: bool, official: Path) -> None:
    dataset = load_pets(official.parent if above else official)
    assert splits(dataset) == [["Bengal_1", "pug_2"], ["Bengal_3"], [], []]


@pytest.mark.parametrize("as_path", [False, True], ids=["by name", "by path"])
def test_an_extra_list_adds_samples_for_training(as_path: bool, official: Path) -> None:
    wanted = official / "annotations" / "more.txt" if as_path else Path("more.txt")
    assert splits(load_pets(official, extra_list=wanted))[3] == ["pug_4"]


@pytest.mark.parametrize(
    ("border", "classes", "ids"),
    [
        ("class", ("pet", "background", "border"), {1: 0, 2: 1, 3: 2}),
        ("pet", ("pet", "background"), {1: 0, 2: 1, 3: 0}),
        ("ignore", ("pet", "background"), {1: 0, 2: 1, 3: 255}),
    ],
)
def test_the_border_policy_decides_what_border_pixels_count_as(
    border: BorderPolicy, classes: tuple[str, ...], ids: dict[int, int], official: Path
) -> None:
    dataset = load_pets(official, border=border)
    image, mask = dataset.train[0].read()
    trimap = np.asarray(Image.open(official / "annotations" / "trimaps" / "Bengal_1.png"))
    assert dataset.classes.names == classes
    assert (image.mode, image.size, mask.dtype) == ("RGB", SIZE, np.uint8)
    assert {(int(a), int(b)) for a, b in zip(trimap.flat, mask.flat, strict=True)} == set(ids.items())


def test_a_fingerprint_follows_the_pixels_and_the_policy(official: Path) -> None:
    def of(border: BorderPolicy) -> bytes:
        return load_pets(official, border=border).train[0].fingerprint()

    before = of("class")
    assert before == of("class")
    assert len({before, of("pet"), of("ignore")}) == 3
    Image.new("L", SIZE, 1).save(official / "annotations" / "trimaps" / "Bengal_1.png")
    assert of("class") != before


def test_the_colours_differ_in_lightness_alone(official: Path) -> None:
    def luminance(colour: tuple[int, int, int]) -> float:
        """Relative luminance as WCAG 2.1 defines it."""
        channels = np.array(colour) / 255
        linear = np.where(channels <= 0.04045, channels / 12.92, ((channels + 0.055) / 1.055) ** 2.4)
        return float(linear @ (0.2126, 0.7152, 0.0722))

    for a, b in combinations(map(luminance, load_pets(official).classes.colours), 2):
        assert (max(a, b) + 0.05) / (min(a, b) + 0.05) > 1.7


def remove(file: str, root: Path) -> None:
    (root / file).unlink()


def write(file: str, text: str, root: Path) -> None:
    (root / file).write_text(text)


@pytest.mark.parametrize(
    ("spoil", "message"),
    [
        (
            partial(remove, "images/pug_2.jpg"),
            r"trainval\.txt names pug_2, but there is no .*images.pug_2\.jpg",
        ),
        (
            partial(remove, "annotations/trimaps/Bengal_3.png"),
            r"test\.txt names Bengal_3, .*trimaps.Bengal_3\.png",
        ),
        (partial(remove, "annotations/test.txt"), r"can't read the list .*test\.txt"),
        (
            partial(write, "annotations/trainval.txt", "Bengal_1 6 1 2\npug_7 1\npug_8 1\n"),
            r"trainval\.txt names pug_7, .*pug_7\.jpg \(2 of 3 are missing\); .* annotations/test\.txt alone",
        ),
        (partial(write, "annotations/test.txt", "# nothing\n"), r"the list .*test\.txt names no image"),
        (
            partial(write, "annotations/test.txt", "pug_2 26 2 18\n"),
            r"pug_2 \(1 images in all\) of .*test\.txt",
        ),
        (
            partial(write, "annotations/test.txt", "../../etc/passwd 1\n"),
            r"names \.\./\.\./etc/passwd, but there",
        ),
    ],
    ids=[
        "no image",
        "no trimap",
        "no list",
        "not all images",
        "empty list",
        "trained on and validated",
        "path in a list",
    ],
)
def test_a_layout_with_a_gap_is_refused_on_loading(
    spoil: partial[None], message: str, official: Path
) -> None:
    spoil(official)
    with pytest.raises(SegnetError, match=message):
        load_pets(official)


def test_an_extra_list_may_not_hold_validation_images(official: Path) -> None:
    with pytest.raises(SegnetError, match="Bengal_3"):
        load_pets(official, extra_list=Path("test.txt"))


def test_mistyped_arguments_say_what_was_meant(official: Path) -> None:
    with pytest.raises(SegnetError, match=r"did you mean 'more\.txt'"):
        load_pets(official, extra_list=Path("mor.txt"))
    with pytest.raises(SegnetError, match="did you mean 'ignore'"):
        load_pets(official, border="ignored")  # type: ignore[arg-type]
    with pytest.raises(SegnetError, match=r"no folders images/ and annotations/ in .*trimaps"):
        load_pets(official / "annotations" / "trimaps")
    with pytest.raises(SegnetError, match="give only one"):
        load_pets(official, archives=[Path("images.tar.gz")])


@pytest.mark.parametrize(
    ("trimap", "message"),
    [
        (Image.new("L", SIZE, 0), r"holds the value 0 \(320 pixels"),
        (Image.new("L", SIZE, 4), r"holds the value 4 \(320 pixels"),
        (Image.new("L", SIZE[::-1], 1), "16×20 but its image .* is 20×16"),
        (Image.new("RGB", SIZE), "mode RGB"),
    ],
)
def test_a_trimap_that_is_none_is_named_on_reading(trimap: Image.Image, message: str, official: Path) -> None:
    trimap.save(official / "annotations" / "trimaps" / "pug_2.png")
    with pytest.raises(SegnetError, match=rf"pug_2\.png .*{message}"):
        load_pets(official).train[1].read()


def pack(official: Path, into: Path, *urls: str) -> list[Archive]:
    """Pack the layout as the official archives are, published at these addresses (folders)."""
    into.mkdir()
    archives = []
    for folder in ("images", "annotations"):
        name = f"{folder}.tar.gz"
        with tarfile.open(into / name, "w:gz") as tar:
            tar.add(official / folder, folder)
        sha256 = hashlib.sha256((into / name).read_bytes()).hexdigest()
        archives.append(
            Archive(name, folder, sha256, tuple(f"{url}/{name}" for url in urls), retry_pauses_s=(0.0,))
        )
    return archives


def test_a_test_list_alone_is_enough_to_score_but_not_to_train(official, segnet):
    (official / "annotations/trainval.txt").unlink()
    dataset = load_pets(official)
    assert (len(dataset.train), len(dataset.val)) == (0, 1)
    ended = segnet("eval", "pets-nano", "--data-root", official)
    assert (ended.code, ended.err) == (0, "")
    assert ended.out.startswith("pets-nano on 1 image, the val split of oxford-pets\n")
    trained = segnet("train", "--data", "oxford-pets", "--data-root", official)
    trained.is_a_mistake_in_one_line("oxford-pets has no training images")
    as_folder = segnet("eval", "pets-nano", "--data", official)
    as_folder.is_a_mistake_in_one_line(f"take it as --data oxford-pets --data-root {official}")


@pytest.fixture
def web(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """The address of a server for what lies in ``web/``; downloads go to ``cache/``."""
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    monkeypatch.setenv("SEGNET_CACHE", str(tmp_path / "cache"))

    class Quiet(SimpleHTTPRequestHandler):
        def log_message(self, *_: object) -> None: ...

    with ThreadingHTTPServer(("127.0.0.1", 0), partial(Quiet, directory=str(tmp_path / "web"))) as server:
        Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()


def test_without_a_folder_the_data_is_downloaded_once(official: Path, web: str, tmp_path: Path) -> None:
    source = pack(official, tmp_path / "web", web)
    dataset = load_pets(None, source=source)
    assert splits(dataset) == splits(load_pets(official))
    assert dataset.train[0].fingerprint() == load_pets(official).train[0].fingerprint()
    cached = tmp_path / "cache" / "oxford-iiit-pet"
    assert sorted(entry.name for entry in cached.glob("[!.]*")) == ["annotations", "images"]

    for file in (tmp_path / "web").iterdir():
        file.unlink()
    assert splits(load_pets(None, source=source)) == splits(dataset)


def test_several_loading_at_once_all_get_the_data(official: Path, web: str, tmp_path: Path) -> None:
    source = pack(official, tmp_path / "web", web)
    with ThreadPoolExecutor(4) as pool:
        datasets = list(pool.map(lambda _: load_pets(None, source=source), range(4)))
    assert all(splits(dataset) == splits(load_pets(official)) for dataset in datasets)


def test_local_archives_are_used_instead_of_the_network(official: Path, web: str, tmp_path: Path) -> None:
    source = pack(official, tmp_path / "elsewhere")
    local = [tmp_path / "elsewhere" / archive.name for archive in source]
    assert splits(load_pets(None, archives=local, source=source)) == splits(load_pets(official))
    assert all(file.is_file() for file in local)


def test_a_local_archive_that_is_none_of_them_is_named(official: Path, web: str, tmp_path: Path) -> None:
    source = pack(official, tmp_path / "web", web)
    renamed = (tmp_path / "web" / "images.tar.gz").rename(tmp_path / "image.tar.gz")
    with pytest.raises(SegnetError, match=r"image\.tar\.gz is none of .*did you mean 'images.tar.gz'"):
        load_pets(None, archives=[renamed], source=source)
    with pytest.raises(SegnetError, match=r"images\.tar\.gz does not exist"):
        load_pets(None, archives=[tmp_path / "images.tar.gz"], source=source)
    (tmp_path / "images.tar.gz").write_bytes(b"something else")
    with pytest.raises(SegnetError, match=r"images\.tar\.gz is not the published"):
        load_pets(None, archives=[tmp_path / "images.tar.gz"], source=source)


def test_when_downloading_fails_the_error_says_how_to_go_on(official: Path, web: str, tmp_path: Path) -> None:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        dead = f"http://127.0.0.1:{probe.getsockname()[1]}"
    source = pack(official, tmp_path / "web", dead, f"{web}/moved")
    with pytest.raises(SegnetError) as caught:
        load_pets(None, source=source)
    for part in (
        f"{dead}/images.tar.gz (Connection refused)",
        f"{web}/moved/images.tar.gz (HTTP 404)",
        "--archive images.tar.gz --archive annotations.tar.gz",
        "--data-root",
    ):
        assert part in str(caught.value)


def test_the_official_archives_have_a_mirror_and_a_full_checksum() -> None:
    assert [archive.name for archive in OFFICIAL] == ["images.tar.gz", "annotations.tar.gz"]
    for archive in OFFICIAL:
        assert len(bytes.fromhex(archive.sha256)) == 32
        assert len(set(archive.urls)) == 2
        assert all(url.startswith("https://") and url.endswith(archive.name) for url in archive.urls)


@pytest.mark.skipif(not REAL.is_dir(), reason="needs a part of the real data in ../shared/oxford-pets")
def test_the_real_data_reads_with_all_three_classes() -> None:
    dataset = load_pets(REAL, extra_list=Path("trainval_extra.txt"))
    assert [len(split) for split in (dataset.train, dataset.val, dataset.extra)] == [653, 411, 728]
    for sample in (*dataset.train[::100], *dataset.val[::100], *dataset.extra[::100]):
        image, mask = sample.read()
        assert mask.shape == image.size[::-1]
        assert set(np.unique(mask)) == {0, 1, 2}
