"""What the server answers equals what ``segnet predict`` and ``Segmenter`` give in this process."""

import io
import json

import numpy as np
import pytest
from PIL import Image

import segnet
from segnet.cli import main


@pytest.fixture(scope="module")
def found(photo):
    return segnet.load("pets-lite").predict(io.BytesIO(photo))


def pixels(content):
    return np.asarray(Image.open(io.BytesIO(content)))


def predicted(tmp_path, photo, monkeypatch, capsys, *options):
    (tmp_path / "photo.jpg").write_bytes(photo)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("sys.argv", ["segnet", "predict", "photo.jpg", "--out", "out", *options])
    with pytest.raises(SystemExit) as ended:
        main()
    assert ended.value.code == 0
    return json.loads(capsys.readouterr().out.splitlines()[0])


@pytest.mark.parametrize(
    ("format_", "make"),
    [
        ("png", lambda result: result.mask),
        ("overlay", lambda result: np.asarray(result.overlay())),
        ("cutout", lambda result: np.asarray(result.cutout())),
    ],
)
def test_pictures_are_the_segmenters(client, photo, found, format_, make):
    answer = client.post("/v1/segment", params={"format": format_}, content=photo)
    assert (answer.status_code, answer.headers["content-type"]) == (200, "image/png")
    np.testing.assert_array_equal(pixels(answer.content), make(found))


def test_the_mask_has_the_palette_of_predict(client, photo, tmp_path, monkeypatch, capsys):
    predicted(tmp_path, photo, monkeypatch, capsys)
    answer = client.post("/v1/segment?format=png", content=photo)
    assert answer.content == (tmp_path / "out" / "photo.mask.png").read_bytes()


def test_probabilities_are_the_segmenters(client, photo, found):
    answer = client.post("/v1/segment?format=npy", content=photo)
    np.testing.assert_array_equal(np.load(io.BytesIO(answer.content)), found.probabilities.astype(np.float16))


def test_json_is_the_line_of_predict(client, photo, tmp_path, monkeypatch, capsys):
    line = predicted(tmp_path, photo, monkeypatch, capsys, "--regions", "--least-region", "5")
    answer = client.post("/v1/segment?least_region=5", files={"file": ("photo.jpg", photo)}).json()
    del line["mask"], line["overlay"]
    assert line["regions"]
    assert answer == line


def test_coco_is_the_file_of_predict(client, photo, tmp_path, monkeypatch, capsys):
    predicted(tmp_path, photo, monkeypatch, capsys, "--format", "coco", "--tolerance", "2")
    files = {"file": ("photo.jpg", photo)}
    answer = client.post("/v1/segment?format=coco&tolerance=2", files=files).json()
    assert answer == json.loads((tmp_path / "out" / "annotations.json").read_text())


def test_geojson_is_the_file_of_predict(client, photo, tmp_path, monkeypatch, capsys):
    predicted(tmp_path, photo, monkeypatch, capsys, "--format", "geojson")
    answer = client.post("/v1/segment?format=geojson", files={"file": ("photo.jpg", photo)})
    assert answer.headers["content-type"] == "application/geo+json"
    assert answer.json() == json.loads((tmp_path / "out" / "photo.geojson").read_text())


@pytest.mark.parametrize(
    ("accept", "media_type"),
    [
        ("", "application/json"),
        ("*/*", "application/json"),
        ("image/png", "image/png"),
        ("text/html, image/png;q=0.5, application/geo+json;q=0.8", "application/geo+json"),
        ("application/x-npy", "application/x-npy"),
        ("application/json;q=0, image/*", "image/png"),
    ],
)
def test_accept_chooses_the_answer(client, photo, accept, media_type):
    answer = client.post("/v1/segment", content=photo, headers={"Accept": accept})
    assert answer.headers["content-type"] == media_type


def test_format_comes_before_accept(client, photo):
    answer = client.post("/v1/segment?format=png", content=photo, headers={"Accept": "application/json"})
    assert answer.headers["content-type"] == "image/png"


def test_a_model_is_chosen_by_its_name(client, photo):
    answer = client.post("/v1/segment?model=nano&format=png", content=photo)
    np.testing.assert_array_equal(
        pixels(answer.content), segnet.load("pets-nano").predict(io.BytesIO(photo)).mask
    )


def test_a_page_of_several_is_chosen_by_its_number(client):
    pages = [Image.new("RGB", size, "white") for size in ((40, 30), (60, 20))]
    stream = io.BytesIO()
    pages[0].save(stream, "TIFF", save_all=True, append_images=pages[1:])
    unnamed = client.post("/v1/segment", content=stream.getvalue())
    assert (unnamed.status_code, "has 2 pages" in unnamed.json()["error"]) == (422, True)
    named = client.post("/v1/segment?page=2", content=stream.getvalue()).json()
    assert (named["page"], named["width"], named["height"]) == (2, 60, 20)


def test_models_are_listed_and_described(client):
    assert [each["name"] for each in client.get("/v1/models").json()["models"]] == ["lite", "nano"]
    about = client.get("/v1/models/nano").json()
    assert [each["name"] for each in about["classes"]] == ["pet", "background", "border"]
    assert (about["model"], about["channels"], about["runtime"]) == ("segnet-nano", 3, "onnxruntime")


@pytest.mark.parametrize("path", ["/", "/docs", "/openapi.json", "/healthz", "/readyz"])
def test_what_is_there_to_look_at(client, path):
    assert client.get(path).status_code == 200


@pytest.mark.parametrize("path", ["/", "/docs"])
def test_pages_load_nothing_from_elsewhere(client, path):
    answer = client.get(path)
    assert "http://" not in answer.text
    assert "https://" not in answer.text
    assert "default-src 'none'" in answer.headers["content-security-policy"]


def test_the_page_of_the_api_has_every_route(client):
    page = client.get("/docs").text
    assert all(path in page for path in client.get("/openapi.json").json()["paths"])
