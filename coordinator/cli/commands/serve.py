"""`saga serve`: a flag for each setting, made from the settings themselves."""

import inspect
import os
import sys
from collections.abc import Callable, Sequence
from typing import Annotated, Final

import typer

from coordinator.cli.exits import CommandFailed, Exit
from coordinator.cli.output import Nowhere
from coordinator.cli.run import run_app
from coordinator.settings import PREFIX, SETTINGS_FILE, Settings, flag_of

_HELP: Final = """Run a coordinator until SIGTERM, SIGHUP or Ctrl-C.

A flag wins over its variable, a variable over the settings file, the file over the default. The line
"coordinator ready ADDRESS" comes on stdout once calls are answered; the log is on stderr.
Exit codes: 0 stopped when asked to, 2 could not start, 3 stopped because the journal failed,
4 stopped because its port was lost.

\b
Example:
  saga serve --journal /data/journal.sqlite3 --definitions definitions \\
    --service OrderService=127.0.0.1:50061 --service PaymentService=dns:///payments:50061
"""


def run(arguments: Sequence[str]) -> int:
    """Serve with the flags in *arguments*, and say how it ended."""
    app = typer.Typer(add_completion=False, rich_markup_mode=None, pretty_exceptions_enable=False)
    app.command(help=_HELP)(_command())
    return run_app(app, arguments, "saga serve")


def _command() -> Callable[..., int]:
    def serve(service: list[str] | None, **flags: str | None) -> int:
        given: dict[str, object] = {name: value for name, value in flags.items() if value is not None}
        if service:
            if "services" in given:
                raise CommandFailed(Exit.USAGE, "--service, --services: give one of them")
            given["services"] = _services(service)
        if isinstance(sys.stdout, Nowhere):
            # It serves, whoever hears that it is ready.
            sys.stdout = open(os.devnull, "w")  # noqa: SIM115
        # Not for its help: it brings gRPC and all of the server.
        from coordinator.bootstrap import main

        return main(given)

    parameters = [_parameter(name, *said) for name, said in _flags().items()]
    repeated = Annotated[
        list[str] | None,
        typer.Option("--service", metavar="NAME=TARGET", help="Where one service is; again for each."),
    ]
    parameters.append(inspect.Parameter("service", _KIND, default=None, annotation=repeated))
    # typer reads both.
    serve.__signature__ = inspect.Signature(parameters)  # type: ignore[attr-defined]
    serve.__annotations__ = {parameter.name: parameter.annotation for parameter in parameters}
    return serve


def _flags() -> dict[str, tuple[str, str]]:
    """For each flag its variable, and its help."""
    defaults = Settings().describe()
    flags = {
        SETTINGS_FILE.removeprefix(PREFIX).lower(): (
            SETTINGS_FILE,
            "A TOML file with settings.  [no default]",
        )
    }
    for name, field in Settings.fields().items():
        variable = PREFIX + name.upper()
        text = f"{field.title}. Expected: {field.description}.  [default: {defaults[variable] or 'none'}]"
        flags[name] = (variable, text[0].upper() + text[1:])
    return flags


def _parameter(name: str, variable: str, text: str) -> inspect.Parameter:
    option = typer.Option(flag_of(name), metavar=variable, help=text)
    return inspect.Parameter(name, _KIND, default=None, annotation=Annotated[str | None, option])


def _services(pairs: Sequence[str]) -> dict[str, str]:
    services: dict[str, str] = {}
    for pair in pairs:
        name, is_pair, target = pair.partition("=")
        if not is_pair:
            raise CommandFailed(Exit.USAGE, "--service: expected NAME=TARGET")
        if name in services:
            raise CommandFailed(Exit.USAGE, f"--service: {name!r} stands twice")
        services[name] = target
    return services


_KIND: Final = inspect.Parameter.KEYWORD_ONLY
