"""``segnet compare A B --assert-equal``: whether two runs compute the same, to the last digit."""

import math
import struct

import pytest

from segnet import SegnetError
from segnet.runs.run_folder import RunFolder
from segnet.runs.steps import StepRecord, first_difference, read_steps, write_steps

LOSSES = (0.1 + 0.2, 1 / 3, struct.unpack("f", b"\x01\x00\x00\x00")[0], 3.4028234663852886e38, None)


@pytest.fixture
def run(here):
    """Return a function that leaves a run folder with these losses, three steps an epoch."""

    def leave(name, losses):
        folder = RunFolder(here / name)
        folder.path.mkdir()
        folder.config.write_text("model: segnet-lite\n")
        write_steps(folder, [StepRecord(*at(index), loss) for index, loss in enumerate(losses)])
        return folder

    return leave


def at(index):
    return index // 3 + 1, index % 3 + 1


def test_losses_are_read_to_the_bits_that_were_written(run):
    read = read_steps(run("a", LOSSES).path)
    assert [step.loss for step in read] == [*LOSSES]
    assert [(step.epoch, step.step) for step in read] == [(1, 1), (1, 2), (1, 3), (2, 1), (2, 2)]


def test_equal_runs_end_with_0_and_say_how_many_steps_that_were(run, segnet):
    for name, count in (("a", 5), ("b", 5), ("stopped sooner", 1)):
        run(name, LOSSES[:count])
    ended = segnet("compare", "a", "b", "--assert-equal")
    assert (ended.code, ended.err) == (0, "")
    assert ended.out == "equal: the losses of the first 5 steps, to the last digit\n"
    assert "of the first step, to" in segnet("compare", "a", "stopped sooner", "--assert-equal").out


@pytest.mark.parametrize("index", range(4))
def test_the_smallest_difference_ends_with_1_and_names_its_step(run, segnet, index):
    moved = math.nextafter(LOSSES[index], 0)
    run("a", LOSSES)
    run("b", [*LOSSES[:index], moved, *LOSSES[index + 1 :]])
    ended = segnet("compare", "a", "b", "--assert-equal")
    assert (ended.code, ended.err) == (1, "")
    epoch, step = at(index)
    assert ended.out == (
        f"not equal: a has the loss {LOSSES[index]!r} in epoch {epoch}, step {step}, "
        f"b has the loss {moved!r} in epoch {epoch}, step {step}\n"
    )


def test_a_dropped_step_equals_only_a_dropped_step(run):
    dropped, other = ([StepRecord(1, 1, loss)] for loss in (None, 0.5))
    assert first_difference(dropped, dropped) is None
    assert "a loss that isn't finite in epoch 1, step 1" in str(first_difference(dropped, other)[0])


def test_epochs_of_another_length_are_a_difference():
    one, other = ([StepRecord(1, 1, 0.5), StepRecord(*second, 0.4)] for second in ((1, 2), (2, 1)))
    assert first_difference(one, other) == (one[1], other[1])


DAMAGES = {
    "no JSON": '{"epoch": 1, "st',
    "no step": '{"epoch": 1, "loss": 0.5}',
    "no number": '{"epoch": 1, "step": 1, "loss": "low"}',
    "no mapping": "3",
}


@pytest.mark.parametrize("damage", DAMAGES)
def test_a_damaged_file_is_one_clear_error(run, damage):
    folder = run("a", LOSSES)
    folder.steps.write_text(DAMAGES[damage] + "\n")
    with pytest.raises(SegnetError, match=r"steps\.jsonl is damaged"):
        read_steps(folder.path)


MISTAKES = {
    "a": "--assert-equal compares two runs with each other, got 1; name two",
    "a a a": "--assert-equal compares two runs with each other, got 3; name two",
    "a nowhere": "nowhere is no run folder: it has no config.yaml; give one that segnet train wrote",
    "a old": "old has no losses of its first steps: it has not been saved yet, or an older segnet began it",
    "a seeds": "seeds holds several runs; name one of those in it",
    "a a --out curves.png": "--assert-equal draws nothing; leave --out out",
}


@pytest.mark.parametrize(("arguments", "says"), MISTAKES.items())
def test_a_mistake_is_one_line(run, segnet, arguments, says):
    run("a", LOSSES)
    for name in ("old", "seeds"):
        run(name, LOSSES).steps.unlink()
    (RunFolder(run("unused", LOSSES).path).path.parent / "seeds" / "seeds.json").write_text(
        '{"seeds": [0, 1]}'
    )
    segnet("compare", *arguments.split(), "--assert-equal").is_a_mistake_in_one_line(says)
