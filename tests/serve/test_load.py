"""A full queue, slow clients and a stop: who was accepted is answered, and nobody is held up."""

import json
import re
import signal
import socket
import subprocess
import sys
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress

import httpx2
import pytest

import segnet

from .conftest import in_thread, segmenter_of, started


def test_beyond_the_queue_clients_are_told_when_to_come_back(photo, waiting):
    with (
        in_thread({"slow": segmenter_of(waiting)}, workers=1, queue=2) as address,
        ThreadPoolExecutor(3) as pool,
    ):
        asked = [
            pool.submit(httpx2.post, f"{address}/v1/segment", content=photo, timeout=30) for _ in range(3)
        ]
        while "segnet_images_held 3.0" not in httpx2.get(f"{address}/metrics").text:
            time.sleep(0.01)
        refused = httpx2.post(f"{address}/v1/segment", content=photo)
        assert refused.status_code == 429
        assert int(refused.headers["retry-after"]) >= 1
        assert "queue is full" in refused.json()["error"]
        assert httpx2.get(f"{address}/healthz").status_code == 200
        waiting.may.set()
        assert [each.result().status_code for each in asked] == [200] * 3
        assert httpx2.post(f"{address}/v1/segment", content=photo).status_code == 200


def test_an_image_that_takes_too_long_is_given_up(photo, waiting):
    with in_thread({"slow": segmenter_of(waiting)}, workers=1, timeout_s=0.3) as address:
        answer = httpx2.post(f"{address}/v1/segment", content=photo)
        assert answer.status_code == 503
        assert "0.3 s" in answer.json()["error"]
        assert "retry-after" in answer.headers
        waiting.may.set()


def connected(address):
    host, port = re.search(r"//(.+):(\d+)", address).groups()
    return socket.create_connection((host, int(port)), timeout=30)


def test_slow_senders_hold_nobody_up_and_are_cut_off(photo):
    head = b"POST /v1/segment HTTP/1.1\r\nHost: x\r\n"
    with in_thread({"nano": segnet.load("pets-nano")}, workers=1, queue=0, timeout_s=1.0) as address:
        in_headers = [connected(address) for _ in range(20)]
        in_body = [connected(address) for _ in range(20)]
        for each in in_headers:
            each.sendall(head)
        for each in in_body:
            each.sendall(head + b"Content-Length: 1000\r\n\r\nx")
        assert httpx2.post(f"{address}/v1/segment", content=photo).status_code == 200
        assert all(each.recv(1000).startswith(b"HTTP/1.1 408") for each in in_body)
        for each in in_headers:
            with suppress(ConnectionResetError):
                assert each.recv(1000) == b""
        for each in (*in_headers, *in_body):
            each.close()


def test_bytes_held_for_others_are_bounded():
    head = b"POST /v1/segment HTTP/1.1\r\nHost: x\r\nContent-Length: 1000\r\n\r\n"
    with in_thread({"nano": segnet.load("pets-nano")}, max_bytes=1000, timeout_s=20) as address:
        held = [connected(address) for _ in range(8)]
        for each in held:
            each.sendall(head + b"x" * 999)
        time.sleep(0.3)
        answer = httpx2.post(f"{address}/v1/segment", content=b"x" * 100)
        assert (answer.status_code, answer.headers["retry-after"]) == (503, "1")
        for each in held:
            each.close()
        for _ in range(100):
            if (again := httpx2.post(f"{address}/v1/segment", content=b"x" * 100)).status_code != 503:
                break
            time.sleep(0.05)
        assert again.status_code == 415


def test_what_is_no_http_gets_a_sentence_too():
    with in_thread({"nano": segnet.load("pets-nano")}) as address, connected(address) as raw:
        raw.sendall(b"GARBAGE\r\n\r\n")
        answer = b"".join(iter(lambda: raw.recv(1000), b""))
        assert answer.startswith(b"HTTP/1.1 400")
        assert json.loads(answer.partition(b"\r\n\r\n")[2]).keys() == {"error"}


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_under_load_loses_no_accepted_request(photo, number):
    with started("pets-nano", "--workers", "1", "--queue", "50") as (process, address):
        statuses, ended = [], threading.Event()

        def ask():
            with httpx2.Client(timeout=30) as client:
                while not ended.is_set():
                    try:
                        statuses.append(client.post(f"{address}/v1/segment", content=photo).status_code)
                    except httpx2.ConnectError:  # the server no longer listens
                        return
                    except (httpx2.ReadError, httpx2.RemoteProtocolError):
                        # an idle connection was closed as the request was sent: none of it was read
                        return

        clients = [threading.Thread(target=ask) for _ in range(8)]
        for each in clients:
            each.start()
        while len(statuses) < 20:
            time.sleep(0.01)
        process.send_signal(number)
        lines = process.stdout.read().splitlines()
        ended.set()
        for each in clients:
            each.join()
        assert process.wait(30) == 0
        begun = [json.loads(line) for line in lines]
        assert {each["status"] for each in begun} == {200}
        assert len(begun) == len(statuses) == statuses.count(200)


def test_a_request_is_one_line_without_names(photo):
    with started("nano=pets-nano", "--token", "sesame") as (process, address):
        files = {"file": ("my secret cat.jpg", photo)}
        httpx2.post(f"{address}/v1/segment", files=files, headers={"Authorization": "Bearer sesame"})
        httpx2.get(f"{address}/my/secret/path?token=sesame")
        process.send_signal(signal.SIGTERM)
        text = process.stdout.read()
    first, second = map(json.loads, text.splitlines())
    assert first.keys() == {"time", "method", "route", "status", "ms", "model", "bytes"}
    assert (first["method"], first["route"], first["status"], first["model"]) == (
        "POST",
        "/v1/segment",
        200,
        "nano",
    )
    assert first["bytes"] > len(photo)
    assert (second["route"], second["status"]) == ("unmatched", 404)
    assert "secret" not in text
    assert "sesame" not in text


def test_the_server_needs_no_torch(photo):
    code = (
        "import sys; sys.modules['torch'] = None\n"
        "from segnet.serve.running import open_models; from segnet.serve.app import create_app\n"
        "create_app(open_models(['pets-lite']))"
    )
    subprocess.run([sys.executable, "-c", code], check=True)
