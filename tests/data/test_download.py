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

from segnet.base.errors import SegnetError
from segnet.data.download import Archive, install

ADVICE = "fetch it yourself"


def tar_gz(**members: bytes) -> bytes:
    with io.BytesIO() as packed:
        with tarfile.open(fileobj=packed, mode="w:gz") as tar:
            for name, content in members.items():
                entry = tarfile.TarInfo(name)
                entry.size = len(content)
                tar.addfile(entry, io.BytesIO(content))
        return packed.getvalue()


PHOTO = os.urandom(300_000)
CONTENT = tar_gz(**{"images/cat.jpg": PHOTO, "images/more/dog.jpg": b"dog"})
HALF = len(CONTENT) // 2

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


def published(*urls: str, content: bytes = CONTENT, retries: int = 2) -> Archive:
    return Archive("pets.tar.gz", "images", hashlib.sha256(content).hexdigest(), urls, (0.0,) * retries)


def is_whole(folder: Path) -> bool:
    """Tell whether the archive's folder is what it should be, and nothing else has been left beside it."""
    files = {str(file.relative_to(folder)): file.read_bytes() for file in folder.rglob("*") if file.is_file()}
    beside = names_in(folder.parent)
    return files == {"cat.jpg": PHOTO, "more/dog.jpg": b"dog"} and beside == ["images"]


def names_in(folder: Path) -> list[str]:
    return sorted(entry.name for entry in folder.iterdir() if entry.suffix != ".lock")


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
    assert is_whole(install(published(server.url), tmp_path / "cache", ADVICE))
    assert server.asked == asked


def test_a_later_try_goes_on_where_a_failed_one_ended(serve: Callable[..., Server], tmp_path: Path) -> None:
    with pytest.raises(SegnetError):
        install(published(serve(breaks_off, fails).url), tmp_path, ADVICE)
    assert (tmp_path / "pets.tar.gz").stat().st_size == HALF
    assert names_in(tmp_path) == ["pets.tar.gz"]
    server = serve(sends)
    assert is_whole(install(published(server.url), tmp_path, ADVICE))
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
        f"install({published(server.url)!r}, Path('.'), '')"
    )
    process = subprocess.Popen([sys.executable, "-c", code], cwd=tmp_path, stderr=subprocess.DEVNULL)
    part = tmp_path / "pets.tar.gz"
    patience = time.monotonic() + 30
    while not (part.exists() and part.stat().st_size) and time.monotonic() < patience:
        time.sleep(0.01)
    process.kill()
    process.wait()
    killed.set()
    left = part.stat().st_size
    assert is_whole(install(published(server.url), tmp_path, ADVICE))
    assert server.asked == [None, left]
    assert 0 < left <= HALF


def test_a_file_that_is_there_already_is_not_downloaded(tmp_path: Path) -> None:
    (tmp_path / "pets.tar.gz").write_bytes(CONTENT)
    assert is_whole(install(published(dead_url()), tmp_path, ADVICE))


@pytest.mark.parametrize(
    ("left", "answers"),
    [
        (CONTENT + b"more", [has_nothing_more, sends]),
        (CONTENT[: HALF - 1] + b"??", [sends]),
    ],
    ids=["too long", "damaged"],
)
def test_what_was_left_of_another_file_is_thrown_away_and_the_same_address_asked_again(
    left: bytes, answers: list[Answer], serve: Callable[..., Server], tmp_path: Path
) -> None:
    (tmp_path / "pets.tar.gz").write_bytes(left)
    server = serve(*answers)
    assert is_whole(install(published(server.url), tmp_path, ADVICE))
    assert server.asked == [len(left), None]


def test_a_wrong_checksum_is_thrown_away_and_the_mirror_asked_from_the_start(
    serve: Callable[..., Server], tmp_path: Path
) -> None:
    main, mirror = serve(sends_a_wrong_byte), serve(sends)
    assert is_whole(install(published(main.url, mirror.url), tmp_path, ADVICE))
    assert (main.asked, mirror.asked) == ([None], [None])


def test_a_dead_server_leads_to_the_mirror(serve: Callable[..., Server], tmp_path: Path) -> None:
    assert is_whole(install(published(dead_url(), serve(sends).url), tmp_path, ADVICE))


def test_when_every_address_fails_the_error_tells_each_reason_and_what_to_do(
    serve: Callable[..., Server], tmp_path: Path
) -> None:
    servers = {
        "HTTP 500": serve(fails),
        "HTTP 404": serve(has_no_such_page),
        "wrong checksum": serve(sends_a_wrong_byte),
        f"IncompleteRead({HALF} bytes read, {len(CONTENT) - HALF} more expected)": serve(breaks_off),
    }
    dead = dead_url()
    archive = published(*(server.url for server in servers.values()), dead, retries=0)
    with pytest.raises(SegnetError) as caught:
        install(archive, tmp_path, ADVICE)
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
        install(published(server.url), tmp_path, ADVICE)
    assert len(server.asked) == tries
    assert names_in(tmp_path) == []


def test_a_folder_that_cannot_be_written_is_named(tmp_path: Path) -> None:
    (tmp_path / "cache").write_text("a file where the folder should be")
    with pytest.raises(SegnetError, match=r"can't write to .*cache.*SEGNET_CACHE"):
        install(published(dead_url()), tmp_path / "cache", ADVICE)


def test_of_several_at_once_one_downloads_and_all_get_the_folder(
    serve: Callable[..., Server], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    def takes_its_time(request: BaseHTTPRequestHandler) -> None:
        time.sleep(0.1)
        sends(request)

    server = serve(takes_its_time)
    with ThreadPoolExecutor(4) as pool:
        folders = list(pool.map(lambda _: install(published(server.url), tmp_path, ADVICE), range(4)))
    assert all(map(is_whole, folders))
    assert server.asked == [None]
    assert "pets.tar.gz: waiting for the process that is getting it" in capsys.readouterr().err


def test_off_a_terminal_progress_is_a_few_plain_lines(
    serve: Callable[..., Server], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    install(published(serve(sends).url), tmp_path, ADVICE)
    output = capsys.readouterr()
    assert "pets.tar.gz: 100 % of 0.3 MB\n" in output.err
    assert output.err.count("%") <= 10
    assert "\x1b" not in output.err
    assert output.out == ""


def test_on_a_terminal_progress_is_a_bar(
    serve: Callable[..., Server],
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("FORCE_COLOR", "1")  # rich takes this for a terminal
    install(published(serve(sends).url), tmp_path, ADVICE)
    shown = capsys.readouterr().err
    assert "━" in shown
    assert "pets.tar.gz: " not in shown


def test_a_folder_that_is_there_already_is_taken_as_it_is(tmp_path: Path) -> None:
    (tmp_path / "images").mkdir()
    assert install(published(dead_url()), tmp_path, ADVICE) == tmp_path / "images"
    assert names_in(tmp_path / "images") == []


def test_a_local_copy_is_checked_used_and_kept(tmp_path: Path) -> None:
    file = tmp_path / "pets.tar.gz"
    file.write_bytes(CONTENT)
    assert is_whole(install(published(), tmp_path / "cache", ADVICE, local=file))
    assert file.read_bytes() == CONTENT
    file.write_bytes(CONTENT[:-1])
    with pytest.raises(SegnetError, match=r"pets\.tar\.gz is not the published"):
        install(published(), tmp_path / "other", ADVICE, local=file)
    assert names_in(tmp_path / "other") == []


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (tar_gz(**{"images/cat.jpg": b"cat", "../evil": b"!"}), "outside"),
        (tar_gz(**{"pictures/cat.jpg": b"cat"}), "holds no folder images/"),
        (CONTENT[:HALF], "can't be unpacked"),
        (b"", "can't be unpacked"),
    ],
    ids=["escapes", "other folder", "cut", "empty"],
)
def test_an_archive_that_is_unsafe_or_damaged_leaves_nothing(
    content: bytes, message: str, tmp_path: Path
) -> None:
    file = tmp_path / "a.tar.gz"
    file.write_bytes(content)
    with pytest.raises(SegnetError, match=rf"a\.tar\.gz .*{message}"):
        install(published(content=content), tmp_path / "cache", ADVICE, local=file)
    assert names_in(tmp_path / "cache") == []
    assert names_in(tmp_path) == ["a.tar.gz", "cache"]


def test_what_a_killed_process_left_of_unpacking_is_cleared_away(tmp_path: Path) -> None:
    (tmp_path / ".images.part" / "images").mkdir(parents=True)
    (tmp_path / ".images.part" / "images" / "half.jpg").write_bytes(b"ha")
    (tmp_path / "pets.tar.gz").write_bytes(CONTENT)
    assert is_whole(install(published(dead_url()), tmp_path, ADVICE))
