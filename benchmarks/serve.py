"""Measure the cost of HTTP: images a second of ``segnet serve`` beside a plain loop and beside plain FastAPI.

The same JPEGs of 500x375 go through a loop in one process that decodes, predicts and encodes the mask,
through ``segnet serve``, and through a FastAPI app of ten lines around the same segmenter. Each has one
thread for computing and one core, and the client has the other core. They take turns in rounds. Beside images
a second it tells the milliseconds of processor time of an image, which other programs on the machine change
little. Then the server gets half of the requests a second that it can answer, and the times of its answers
are told. Prints a table and writes a CSV. Linux alone: cores are chosen, and processor times read from /proc.
"""

from __future__ import annotations

import argparse
import asyncio
import csv
import io
import os
import pickle
import re
import subprocess
import sys
import threading
import time
from pathlib import Path

import httpx2
import numpy as np
from PIL import Image

BESIDE = """
import io, os, sys, segnet, uvicorn
from fastapi import FastAPI, Request, Response
from fastapi.concurrency import run_in_threadpool
segmenter, app = segnet.load(sys.argv[1], threads=1), FastAPI()

def segment(body):
    stream = io.BytesIO()
    segmenter.predict(io.BytesIO(body)).index_image().save(stream, "PNG")
    return stream.getvalue()

@app.post("/v1/segment")
async def answer(request: Request):
    return Response(await run_in_threadpool(segment, await request.body()), media_type="image/png")

config = uvicorn.Config(app, port=int(sys.argv[2]), log_level="error")
server = uvicorn.Server(config)
print("http://127.0.0.1:%s" % sys.argv[2], file=sys.stderr, flush=True)
server.run()
"""


def photos(folder: Path | None, count: int) -> list[bytes]:
    """JPEGs of 500x375: photographs where there are some, else noise and blobs."""
    files = sorted(folder.glob("*.jpg"))[:count] if folder else []
    random = np.random.default_rng(0)
    images = [Image.open(file).convert("RGB").resize((500, 375)) for file in files]
    images += [
        Image.fromarray(random.integers(0, 255, (25, 33, 3), np.uint8)).resize((500, 375))
        for _ in range(count - len(images))
    ]
    found = []
    for image in images:
        stream = io.BytesIO()
        image.save(stream, "JPEG", quality=90)
        found.append(stream.getvalue())
    return found


def start(command: list[str]) -> tuple[subprocess.Popen[str], str]:
    """Start a server on the first core; return it and its address once it listens."""
    process = subprocess.Popen(
        command, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True, preexec_fn=on_core(0)
    )
    line = process.stderr.readline()
    threading.Thread(target=process.stderr.read, daemon=True).start()
    return process, re.search(r"http://\S+", line)[0]


def on_core(number: int):
    cores = sorted(os.sched_getaffinity(0))
    return lambda: os.sched_setaffinity(0, {cores[number % len(cores)]})


def cpu_s(process: subprocess.Popen[str]) -> float:
    """Return the processor time that a process has taken."""
    fields = Path(f"/proc/{process.pid}/stat").read_text().rpartition(")")[2].split()
    return sum(map(int, fields[11:13])) / os.sysconf("SC_CLK_TCK")


def plain_loop(model: str, bodies: list[bytes], seconds: float) -> tuple[float, float]:
    """Images a second of a loop on the first core, in a process of its own, and milliseconds of one."""
    code = (
        "import io, pickle, sys, time, segnet\n"
        "model, seconds, bodies = pickle.load(sys.stdin.buffer)\n"
        "segmenter = segnet.load(model, threads=1)\n"
        "done, begin = -len(bodies), time.perf_counter()\n"
        "while done < 0 or time.perf_counter() - begin < seconds:\n"
        "    for body in bodies:\n"
        "        stream = io.BytesIO()\n"
        "        segmenter.predict(io.BytesIO(body)).index_image().save(stream, 'PNG')\n"
        "    if done < 0:\n"
        "        begin, cpu = time.perf_counter(), time.process_time()\n"
        "    done += len(bodies)\n"
        "print(done / (time.perf_counter() - begin), 1000 * (time.process_time() - cpu) / done)\n"
    )
    given = pickle.dumps((model, seconds, bodies))
    ended = subprocess.run(
        [sys.executable, "-c", code], input=given, capture_output=True, preexec_fn=on_core(0)
    )
    rate, cpu_ms = map(float, ended.stdout.split())
    return rate, cpu_ms


async def flood(
    process: subprocess.Popen[str], address: str, bodies: list[bytes], seconds: float, clients: int = 2
) -> tuple[float, float]:
    """Images a second with so many clients that ask again at once, and the server's milliseconds of one."""
    done, begin, cpu = 0, time.perf_counter(), cpu_s(process)

    async def ask(number: int) -> None:
        nonlocal done
        async with httpx2.AsyncClient(timeout=60) as client:
            while time.perf_counter() - begin < seconds:
                body = bodies[(number + done) % len(bodies)]
                answer = await client.post(f"{address}/v1/segment?format=png", content=body)
                answer.raise_for_status()
                done += 1

    await asyncio.gather(*map(ask, range(clients)))
    return done / (time.perf_counter() - begin), 1000 * (cpu_s(process) - cpu) / done


async def pace(address: str, bodies: list[bytes], seconds: float, rate: float) -> list[float]:
    """Milliseconds of each answer at so many requests a second, at random moments (Poisson)."""
    random, times = np.random.default_rng(0), []

    async with httpx2.AsyncClient(timeout=60) as client:

        async def ask(body: bytes) -> None:
            begin = time.perf_counter()
            answer = await client.post(f"{address}/v1/segment?format=png", content=body)
            answer.raise_for_status()
            times.append(1000 * (time.perf_counter() - begin))

        asked, begin = [], time.perf_counter()
        while time.perf_counter() - begin < seconds:
            asked.append(asyncio.create_task(ask(bodies[len(asked) % len(bodies)])))
            await asyncio.sleep(random.exponential(1 / rate))
        await asyncio.gather(*asked)
    return times


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--model", default="pets-lite")
    parser.add_argument("--photos", type=Path, help="a folder of JPEGs; without it noise is sent")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--seconds", type=float, default=5, help="of each measurement")
    parser.add_argument("--csv", type=Path, default=Path("serve.csv"))
    given = parser.parse_args()
    bodies = photos(given.photos, 24)
    serve = [sys.executable, "-m", "segnet", "serve", given.model, "--port", "0", "--workers", "1"]
    ours, address = start(serve)
    beside, other = start([sys.executable, "-c", BESIDE, given.model, "8471"])
    on_core(1)()
    rows = []
    try:
        for process, each in ((ours, address), (beside, other)):
            asyncio.run(flood(process, each, bodies, 1))
        for _ in range(given.rounds):
            loop = plain_loop(given.model, bodies, given.seconds)
            served = asyncio.run(flood(ours, address, bodies, given.seconds))
            plain = asyncio.run(flood(beside, other, bodies, given.seconds))
            rows.append((*loop, *served, *plain))
            print(
                f"loop {loop[0]:.1f}, segnet serve {served[0]:.1f}, plain FastAPI {plain[0]:.1f} images/s; "
                f"{loop[1]:.1f}, {served[1]:.1f}, {plain[1]:.1f} ms of processor time an image",
                flush=True,
            )
        rate = np.median([row[2] for row in rows]) / 2
        times = asyncio.run(pace(address, bodies, 2 * given.seconds, rate))
    finally:
        ours.terminate()
        beside.terminate()
    p50, p95, p99 = np.percentile(times, (50, 95, 99))
    print(f"medians of {len(rows)} rounds, segnet serve beside the loop and plain FastAPI:")
    for what, at in (("images a second", 2), ("processor time of an image", 3)):
        of_loop, of_plain = (np.median([row[at] / row[of] for row in rows]) for of in (at - 2, at + 2))
        print(f"  {what}: {of_loop:.2f} and {of_plain:.2f}")
    print(
        f"at {rate:.1f} requests a second: p50 {p50:.1f}, p95 {p95:.1f}, p99 {p99:.1f} ms ({p99 / p50:.2f}x)"
    )
    with given.csv.open("w", newline="") as file:
        writer = csv.writer(file)
        names = ("loop", "segnet_serve", "plain_fastapi")
        writer.writerow([f"{name}_{unit}" for name in names for unit in ("images_s", "cpu_ms")])
        writer.writerows(rows)
        file.write(f"# half load: rate {rate:.2f}, p50 {p50:.2f}, p95 {p95:.2f}, p99 {p99:.2f} ms\n")


if __name__ == "__main__":
    main()
