"""From the command line to a command and from its end to an exit code."""

from __future__ import annotations

import os
import sys
import traceback
import warnings
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Any, NoReturn

import cyclopts
from cyclopts import Parameter

from segnet.base.distributed.rank import may_speak, started_as
from segnet.base.errors import EndedElsewhereError, ProcessLostError, SegnetError
from segnet.base.extras import missing_package
from segnet.cli import (  # noqa: F401 - each adds its commands
    bench,
    cache,
    compare,
    data,
    eval,  # noqa: A004
    export,
    label,
    models,
    predict,
    serve,
    show,
    train,
)
from segnet.cli.app import BAD_INPUT, OUR_FAULT, PIPE_CLOSED, PROCESS_LOST, app, say_error
from segnet.training.interrupt import INTERRUPTED, stop_like_ctrl_c

_EXPECTED = (SegnetError, cyclopts.CycloptsError, OSError)
_NAMED = 3  # of the words that no option takes


@app.meta.default
def _launch(
    *tokens: Annotated[str, Parameter(show=False, allow_leading_hyphen=True)],
    debug: Annotated[bool, Parameter(negative=())] = False,
    look_again: Annotated[bool, Parameter(negative=())] = False,
) -> Any:
    """Take what concerns every command off the command line.

    Args:
        tokens: the rest.
        debug: show the traceback of an error.
        look_again: read every file of the data anew, where else one whose size and dates are as they were
            counts as unchanged; the same as SEGNET_LOOK_AGAIN=1.
    """
    if look_again:
        os.environ["SEGNET_LOOK_AGAIN"] = "1"
    return app(tokens, exit_on_error=False, print_error=False, result_action="return_value")


def main() -> NoReturn:
    """Run the command; a mistake of the user's is one line and exit code 2."""
    # GNU OpenMP's threads spin for milliseconds before they sleep: on a machine that does other things too,
    # that takes the cores from whom they wait for. A short spin costs an idle machine next to nothing
    # (benchmarks/cpu_settings.py). This must be set before torch is imported.
    os.environ.setdefault("GOMP_SPINCOUNT", "1000")
    stop_like_ctrl_c()  # also while libraries are imported
    _print_anything()
    if started_as().rank and _command() not in ("segnet train", "segnet resume"):
        sys.exit(0)  # only these take many processes: of others one runs
    # Pillow warns of half the pixels that it refuses: nothing a user of a large photo can do anything about
    warnings.filterwarnings("ignore", r"Image size .* exceeds limit")
    try:
        code = app.meta(sys.argv[1:], exit_on_error=False, print_error=False, result_action="return_value")
        sys.stdout.flush()
    except KeyboardInterrupt:
        code = INTERRUPTED
    except BrokenPipeError:  # the reader of our output has gone, as in `| head`
        _drop_output()
        code = PIPE_CLOSED
    except Exception as error:
        if "--debug" in sys.argv:
            traceback.print_exc()
        if isinstance(error, ModuleNotFoundError):
            error = missing_package(_command(), error.name) or error
        if not isinstance(error, EndedElsewhereError) and may_speak():
            say_error(_as_line(error))
        if isinstance(error, OSError) and error.filename is None:  # it was our output that found no room
            _drop_output()
        if isinstance(error, ProcessLostError):  # torch.distributed, as it clears up, waits for who is gone
            sys.stdout.flush()
            sys.stderr.flush()
            os._exit(PROCESS_LOST)
        code = BAD_INPUT if isinstance(error, _EXPECTED) or _is_out_of_memory(error) else OUR_FAULT
    sys.exit(code if isinstance(code, int) else 0)


def _print_anything() -> None:
    """Let an ASCII terminal, or a file name that is no text, cost a character and not the whole command."""
    for name in ("stdout", "stderr"):
        stream = getattr(sys, name)
        if stream is None:  # closed by whoever started us
            setattr(sys, name, Path(os.devnull).open("w", errors="backslashreplace"))  # noqa: SIM115 - for good
        elif hasattr(stream, "reconfigure"):
            stream.reconfigure(errors="backslashreplace")


def _command() -> str:
    """Return what was typed, as far as it names the command: "segnet train"."""
    return " ".join(("segnet", *[word for word in sys.argv[1:] if not word.startswith("-")][:1]))


def _as_line(error: Exception) -> str:
    if isinstance(error, cyclopts.CycloptsError):
        text = str(error)
        if isinstance(error, cyclopts.UnusedCliTokensError):
            text = _no_option_takes(error.unused_tokens or [])
        text += "" if text.endswith((".", "?")) else "."
        return f"{text} See: {' '.join(('segnet', *(error.command_chain or ())))} --help"
    if isinstance(error, OSError):
        return f"{error.filename or 'standard output'}: {error.strerror or error}"
    if _is_out_of_memory(error):
        return "there is not enough memory; lower --batch-size, --size or --patch, or make the image smaller"
    if isinstance(error, SegnetError):
        return str(error)
    return f"{type(error).__name__}: {error} (this is a fault of segnet; --debug shows where)"


def _no_option_takes(words: Sequence[str]) -> str:
    if len(words) <= _NAMED:
        return f"No option takes {' '.join(words)}."
    return (
        f"No option takes {' '.join(words[:_NAMED])} and {len(words) - _NAMED} more words; a pattern such as "
        "'photos/*.jpg' needs quotation marks."
    )


def _is_out_of_memory(error: Exception) -> bool:
    # torch has a class for this on GPUs alone
    words = ("out of memory", "can't allocate memory")
    return isinstance(error, MemoryError) or (
        isinstance(error, RuntimeError) and any(word in str(error) for word in words)
    )


def _drop_output() -> None:
    """Keep Python from writing what is left in the buffer, and failing once more, when it ends."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
