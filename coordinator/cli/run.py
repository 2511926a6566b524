"""How any command ends: with its exit code, and at worst with one sentence on stderr. Never a traceback."""

import os
import sys
from collections.abc import Callable, Sequence
from typing import Final

import typer

from coordinator.cli.exits import CommandFailed, Exit
from coordinator.cli.output import Nowhere, ReaderGone, tell, throw_away

_PROGRAM: Final = "saga"
_OURS: Final = ("coordinator", "participants", "saga")


def run_app(app: Callable[..., object], arguments: Sequence[str], program: str = _PROGRAM) -> int:
    """Run *app* on *arguments*, and say how it ended."""
    _have_somewhere_to_write()
    try:
        code = app(args=list(arguments), prog_name=program, standalone_mode=False)
        _flush()
        return code if isinstance(code, int) else Exit.OK
    except CommandFailed as failed:
        tell(str(failed))
        return failed.exit_code
    except typer.TyperException as error:
        return _usage(error)
    except (typer.Abort, KeyboardInterrupt):
        return Exit.INTERRUPTED
    except (ReaderGone, BrokenPipeError):
        # It did not come to its end, so it has no code of its own.
        throw_away()
        return Exit.OK
    except ModuleNotFoundError as error:
        package = (error.name or "").partition(".")[0]
        if package in _OURS:
            return _unexpected(error)
        tell(f"this command needs the package {package}: run pip install 'saga-coordinator[server]'")
        return Exit.ERROR
    except OSError as error:
        throw_away()
        tell(f"{error.filename or 'the output'}: {error.strerror or error}")
        return Exit.ERROR
    except Exception as error:
        return _failed(error)


def _have_somewhere_to_write() -> None:
    """A shell can close a stream before it starts us, and Python then has none."""
    for name in ("stdout", "stderr"):
        stream = getattr(sys, name)
        if stream is None:
            setattr(sys, name, Nowhere() if name == "stdout" else open(os.devnull, "w"))  # noqa: SIM115
        elif not isinstance(stream, Nowhere):
            # A locale that knows no ×, or a name that was no text, must not end a command.
            stream.reconfigure(errors="replace")


def _flush() -> None:
    """A command that came to its end keeps its code, whoever reads what it printed."""
    try:
        sys.stdout.flush()
    except BrokenPipeError:
        throw_away()


def _usage(error: typer.TyperException) -> int:
    context = getattr(error, "ctx", None)
    path = context.command_path if context is not None else _PROGRAM
    text = error.format_message()
    if text.startswith("Usage:"):  # a group without a command: its help
        print(text, file=sys.stderr)
    else:
        sentence = text.removesuffix(".").replace("Value error, ", "").replace("Input should be", "expected")
        tell(f"{sentence}{' ' if sentence.endswith('?') else '; '}'{path} --help' says more")
    return Exit.USAGE


def _failed(error: Exception) -> int:
    # Not needed by a command that ends well, and it takes as long as all that saga's help needs of ours.
    from coordinator.cli.failures import exit_of, sentence_of
    from coordinator.client.errors import ClientError

    if not isinstance(error, ClientError):
        return _unexpected(error)
    tell(sentence_of(error))
    return exit_of(error)


def _unexpected(error: Exception) -> int:
    trace = error.__traceback__
    while trace is not None and trace.tb_next is not None:
        trace = trace.tb_next
    place = f" ({os.path.basename(trace.tb_frame.f_code.co_filename)}:{trace.tb_lineno})" if trace else ""
    tell(f"this is a mistake in {_PROGRAM} itself, please report it: {type(error).__name__}: {error}{place}")
    return Exit.ERROR
