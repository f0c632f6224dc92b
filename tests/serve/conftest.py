"""Servers on free ports: the command in a process of its own, and in threads with a network that waits."""

import io
import os
import re
import subprocess
import sys
import threading
import time
from contextlib import contextmanager
from dataclasses import replace

import httpx2
import numpy as np
import pytest
from PIL import Image, ImageDraw

import segnet
from segnet.inference.segmenter import Segmenter
from segnet.serve.limits import Limits
from segnet.serve.running import server_of


def drawn_photo(size=(150, 110), format_="JPEG"):
    """A file of a dark blob on noise."""
    noise = np.random.default_rng(0).integers(90, 200, (size[1], size[0], 3), np.uint8)
    image = Image.fromarray(noise)
    ImageDraw.Draw(image).ellipse((30, 20, 110, 90), fill=(60, 40, 20))
    stream = io.BytesIO()
    image.save(stream, format_)
    return stream.getvalue()


@pytest.fixture(scope="session")
def photo():
    return drawn_photo()


@contextmanager
def started(*arguments):
    """Run ``segnet serve`` on a free port; give the process and its address."""
    process = subprocess.Popen(
        [sys.executable, "-m", "segnet", "serve", "--port", "0", *arguments],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env={name: value for name, value in os.environ.items() if name != "SEGNET_TOKEN"},
    )
    try:
        line = process.stderr.readline()
        found = re.search(r"http://\S+", line)
        assert found, line
        yield process, found[0]
    finally:
        process.kill()
        process.wait()
        process.stdout.close()
        process.stderr.close()


@contextmanager
def in_thread(models, **limits):
    """Run a server of this process; give its address."""
    server = server_of(models, Limits(**limits), host="127.0.0.1", port=0)
    thread = threading.Thread(target=server.run)
    thread.start()
    while not server.started:
        assert thread.is_alive()
        time.sleep(0.01)
    try:
        yield f"http://127.0.0.1:{server.servers[0].sockets[0].getsockname()[1]}"
    finally:
        server.should_exit = True
        thread.join()


class Waiting:
    """A runtime that computes nothing but zeros, and that only once it may."""

    name, device = "waiting", "cpu"

    def __init__(self):
        self.may = threading.Event()
        self.begun = threading.Semaphore(0)

    def logits(self, images):
        self.begun.release()
        assert self.may.wait(30)
        return np.zeros((len(images), 3, *images.shape[1:3]), np.float32)


@pytest.fixture
def waiting():
    runtime = Waiting()
    yield runtime
    runtime.may.set()


def segmenter_of(runtime):
    return Segmenter(runtime, replace(segnet.load("pets-nano").description, size=(32, 32)))


@pytest.fixture(scope="package")  # no longer: tests elsewhere change the clock that its loop waits by
def client():
    """A client of a server with two models."""
    models = {"lite": segnet.load("pets-lite"), "nano": segnet.load("pets-nano")}
    with in_thread(models) as address, httpx2.Client(base_url=address, timeout=30) as opened:
        yield opened
