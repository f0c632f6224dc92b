"""Whatever is sent: the right status, one sentence, no traceback, no path of the machine."""

import io
import struct
import zlib

import httpx2
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from PIL import Image

import segnet
from segnet.base.errors import SegnetError
from segnet.cli import main
from segnet.serve.limits import require_token_beyond_here
from segnet.serve.running import open_models

from .conftest import drawn_photo, in_thread

PNG = drawn_photo((40, 30), "PNG")
FORM = {"Content-Type": "multipart/form-data; boundary=x"}


def claimed(width, height):
    """A PNG of this size by its header, and hardly a pixel in it."""

    def chunk(kind, content):
        return (
            struct.pack(">I", len(content)) + kind + content + struct.pack(">I", zlib.crc32(kind + content))
        )

    header = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    return (
        b"\x89PNG\r\n\x1a\n"
        + chunk(b"IHDR", header)
        + chunk(b"IDAT", zlib.compress(b""))
        + chunk(b"IEND", b"")
    )


def postscript():
    stream = io.BytesIO()
    Image.new("RGB", (20, 20)).save(stream, "EPS")
    return stream.getvalue()


def require_sentence(answer, status, part):
    assert answer.status_code == status, answer.text
    assert answer.json().keys() == {"error"}
    assert part in answer.json()["error"]
    assert "Traceback" not in answer.text
    assert "/" not in answer.json()["error"].replace("multipart/form-data", "").replace(
        "application/", ""
    ).replace("image/png", "").replace("/docs", "")


@pytest.mark.parametrize(
    ("request_", "status", "part"),
    [
        ({"content": b""}, 400, "empty"),
        ({"content": b"no image"}, 415, "not an image"),
        ({"content": b'{"url": "x.jpg"}'}, 415, "not an image"),
        ({"content": PNG[: len(PNG) // 2]}, 422, "damaged"),
        ({"content": claimed(100_000, 100_000)}, 413, "too many pixels"),
        ({"content": postscript()}, 415, "EPS"),
        ({"content": PNG, "headers": {"Content-Encoding": "gzip"}}, 415, "compressed"),
        ({"content": PNG, "headers": {"Accept": "text/html"}}, 406, "Accept"),
        ({"content": PNG, "params": {"model": "lit"}}, 404, "did you mean 'lite'"),
        ({"content": PNG, "params": {"format": "pgn"}}, 422, "format"),
        ({"content": PNG, "params": {"formt": "png"}}, 422, "did you mean 'format'"),
        ({"content": PNG, "params": {"page": "0"}}, 422, "page"),
        ({"content": PNG, "params": {"page": "3"}}, 422, "page"),
        ({"content": PNG, "params": {"least_region": "many"}}, 422, "least_region"),
        ({"content": PNG, "params": {"tolerance": "nan"}}, 422, "tolerance"),
        ({"content": b"no form", "headers": FORM}, 400, "form"),
        ({"content": b"no form", "headers": {"Content-Type": "multipart/form-data"}}, 400, "form"),
        ({"content": b"--x--\r\n", "headers": FORM}, 400, "0 parts"),
        ({"files": {"photo": PNG}}, 422, "'photo' isn't read"),
        ({"files": {"file": PNG}, "data": {"model": "lite"}}, 422, "'model' isn't read"),
        ({"files": [("file", PNG), ("file", PNG)]}, 400, "2 parts"),
        ({"files": {"file": b""}}, 400, "empty"),
    ],
)
def test_bad_input_has_its_status_and_one_sentence(client, request_, status, part):
    require_sentence(client.post("/v1/segment", **request_), status, part)


def test_paths_and_methods_that_are_not_there(client):
    require_sentence(client.get("/v2"), 404, "no such path")
    require_sentence(client.get("/v1/models/nan"), 404, "did you mean 'nano'")
    require_sentence(client.put("/v1/segment"), 405, "method")


@pytest.mark.parametrize("chunked", [False, True])
def test_a_body_is_bounded_with_and_without_a_length(photo, chunked):
    with in_thread({"nano": segnet.load("pets-nano")}, max_bytes=len(photo)) as address:
        for content, status in ((photo, 200), (photo + b"x", 413)):
            pieces = (content[at : at + 1000] for at in range(0, len(content), 1000))
            answer = httpx2.post(f"{address}/v1/segment", content=pieces if chunked else content)
            assert answer.status_code == status


def test_the_limit_of_pixels_is_the_servers(photo):
    large = drawn_photo((1100, 1000))
    with in_thread({"nano": segnet.load("pets-nano")}, max_megapixels=1) as address:
        require_sentence(httpx2.post(f"{address}/v1/segment", content=large), 413, "1,100,000, where")
        assert httpx2.post(f"{address}/v1/segment", content=photo).status_code == 200


def test_a_token_guards_models_and_numbers_and_no_more(photo):
    server = in_thread({"nano": segnet.load("pets-nano")}, token="sesame")
    with server as address, httpx2.Client(base_url=address) as client:
        for headers in ({}, {"Authorization": "Bearer sesam"}, {"Authorization": "Basic sesame"}):
            answer = client.post("/v1/segment", content=photo, headers=headers)
            require_sentence(answer, 401, "token")
            assert answer.headers["www-authenticate"] == "Bearer"
            for path in ("/v1/models", "/v1/models/nano", "/metrics"):
                require_sentence(client.get(path, headers=headers), 401, "token")
        for path in ("/", "/docs", "/openapi.json", "/healthz", "/readyz"):
            assert client.get(path).status_code == 200
        good = {"Authorization": "Bearer sesame"}
        assert client.post("/v1/segment", content=photo, headers=good).status_code == 200


@pytest.mark.parametrize("host", ["0.0.0.0", "::", "192.0.2.1", "example.org"])
def test_another_address_needs_a_token(host):
    with pytest.raises(SegnetError, match="SEGNET_TOKEN"):
        require_token_beyond_here(host, None)
    require_token_beyond_here(host, "sesame")


@pytest.mark.parametrize("host", ["127.0.0.1", "127.0.0.2", "::1", "localhost"])
def test_this_machine_needs_none(host):
    require_token_beyond_here(host, None)


@pytest.mark.parametrize(
    ("arguments", "part"),
    [
        (["no-such-model"], "no-such-model"),
        (["pets-lite", "pets-lite"], "two models are called pets-lite"),
        (["a/b=pets-lite"], "can't be called"),
        (["--host", "0.0.0.0"], "SEGNET_TOKEN"),
        (["--workers", "0"], "--workers"),
        (["--threads", "0"], "--threads"),
        (["--queue", "-1"], "--queue"),
        (["--timeout", "0"], "--timeout"),
        (["--max-bytes", "0"], "--max-bytes"),
        (["--max-megapixels", "0"], "--max-megapixels"),
        (["--port", "70000"], "--port"),
        (["--page", "missing.html"], "missing.html"),
        (["--token", ""], "token"),
        (["--token", "zwölf"], "token"),
    ],
)
def test_a_wrong_start_is_one_line(arguments, part, monkeypatch, capsys):
    monkeypatch.delenv("SEGNET_TOKEN", raising=False)
    monkeypatch.setattr("sys.argv", ["segnet", "serve", *arguments])
    with pytest.raises(SystemExit) as ended:
        main()
    said = capsys.readouterr().err
    assert (ended.value.code, said.count("\n")) == (2, 1)
    assert part in said


def test_models_get_the_names_that_clients_use(tmp_path):
    run = tmp_path / "my-run"
    run.mkdir()
    (run / "model.safetensors").write_bytes(
        (segnet.inference.opening.WEIGHTS / "pets-nano.safetensors").read_bytes()
    )
    file = tmp_path / "small.onnx"
    file.write_bytes((segnet.inference.opening.WEIGHTS / "pets-nano.onnx").read_bytes())
    assert [*open_models(["pets-nano", str(file), f"other={file}", str(run)])] == [
        "pets-nano",
        "small",
        "other",
        "my-run",
    ]


def test_only_named_origins_may_call_from_a_browser(photo):
    origin = {"Origin": "https://example.org"}
    for cors, allowed in (((), None), (("https://example.org",), "https://example.org")):
        with in_thread({"nano": segnet.load("pets-nano")}, cors=cors) as address:
            answer = httpx2.post(f"{address}/v1/segment", content=photo, headers=origin)
            assert answer.headers.get("access-control-allow-origin") == allowed


def test_a_page_of_the_users_own_is_shown(tmp_path):
    (tmp_path / "page.html").write_text("<p>mine")
    with in_thread({"nano": segnet.load("pets-nano")}, page=tmp_path / "page.html") as address:
        assert httpx2.get(address).text == "<p>mine"


TAILS = (
    b"\r\n--x--\r\n",
    b"\r\n\r\nx\r\n--x--",
    b"; filename=a\r\n\r\n" + PNG + b"\r\n--x--\r\n",
)
cut = st.builds(lambda at: PNG[:at], st.integers(0, len(PNG)))
changed = st.builds(
    lambda at, put: PNG[:at] + put + PNG[at + len(put) :], st.integers(0, len(PNG)), st.binary(max_size=9)
)
forms = st.builds(
    lambda head, tail: b"--x\r\nContent-Disposition: form-data; name=" + head + tail,
    st.binary(max_size=40),
    st.sampled_from(TAILS),
)
bodies = st.one_of(st.binary(max_size=400), cut, changed, forms)


@settings(max_examples=400, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    body=bodies,
    kind=st.sampled_from(["", "image/png", "multipart/form-data; boundary=x", "multipart/form-data"]),
)
def test_no_body_is_a_fault_of_the_server(client, body, kind):
    answer = client.post(
        "/v1/segment?format=png", content=body, headers={"Content-Type": kind} if kind else {}
    )
    assert answer.status_code in (200, 400, 413, 415, 422)
    assert answer.status_code == 200 or answer.json().keys() == {"error"}


@settings(max_examples=100, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(name=st.text(max_size=20), value=st.text(max_size=20))
def test_no_parameter_is_a_fault_of_the_server(client, name, value):
    answer = client.post("/v1/segment", params={name: value}, content=b"")
    assert answer.status_code in (400, 404, 406, 422)
    assert answer.json().keys() == {"error"}
