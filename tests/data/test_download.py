"""Archives arrive whole or not at all, from servers on this machine that fail in every way real ones do."""

from __future__ import annotations

import hashlib
import io
import os
import re
import socket
import subprocess
import sys
import tarfile
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Event, Thread

import pytest

from segnet.core.errors import SegnetError
from segnet.data.download import Archive, cache_folder, fetch, install, require_checksum, unpack

CONTENT = os.urandom(300_000)
HALF = len(CONTENT) // 2
ADVICE = "fetch it yourself"

Answer = Callable[[BaseHTTPRequestHandler], None]


def reply(to: BaseHTTPRequestHandler, status: int, body: bytes, **headers: object) -> None:
    to.send_response(status)
    for name, value in {"Content_Length": len(body), **headers}.items():
        to.send_header(name.replace("_", "-"), str(value))
    to.end_headers()
    to.wfile.write(body)


def asked_from(request: BaseHTTPRequestHandler) -> int | None:
    wanted = re.fullmatch(r"bytes=(\d+)-", request.headers.get("Range", ""))
    return int(wanted[1]) if wanted else None


def sends(request: BaseHTTPRequestHandler) -> None:
    """Answer as a good server does, ranges included."""
    start = asked_from(request)
    if start is None:
        reply(request, 200, CONTENT)
    else:
        reply(request, 206, CONTENT[start:], Content_Range=f"bytes {start}-{len(CONTENT) - 1}/{len(CONTENT)}")


def knows_no_ranges(request: BaseHTTPRequestHandler) -> None:
    reply(request, 200, CONTENT)


def breaks_off(request: BaseHTTPRequestHandler) -> None:
    reply(request, 200, CONTENT[:HALF], Content_Length=len(CONTENT))


def sends_another_range(request: BaseHTTPRequestHandler) -> None:
    reply(request, 206, CONTENT[7:], Content_Range=f"bytes 7-{len(CONTENT) - 1}/{len(CONTENT)}")


def has_nothing_more(request: BaseHTTPRequestHandler) -> None:
    reply(request, 416, b"", Content_Range=f"bytes */{len(CONTENT)}")


def sends_a_wrong_byte(request: BaseHTTPRequestHandler) -> None:
    reply(request, 200, CONTENT[:-1] + bytes([CONTENT[-1] ^ 1]))


def calls_it_an_encoding(request: BaseHTTPRequestHandler) -> None:
    reply(request, 200, CONTENT, Content_Encoding="gzip")


def fails(request: BaseHTTPRequestHandler) -> None:
    reply(request, 500, b"out of order")


def has_no_such_page(request: BaseHTTPRequestHandler) -> None:
    reply(request, 404, b"not found")


class Server(ThreadingHTTPServer):
    """Gives one answer after another, the last one again and again, and notes where each request began."""

    def __init__(self, *answers: Answer) -> None:
        self.asked: list[int | None] = []
        server = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                server.asked.append(asked_from(self))
                answers[min(len(server.asked), len(answers)) - 1](self)

            def log_message(self, *_: object) -> None: ...

        super().__init__(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self.server_port}/pets.tar.gz"
        Thread(target=self.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True).start()


@pytest.fixture
def serve(monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[..., Server]]:
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    servers: list[Server] = []

    def start(*answers: Answer) -> Server:
        servers.append(Server(*answers))
        return servers[-1]

    yield start
    for server in servers:
        server.shutdown()
        server.server_close()


def published(*urls: str, retries: int = 2) -> Archive:
    return Archive("pets.tar.gz", "images", hashlib.sha256(CONTENT).hexdigest(), urls, (0.0,) * retries)


def names_in(folder: Path) -> list[str]:
    return sorted(entry.name for entry in folder.iterdir())


def dead_url() -> str:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return f"http://127.0.0.1:{probe.getsockname()[1]}/pets.tar.gz"


@pytest.mark.parametrize(
    ("answers", "asked"),
    [
        ([sends], [None]),
        ([fails, sends], [None, None]),
        ([breaks_off, sends], [None, HALF]),
        ([breaks_off, fails, sends], [None, HALF, HALF]),
        ([breaks_off, knows_no_ranges], [None, HALF]),
        ([breaks_off, sends_another_range, sends], [None, HALF, None]),
        ([calls_it_an_encoding], [None]),
    ],
    ids=lambda case: ", then ".join(step.__name__ for step in case) if callable(case[0]) else "",
)
def test_a_download_arrives_whole_and_asks_only_for_what_is_missing(
    answers: list[Answer], asked: list[int | None], serve: Callable[..., Server], tmp_path: Path
) -> None:
    server = serve(*answers)
    file = fetch(published(server.url), tmp_path / "cache", ADVICE)
    assert file.read_bytes() == CONTENT
    assert server.asked == asked
    assert names_in(file.parent) == ["pets.tar.gz"]


def test_a_later_try_goes_on_where_a_failed_one_ended(serve: Callable[..., Server], tmp_path: Path) -> None:
    with pytest.raises(SegnetError):
        fetch(published(serve(breaks_off, fails).url), tmp_path, ADVICE)
    assert (tmp_path / "pets.tar.gz.part").stat().st_size == HALF
    server = serve(sends)
    assert fetch(published(server.url), tmp_path, ADVICE).read_bytes() == CONTENT
    assert server.asked == [HALF]


def test_a_killed_process_leaves_what_the_next_one_resumes(
    serve: Callable[..., Server], tmp_path: Path
) -> None:
    killed = Event()

    def stalls(request: BaseHTTPRequestHandler) -> None:
        reply(request, 200, CONTENT[:HALF], Content_Length=len(CONTENT))
        killed.wait(30)

    server = serve(stalls, sends)
    code = (
        "from pathlib import Path; from segnet.data.download import *; "
        f"fetch({published(server.url)!r}, Path('.'), '')"
    )
    process = subprocess.Popen([sys.executable, "-c", code], cwd=tmp_path, stderr=subprocess.DEVNULL)
    part = tmp_path / "pets.tar.gz.part"
    patience = time.monotonic() + 30
    while not (part.exists() and part.stat().st_size) and time.monotonic() < patience:
        time.sleep(0.01)
    process.kill()
    process.wait()
    killed.set()
    left = part.stat().st_size
    assert fetch(published(server.url), tmp_path, ADVICE).read_bytes() == CONTENT
    assert server.asked == [None, left]
    assert 0 < left <= HALF


def test_a_partial_file_that_is_complete_already_is_taken(
    serve: Callable[..., Server], tmp_path: Path
) -> None:
    (tmp_path / "pets.tar.gz.part").write_bytes(CONTENT)
    assert fetch(published(serve(has_nothing_more).url), tmp_path, ADVICE).read_bytes() == CONTENT


def test_a_wrong_checksum_is_thrown_away_and_the_mirror_asked_from_the_start(
    serve: Callable[..., Server], tmp_path: Path
) -> None:
    main, mirror = serve(sends_a_wrong_byte), serve(sends)
    assert fetch(published(main.url, mirror.url), tmp_path, ADVICE).read_bytes() == CONTENT
    assert (main.asked, mirror.asked) == ([None], [None])


def test_a_dead_server_leads_to_the_mirror(serve: Callable[..., Server], tmp_path: Path) -> None:
    assert fetch(published(dead_url(), serve(sends).url), tmp_path, ADVICE).read_bytes() == CONTENT


def test_a_file_that_is_there_already_is_not_downloaded(tmp_path: Path) -> None:
    (tmp_path / "pets.tar.gz").write_bytes(CONTENT)
    assert fetch(published(dead_url()), tmp_path, ADVICE).read_bytes() == CONTENT


def test_when_every_address_fails_the_error_tells_each_reason_and_what_to_do(
    serve: Callable[..., Server], tmp_path: Path
) -> None:
    servers = {
        "HTTP 500": serve(fails),
        "HTTP 404": serve(has_no_such_page),
        "wrong checksum": serve(sends_a_wrong_byte),
        f"IncompleteRead({HALF} bytes read, {HALF} more expected)": serve(breaks_off),
    }
    dead = dead_url()
    archive = published(*(server.url for server in servers.values()), dead, retries=0)
    with pytest.raises(SegnetError) as caught:
        fetch(archive, tmp_path, ADVICE)
    message = str(caught.value)
    for reason, server in servers.items():
        assert f"{server.url} ({reason})" in message
    assert f"{dead} (Connection refused)" in message
    assert message.endswith(ADVICE)
    assert "\n" not in message


@pytest.mark.parametrize(("answer", "tries"), [(fails, 3), (has_no_such_page, 1), (sends_a_wrong_byte, 1)])
def test_only_what_may_pass_is_tried_again(
    answer: Answer, tries: int, serve: Callable[..., Server], tmp_path: Path
) -> None:
    server = serve(answer)
    with pytest.raises(SegnetError):
        fetch(published(server.url), tmp_path, ADVICE)
    assert len(server.asked) == tries


def test_a_folder_that_cannot_be_written_is_named(tmp_path: Path) -> None:
    (tmp_path / "cache").write_text("a file where the folder should be")
    with pytest.raises(SegnetError, match=r"can't write to .*cache.*SEGNET_CACHE"):
        install(published(dead_url()), tmp_path / "cache", ADVICE)


def test_of_several_at_once_one_downloads_and_all_get_the_folder(
    serve: Callable[..., Server], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    packed = tar_gz(tmp_path / "pets.tar.gz", **{"images/cat.jpg": CONTENT}).read_bytes()

    def takes_its_time(request: BaseHTTPRequestHandler) -> None:
        time.sleep(0.1)
        reply(request, 200, packed)

    server = serve(takes_its_time)
    archive = Archive("pets.tar.gz", "images", hashlib.sha256(packed).hexdigest(), (server.url,))
    with ThreadPoolExecutor(4) as pool:
        folders = list(pool.map(lambda _: install(archive, tmp_path / "cache", ADVICE), range(4)))
    assert [(folder / "cat.jpg").read_bytes() for folder in folders] == [CONTENT] * 4
    assert server.asked == [None]
    assert "pets.tar.gz: waiting for the process that is getting it" in capsys.readouterr().err


def test_off_a_terminal_progress_is_a_few_plain_lines(
    serve: Callable[..., Server], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    fetch(published(serve(sends).url), tmp_path, ADVICE)
    output = capsys.readouterr()
    assert "pets.tar.gz: 100 % of 0.3 MB\n" in output.err
    assert output.err.count("%") <= 10
    assert "\x1b" not in output.err
    assert output.out == ""


def test_a_local_copy_is_checked(tmp_path: Path) -> None:
    file = tmp_path / "pets.tar.gz"
    file.write_bytes(CONTENT)
    require_checksum(file, published())
    file.write_bytes(CONTENT[:-1])
    with pytest.raises(SegnetError, match=r"pets\.tar\.gz is not the published"):
        require_checksum(file, published())


def tar_gz(file: Path, **members: bytes) -> Path:
    with tarfile.open(file, "w:gz") as tar:
        for name, content in members.items():
            entry = tarfile.TarInfo(name)
            entry.size = len(content)
            tar.addfile(entry, io.BytesIO(content))
    return file


def test_an_archive_is_unpacked_and_leaves_no_other_trace(tmp_path: Path) -> None:
    file = tar_gz(tmp_path / "a.tar.gz", **{"images/cat.jpg": b"cat", "images/more/dog.jpg": b"dog"})
    folder = unpack(file, "images", into=tmp_path / "new" / "cache")
    assert (folder / "cat.jpg").read_bytes() == b"cat"
    assert (folder / "more" / "dog.jpg").read_bytes() == b"dog"
    assert names_in(tmp_path / "new" / "cache") == ["images"]


@pytest.mark.parametrize(
    ("members", "keep", "message"),
    [
        ({"images/cat.jpg": b"cat", "../evil": b"!"}, 1.0, "outside"),
        ({"pictures/cat.jpg": b"cat"}, 1.0, "holds no folder images/"),
        ({"images/cat.jpg": os.urandom(50_000)}, 0.5, "can't be unpacked"),
        ({"images/cat.jpg": b"cat"}, 0.0, "can't be unpacked"),
    ],
    ids=["escapes", "other folder", "cut", "empty"],
)
def test_an_archive_that_is_unsafe_or_damaged_leaves_nothing(
    members: dict[str, bytes], keep: float, message: str, tmp_path: Path
) -> None:
    file = tar_gz(tmp_path / "a.tar.gz", **members)
    os.truncate(file, int(file.stat().st_size * keep))
    with pytest.raises(SegnetError, match=rf"a\.tar\.gz .*{message}"):
        unpack(file, "images", into=tmp_path)
    assert names_in(tmp_path) == ["a.tar.gz"]


def test_what_a_killed_process_left_of_unpacking_is_cleared_away(tmp_path: Path) -> None:
    (tmp_path / ".images.part" / "images").mkdir(parents=True)
    (tmp_path / ".images.part" / "images" / "half.jpg").write_bytes(b"ha")
    folder = unpack(tar_gz(tmp_path / "a.tar.gz", **{"images/cat.jpg": b"cat"}), "images", into=tmp_path)
    assert names_in(folder) == ["cat.jpg"]
    assert names_in(tmp_path) == ["a.tar.gz", "images"]


def test_the_cache_folder_is_the_platforms_unless_chosen(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("SEGNET_CACHE", str(tmp_path))
    assert cache_folder() == tmp_path
    monkeypatch.setenv("SEGNET_CACHE", "~/here")
    assert cache_folder() == Path.home() / "here"
    monkeypatch.setenv("SEGNET_CACHE", "")
    assert cache_folder().name == "segnet"
