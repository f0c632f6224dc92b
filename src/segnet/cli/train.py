"""``train`` and ``resume``: from data to a model."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import cyclopts
from cyclopts import Parameter

from segnet.base.distributed.rank import started_as
from segnet.base.errors import SegnetError
from segnet.base.files import expand_home
from segnet.base.settings import Whole
from segnet.cli.app import app, print_all, print_folded
from segnet.cli.eval import print_scores
from segnet.training.configuration.config import RUN, TrainConfig
from segnet.training.interrupt import INTERRUPTED

if TYPE_CHECKING:
    from cyclopts.argument import ArgumentCollection

    from segnet.training.loop import Run

_everything = Parameter(name="*")  # the fields of a dataclass become options of their own


def _read_config_option(
    command: cyclopts.App, commands: tuple[str, ...], arguments: ArgumentCollection
) -> None:
    """Fill the options that were not typed from the file that ``--config`` names."""
    from segnet.training.configuration.config_file import read_options

    typed = {argument.name: argument.tokens[-1].value for argument in arguments if argument.tokens}
    file = typed.get("--config")
    if file is None:
        return
    fields = {name.removeprefix("--").replace("-", "_"): value for name, value in typed.items()}
    settings = read_options(Path(file), fields)
    # below the command's own name: at the top a setting called like a command, such as data, is passed over
    fill = cyclopts.config.Dict({commands[-1]: settings}, source=file)
    fill(command, commands, arguments)


@app.command(config=_read_config_option)
def train(
    config: Annotated[TrainConfig, _everything] = TrainConfig(),  # noqa: B008
    *,
    file: Annotated[
        Path | None, Parameter(name="--config", negative=(), group=RUN, show_default=False)
    ] = None,
    seeds: Annotated[str | None, Parameter(group=RUN, show_default=False)] = None,
) -> int:
    """Train a model. With no option: the article's SegNet on Oxford-IIIT Pet, with its settings exactly.

    Leaves a run folder with the best model, the learning GIF and report.html. Ctrl-C ends it cleanly.

    Args:
        config: everything that decides the run.
        file: a YAML file with options, such as the config.yaml of a run; those on the command line win.
        seeds: one run for each of so many seeds, such as 3, or of these, such as 0,1,2, all in one folder.
    """
    from segnet.training.run import train as fit

    if seeds is not None:
        from segnet.runs.seeds import parse_seeds
        from segnet.training.several import require_seedless, train_seeds

        which = parse_seeds(seeds)
        _require_one_process("--seeds")
        require_seedless(config)
        return _say_seeds(train_seeds(config, which))
    return _say_result(fit(config))


@app.command
def resume(
    run: str,
    /,
    *,
    epochs: Annotated[Whole | None, Parameter(show_default=False)] = None,
    data: Annotated[str | None, Parameter(show_default=False)] = None,
    on_nan: Annotated[Literal["stop", "skip"] | None, Parameter(show_default=False)] = None,
    accumulate: Annotated[Whole | None, Parameter(show_default=False)] = None,
    from_: Annotated[
        str | None, Parameter(name="--from", metavar="best|EPOCH", negative=(), show_default=False)
    ] = None,
    out: Annotated[Path | None, Parameter(show_default=False)] = None,
) -> int:
    """Go on with a run that was stopped or killed; it ends with the same bits as if it never was.

    A run whose settings or data have changed since it began is refused. With --from another run begins where
    this one was after that epoch, and this one stays as it is.

    Args:
        run: the run folder, or a folder of --seeds, in which the seeds that are missing are then trained too.
        epochs: train to this epoch in place of the planned one.
        data: where its data is now, if it has moved.
        on_nan: stop where a step's loss isn't finite, or skip (drop) that step, in place of what it says.
        accumulate: compute a batch in so many parts, in place of what it says: for fewer processes.
        from_: branch from this epoch, of which a state must be kept (segnet train --keep-epochs), or from the
            best, of which without a state the weights are taken and the optimizer starts anew.
        out: with --from, the new run's folder; without it a new one below runs/.
    """
    from segnet.runs.seeds import SeedFolder
    from segnet.training.run import resume as fit

    if run.strip() and SeedFolder(expand_home(run)).exists:
        from segnet.training.several import resume_seeds

        if any(given is not None for given in (epochs, data, on_nan, accumulate, from_, out)):
            raise SegnetError(
                f"{run} holds several runs; --epochs, --data, --on-nan, --accumulate, --from and --out are "
                "for one of them"
            )
        _require_one_process(f"{run} holds several runs, and")
        return _say_seeds(resume_seeds(run))
    start = int(from_) if from_ is not None and from_.isdecimal() else from_
    return _say_result(
        fit(run, epochs=epochs, data=data, on_nan=on_nan, accumulate=accumulate, from_epoch=start, out=out)
    )


def _require_one_process(what: str) -> None:
    if started_as().total > 1:
        raise SegnetError(
            f"{what} takes one process; start it without torchrun, or one run for each seed with it"
        )


def _say_seeds(path: Path) -> int:
    from segnet.report.spread import spread_table
    from segnet.runs.seeds import SeedFolder, read_seeds

    summary = SeedFolder(path).summary
    if not summary.is_file():
        print(f"stopped; go on with: segnet resume {path}")
        return INTERRUPTED
    found = read_seeds(path)
    print_folded(spread_table(found))
    print_all(found.sentence(), f"summary  {summary}")
    return 0


def _say_result(run: Run) -> int:
    from segnet.runs.remarks import no_better_than_one_class
    from segnet.runs.run_folder import RunFolder

    if started_as().rank:  # another process says it
        return 0 if run.finished else INTERRUPTED
    if run.val is not None:
        print(f"epoch {run.best_epoch}, the best, on {run.val.scored_on}")
        print_scores(run.val)
        if not no_better_than_one_class(run.val):  # else a warning has said it
            majority, share = run.val.majority
            print(f"predicting {majority} everywhere gives pixel accuracy {share:.3f}")
    if run.test is not None:
        print(f"the same model on {run.test.scored_on}")
        print_scores(run.test)
    folder = RunFolder(run.folder)
    best = () if run.val is None else (f"model    {folder.model}", f"GIF      {folder.gif}")
    print_all(*best, f"report   {folder.report}")
    if not run.finished:
        print(f"stopped; go on with: segnet resume {run.folder}")
        return INTERRUPTED
    return 0
