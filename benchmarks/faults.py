"""Stop, kill and starve trainings at random instants, go on, and see if the same bytes come out.

A tiny network learns 10 drawn images in three epochs, saved at every step. Each trial disturbs one such run
in one of the ways below, resumes it to its end (or starts it again, where it had not begun), and compares
what it left with what a run left that nobody had disturbed: the model file byte by byte, every tensor of the
last state, the losses of all steps, the scores of all epochs and images, and what TensorBoard shows, where it
is installed.

Each trial is a row of the CSV, written when it is done: started again, the script goes on behind the last.
Runs are forked from a process that has imported everything, so that a trial takes seconds. Needs Linux.
What fills a disk mounts a tmpfs and what makes a folder read-only sets an attribute of ext4, both as root;
each is left out where that isn't allowed.

::

    python benchmarks/faults.py --csv faults.csv                     # 200 kills, 20 of each other kind
    python benchmarks/faults.py --csv faults.csv --kills 20 --others 4
    python benchmarks/faults.py --csv faults.csv --table             # what the CSV says, a row a kind
"""

from __future__ import annotations

import argparse
import csv
import importlib
import importlib.util
import os
import random
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from PIL import Image

COLUMNS = ("kind", "trial", "at", "ended", "said", "resumed", "equal", "notes", "seconds")
LIMIT_S = 300  # that no run of seconds takes, however busy the machine


@dataclass
class Lab:
    """Where trials are done, and what they are compared with."""

    place: Path
    data: Path
    whole: Path = Path()
    seconds: float = 0.0
    """What an undisturbed run takes from its start to its end."""
    size: int = 0
    """Bytes of its folder."""
    track: tuple[str, ...] = ()


@dataclass
class Trial:
    """One disturbed run."""

    lab: Lab
    random: random.Random
    folder: Path
    at: str = ""
    notes: list[str] = field(default_factory=list)

    @property
    def disk(self) -> Path:
        """Where a disk of the trial's own is mounted, if any."""
        return self.folder / "disk"

    @property
    def run(self) -> Path:
        """The run's folder."""
        return self.disk / "run"

    @property
    def cache(self) -> Path:
        """A cache folder that no other trial uses."""
        return self.folder / "cache"

    def instant(self) -> float:
        """Return a random instant within the run's time, in seconds."""
        seconds = self.random.uniform(0, self.lab.seconds)
        self.at = f"{seconds:.3f} s"
        return seconds


@dataclass
class Ended:
    """How a process ended: its exit code, minus the signal's number where that killed it, and its errors."""

    code: int
    said: str


# Processes


class Running:
    """The segnet command in a process forked from this one."""

    def __init__(self, trial: Trial, arguments: list[str], name: str) -> None:
        self.errors = trial.folder / f"{name}.err"
        sys.stdout.flush()
        self.pid = os.fork()
        if not self.pid:
            self._be_segnet(trial, arguments, name)
        self._status: int | None = None

    def _be_segnet(self, trial: Trial, arguments: list[str], name: str) -> None:
        try:
            os.setsid()
            os.environ["SEGNET_CACHE"] = str(trial.cache)
            for stream, file in ((1, trial.folder / f"{name}.out"), (2, self.errors)):
                os.dup2(os.open(file, os.O_WRONLY | os.O_CREAT | os.O_TRUNC), stream)
            for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
                signal.signal(
                    number, signal.default_int_handler if number == signal.SIGINT else signal.SIG_DFL
                )
            sys.argv = ["segnet", *arguments]
            from segnet.cli import main

            main()
        except SystemExit as end:
            sys.stdout.flush()
            if name == "learn imports":
                (trial.folder / "modules").write_text("\n".join(sys.modules))
            os._exit(end.code if isinstance(end.code, int) else 1)
        except BaseException:
            os._exit(99)

    def ended(self) -> bool:
        """Whether it has ended by now."""
        if self._status is None:
            pid, status = os.waitpid(self.pid, os.WNOHANG)
            self._status = os.waitstatus_to_exitcode(status) if pid else None
        return self._status is not None

    def send(self, number: int) -> None:
        """Send a signal, unless it has ended."""
        if not self.ended():
            os.kill(self.pid, number)

    def wait(self) -> Ended:
        """Wait for its end; one that takes for ever is killed."""
        until = time.monotonic() + LIMIT_S
        while not self.ended():
            if time.monotonic() > until:
                os.kill(self.pid, signal.SIGKILL)
                self._status = os.waitstatus_to_exitcode(os.waitpid(self.pid, 0)[1])
                return Ended(self._status, "hung, so it was killed")
            time.sleep(0.002)
        assert self._status is not None
        return Ended(self._status, self.errors.read_text(errors="replace").strip())


def begin(trial: Trial, name: str = "train") -> Running:
    """Start the training."""
    return Running(trial, training(trial.lab, trial.run), name)


def training(lab: Lab, out: Path) -> list[str]:
    """Return the command's words."""
    words = ["train", "--data", str(lab.data), "--out", str(out), "--model", "segnet-lite", "--size", "32"]
    words += ["--model-options", '{"stages": [[8, 1], [8, 1]], "bottleneck": [8, 0, 3]}', "--device", "cpu"]
    words += ["--epochs", "3", "--batch-size", "4", "--save-every", "1", "--recipe", "modern"]
    return words + [word for name in lab.track for word in ("--track", name)]


def go_on(trial: Trial) -> Ended:
    """Resume the run to its end, or start it where it had not begun."""
    if any((trial.run / "last" / name).is_file() for name in ("state.pt", "before.pt")):
        return Running(trial, ["resume", str(trial.run)], "resume").wait()
    if trial.run.exists():
        shutil.rmtree(trial.run)  # its first state wasn't written yet
    trial.notes.append("had not begun")
    return begin(trial, "again").wait()


# What is compared


def differences(lab: Lab, run: Path) -> list[str]:
    """Return what a run left otherwise than the undisturbed one."""
    import torch

    found = [
        name
        for name in ("model.safetensors", "steps.jsonl", "images.csv")
        if _bytes(run, name) != _bytes(lab.whole, name)
    ]
    states = [torch.load(each / "last/state.pt", weights_only=True)["parts"] for each in (lab.whole, run)]
    if not _same(*states):
        found.append("the last state")
    if _scores(run) != _scores(lab.whole):
        found.append("metrics.csv")
    steps = (run / "steps.jsonl").read_text().splitlines()
    if len({*steps}) != len(steps):
        found.append("a step is logged twice")
    for name in ("learning.gif", "report.html", "scores.json"):
        if not (run / name).is_file():
            found.append(f"no {name}")
    if len([*run.glob("previews/*.png")]) != 3:
        found.append("previews")
    left = [path.name for path in run.rglob(".*") if path.is_file()]
    found += [f"left {name}" for name in left]
    if lab.track and (events := _events(run)) != _events(lab.whole):
        found.append(f"events: {events}")
    return found


def _bytes(run: Path, name: str) -> bytes:
    return (run / name).read_bytes() if (run / name).is_file() else b""


def _same(one: object, other: object) -> bool:
    import torch

    if isinstance(one, torch.Tensor) and isinstance(other, torch.Tensor):
        return torch.equal(one, other)
    if isinstance(one, dict) and isinstance(other, dict):
        return one.keys() == other.keys() and all(_same(one[key], other[key]) for key in one)
    if isinstance(one, list | tuple) and isinstance(other, list | tuple):
        return len(one) == len(other) and all(map(_same, one, other))
    return one == other


def _scores(run: Path) -> list[dict[str, str]]:
    """Return the table of epochs without what a clock or the machine has measured."""
    measured = ("second", "wait", "memory")
    with (run / "metrics.csv").open(newline="") as file:
        return [
            {name: value for name, value in row.items() if not any(word in name for word in measured)}
            for row in csv.DictReader(file)
        ]


def _events(run: Path) -> dict[str, list[int]]:
    """Return at which epochs TensorBoard has each score, as it shows them."""
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    folders = sorted({path.parent for path in run.rglob("events.out.tfevents.*")})
    steps: dict[str, list[int]] = {}
    for folder in folders:
        read = EventAccumulator(str(folder), size_guidance={"scalars": 0}).Reload()
        for tag in read.Tags()["scalars"]:
            if not any(word in tag for word in ("second", "wait", "memory")):
                steps.setdefault(tag, []).extend(event.step for event in read.Scalars(tag))
    return steps


# The kinds of faults: each disturbs a run and returns how that ended


def killed_anywhere(trial: Trial) -> Ended:
    """SIGKILL at a random instant."""
    return _signalled(trial, signal.SIGKILL)


def _signalled(trial: Trial, number: int) -> Ended:
    running, seconds = begin(trial), trial.instant()
    time.sleep(seconds)
    running.send(number)
    return running.wait()


def _killed_when_there(trial: Trial, pattern: str, times: int) -> Ended:
    """SIGKILL a random instant after a file of this pattern is there for the nth time."""
    running, seen, last = begin(trial), 0, ""
    delay = trial.random.choice((0.0, trial.random.uniform(0, 0.003), trial.random.uniform(0, 0.02)))
    while not running.ended():
        there = next((path.name for path in trial.folder.glob(pattern)), "")
        if there and there != last:
            seen, last = seen + 1, there
            if seen == times:
                time.sleep(delay)
                running.send(signal.SIGKILL)
                break
    trial.at = f"{pattern} number {times}, {delay * 1000:.1f} ms later"
    return running.wait()


def killed_in_a_save(trial: Trial) -> Ended:
    """SIGKILL while a state is written, or between two renamings."""
    return _killed_when_there(trial, "disk/run/last/.state.*", trial.random.randint(1, 9))


def killed_in_the_cache(trial: Trial) -> Ended:
    """SIGKILL while the cache of pixels is built."""
    return _killed_when_there(trial, "cache/pixels/*.partial", trial.random.randint(1, 2))


def killed_in_the_gif(trial: Trial) -> Ended:
    """SIGKILL while the GIF or the report is written."""
    return _killed_when_there(trial, trial.random.choice(("disk/run/.learning.*", "disk/run/.report.*")), 1)


def terminated(trial: Trial) -> Ended:
    """SIGTERM at a random instant, as schedulers send it."""
    return _signalled(trial, signal.SIGTERM)


def hung_up(trial: Trial) -> Ended:
    """SIGHUP at a random instant, as a closed terminal sends it."""
    return _signalled(trial, signal.SIGHUP)


def interrupted(trial: Trial) -> Ended:
    """Ctrl-C at a random instant."""
    return _signalled(trial, signal.SIGINT)


def terminated_while_importing(trial: Trial) -> Ended:
    """SIGTERM to a process of its own while it imports its libraries."""
    command = [sys.executable, "-m", "segnet", *training(trial.lab, trial.run)]
    environment = os.environ | {"SEGNET_CACHE": str(trial.cache)}
    seconds = trial.random.uniform(0.02, 4)
    trial.at = f"{seconds:.3f} s"
    with subprocess.Popen(
        command, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, env=environment
    ) as process:
        time.sleep(seconds)
        process.terminate()
        _, errors = process.communicate(timeout=LIMIT_S)
    return Ended(process.returncode, errors.decode(errors="replace").strip())


def disk_full(trial: Trial) -> Ended:
    """A disk on which the run has no room; afterwards there is more."""
    size = int(trial.random.uniform(0.02, 1.1) * trial.lab.size)
    trial.at = f"{size / 1e3:.0f} kB"
    mount(trial.disk, size)
    ended = begin(trial).wait()
    mount(trial.disk, 64 * 2**20, "remount,")
    return ended


def read_only(trial: Trial) -> Ended:
    """At a random instant nothing of the run can be changed or made any more; afterwards it can again.

    By the attribute "immutable", which files that are open heed too: a disk on which a run holds its lock
    can't be mounted anew as read-only.
    """
    running = begin(trial)
    time.sleep(trial.instant())
    make_unchangeable(trial.disk, True)
    ended = running.wait()
    make_unchangeable(trial.disk, False)
    return ended


def make_unchangeable(folder: Path, unchangeable: bool) -> None:
    """Let nobody change a folder and what is in it, or let them again."""
    command = ["chattr", "-R", "+i" if unchangeable else "-i", str(folder)]
    subprocess.run(command, capture_output=True, check=False)  # a file may have gone meanwhile


def mount(place: Path, size: int, how: str = "") -> None:
    """Mount a tmpfs of so many bytes."""
    command = ["mount", "-t", "tmpfs", "-o", f"{how}size={size}", "tmpfs", str(place)]
    subprocess.run(command, check=True, capture_output=True)


def is_allowed(kind: Callable[[Trial], Ended]) -> bool:
    """Whether this user may do to a disk here what this kind does."""
    if kind not in ON_DISKS:
        return True
    with tempfile.TemporaryDirectory() as name:
        place = Path(name)
        try:
            if kind is disk_full:
                mount(place, 2**20)
                subprocess.run(["umount", place], check=True)
                return True
            make_unchangeable(place, True)
            with suppress(PermissionError):
                (place / "file").touch()
            make_unchangeable(place, False)
            return not (place / "file").exists()
        except (OSError, subprocess.CalledProcessError):
            return False


def cache_damaged(trial: Trial) -> Ended:
    """Killed, and a file of the cache is cut, emptied or gone when the run goes on."""
    ended = _signalled(trial, signal.SIGKILL)
    files = [path for path in trial.cache.rglob("*") if path.is_file()]
    if files:
        file = trial.random.choice(files)
        size = trial.random.choice((None, 0, trial.random.randint(0, file.stat().st_size)))
        file.unlink() if size is None else os.truncate(file, size)
        trial.at += f", {file.name} {'gone' if size is None else f'cut to {size} bytes'}"
    return ended


def two_at_once(trial: Trial) -> Ended:
    """Two runs build the same cache; one is killed meanwhile."""
    other = Running(trial, training(trial.lab, trial.folder / "other"), "other")
    running = begin(trial)
    time.sleep(trial.instant() / 3)
    running.send(signal.SIGKILL)
    beside = other.wait()
    found = differences(trial.lab, trial.folder / "other") if beside.code == 0 else [beside.said]
    trial.notes += [f"the other one: {each}" for each in found]
    return running.wait()


def clock_set_back(trial: Trial) -> Ended:
    """Killed, and the clock goes back: all files of the run and of the cache are from tomorrow."""
    ended = _signalled(trial, signal.SIGKILL)
    tomorrow = time.time() + 86400
    for path in (*trial.run.rglob("*"), *trial.cache.rglob("*")):
        os.utime(path, (tomorrow, tomorrow))
    return ended


def paused(trial: Trial) -> Ended:
    """SIGSTOP at a random instant, and SIGCONT a minute later."""
    running = begin(trial)
    time.sleep(trial.instant())
    running.send(signal.SIGSTOP)
    time.sleep(PAUSE_S)
    running.send(signal.SIGCONT)
    return running.wait()


PAUSE_S = 60.0
KILLS = (killed_anywhere, killed_in_a_save, killed_in_the_cache, killed_in_the_gif)
OTHERS = (
    terminated, hung_up, interrupted, terminated_while_importing, disk_full, read_only, cache_damaged,
    two_at_once, clock_set_back, paused,
)  # fmt: skip
ON_DISKS = (disk_full, read_only)


def name_of(kind: Callable[[Trial], Ended]) -> str:
    """Return a kind's name as the CSV and the command line have it."""
    return kind.__name__.replace("_", " ")


def ends_well(kind: Callable[[Trial], Ended], ended: Ended) -> str:
    """Return what is wrong with how a disturbed run ended, "" for nothing."""
    code, lines = ended.code, ended.said.splitlines()
    if len(lines) > 1 or any("Traceback" in line for line in lines):
        return f"more than a line was said: {lines[-1]}"
    if kind in ON_DISKS:
        expected = (0, 2)
    elif kind in (terminated, hung_up, interrupted):
        expected = (0, 130)
    elif kind is terminated_while_importing:
        expected = (0, 130, -signal.SIGTERM)  # Python itself was starting
    elif kind is paused:
        expected = (0,)
    else:
        expected = (0, -signal.SIGKILL)
    return "" if code in expected else f"ended with {code}"


# The campaign


def prepare(place: Path) -> Lab:
    """Draw the data and train the run that is never disturbed."""
    from segnet.cli import launch  # noqa: F401 - so that forked processes have it
    from segnet.training import run  # noqa: F401

    lab = Lab(place, place / "data")
    if importlib.util.find_spec("tensorboard") is not None:
        lab.track = ("tensorboard",)
    draw(lab.data)
    time.sleep(2.2)  # younger files aren't remembered
    for name in ("first", "whole"):
        (place / name / "disk").mkdir(parents=True)
        trial = Trial(lab, random.Random(0), place / name)
        started = time.monotonic()
        ended = begin(trial, "learn imports").wait()
        lab.seconds = time.monotonic() - started
        if ended.code:
            sys.exit(f"the undisturbed run ended with {ended.code}: {ended.said}")
        for module in (trial.folder / "modules").read_text().splitlines():
            with suppress(Exception):  # some are made by others
                importlib.import_module(module)
    lab.whole = trial.run
    lab.size = sum(path.stat().st_size for path in trial.run.rglob("*") if path.is_file())
    again = lab.place / "first" / "disk" / "run"
    if found := differences(lab, again):
        sys.exit(f"two undisturbed runs differ: {found}")
    return lab


def draw(folder: Path) -> None:
    """Write 14 pairs: a bright square in dark noise, and where it is."""
    numbers = np.random.default_rng(0)
    for number in range(14):
        split = "train" if number < 10 else "val"
        square = np.zeros((32, 32), np.uint8)
        top, left = numbers.integers(0, 16, 2)
        square[top : top + 16, left : left + 16] = 1
        pixels = (numbers.integers(0, 80, (32, 32, 3)) + square[..., None] * 120).astype(np.uint8)
        for part, array in (("images", pixels), ("masks", square)):
            file = folder / split / part / f"{number:02}.png"
            file.parent.mkdir(parents=True, exist_ok=True)
            Image.fromarray(array).save(file)


def do(lab: Lab, kind: Callable[[Trial], Ended], number: int) -> dict[str, str]:
    """Do one trial."""
    folder = lab.place / f"{kind.__name__}-{number}"
    (folder / "disk").mkdir(parents=True)
    trial = Trial(lab, random.Random(f"{kind.__name__} {number}"), folder)
    started = time.monotonic()
    try:
        ended = kind(trial)
        wrong = ends_well(kind, ended)
        if wrong:
            trial.notes.append(wrong)
        resumed = go_on(trial)
        found = differences(lab, trial.run) if resumed.code == 0 else [resumed.said or "no word"]
        if found:
            kept = lab.place / "differ" / folder.name
            shutil.copytree(folder, kept, dirs_exist_ok=True)
    finally:
        make_unchangeable(trial.disk, False)
        subprocess.run(["umount", "-q", trial.disk], check=False, stderr=subprocess.DEVNULL)
        shutil.rmtree(folder, ignore_errors=True)
    return {
        "kind": name_of(kind),
        "trial": str(number),
        "at": trial.at,
        "ended": str(ended.code),
        "said": " ".join(ended.said.split())[-300:].replace(str(folder), "."),
        "resumed": str(resumed.code),
        "equal": "no" if found else "yes",
        "notes": "; ".join(trial.notes + found).replace(str(folder), "."),
        "seconds": f"{time.monotonic() - started:.1f}",
    }


def table(rows: list[dict[str, str]]) -> str:
    """Return a row for each kind as the documentation has them."""
    lines = [
        "| fault | tried | equal bytes afterwards | ended otherwise than it should |",
        "|---|---|---|---|",
    ]
    for name in dict.fromkeys(row["kind"] for row in rows):
        some = [row for row in rows if row["kind"] == name]
        equal = sum(row["equal"] == "yes" for row in some)
        wrong = sum(
            any(said in row["notes"] for said in ("ended with", "more than a line", "the other one"))
            for row in some
        )
        lines.append(f"| {name} | {len(some)} | {equal} | {wrong} |")
    return "\n".join(lines)


def main() -> None:
    """Do what the CSV doesn't hold yet."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--csv", type=Path, required=True)
    parser.add_argument("--kills", type=int, default=200, help="in all: half anywhere, half aimed")
    parser.add_argument("--others", type=int, default=20, help="of each other kind")
    parser.add_argument("--only", nargs="+", metavar="KIND", choices=[*map(name_of, KILLS + OTHERS)])
    parser.add_argument("--place", type=Path, help="an empty folder to work in; a temporary one by default")
    parser.add_argument("--table", action="store_true", help="print what the CSV says")
    args = parser.parse_args()
    os.environ.setdefault("OMP_NUM_THREADS", "1")  # before torch is imported: threads don't outlive a fork
    rows: list[dict[str, str]] = []
    if args.csv.exists():
        with args.csv.open(newline="") as file:
            rows = [*csv.DictReader(file)]
    if args.table:
        print(table(rows))
        return
    aimed = args.kills // 2 // (len(KILLS) - 1)
    wanted = [(kind, aimed) for kind in KILLS[1:]]
    wanted = [
        (KILLS[0], args.kills - aimed * len(wanted)),
        *wanted,
        *((kind, args.others) for kind in OTHERS),
    ]
    for kind in ON_DISKS:
        if not is_allowed(kind):
            print(f"{name_of(kind)}: can't be done by this user or on this file system, and is left out")
            wanted = [each for each in wanted if each[0] is not kind]
    done = {(row["kind"], row["trial"]) for row in rows}
    todo = [
        (kind, number)
        for kind, count in wanted
        for number in range(count)
        if (name_of(kind), str(number)) not in done and (not args.only or name_of(kind) in args.only)
    ]
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as temporary:
        lab = prepare(args.place or Path(temporary))
        print(
            f"an undisturbed run takes {lab.seconds:.1f} s and {lab.size / 1e3:.0f} kB; {len(todo)} trials",
            flush=True,
        )
        for kind, number in todo:
            row = do(lab, kind, number)
            is_new = not args.csv.exists()
            with args.csv.open("a", newline="") as file:
                writer = csv.DictWriter(file, COLUMNS, lineterminator="\n")
                if is_new:
                    writer.writeheader()
                writer.writerow(row)
            rows.append(row)
            print(", ".join(f"{name} {value}" for name, value in row.items() if value), flush=True)
    print(table(rows))


if __name__ == "__main__":
    main()
