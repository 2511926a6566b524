"""What `saga` says of itself, what it loads for that, and what it says where it cannot run."""

import os
import re
import subprocess
import sys
from pathlib import Path
from typing import Final

import pytest

from coordinator.cli.exits import MEANING, Exit

SAGA: Final = str(Path(sys.executable).parent / "saga")
HEAVY: Final = (
    "grpc",
    "pydantic",
    "google",
    "aiosqlite",
    "orjson",
    "rich",
    "saga",
    "asyncio",
    "coordinator.client",
)
VERBS: Final = (
    "validate",
    "lint",
    "simulate",
    "start",
    "list",
    "show",
    "export",
    "watch",
    "wait",
    "cancel",
    "terminate",
    "dead-letters list",
    "dead-letters show",
    "dead-letters retry",
    "dead-letters skip",
    "dead-letters complete",
    "dead-letters fail",
    "definitions list",
    "definitions show",
    "definitions register",
    "definitions retire",
    "journal backup",
    "journal verify",
    "participants list",
    "participants ledger",
)


def python(code: str, **environ: str) -> "subprocess.CompletedProcess[str]":
    return subprocess.run(
        [sys.executable, "-c", code],
        capture_output=True,
        text=True,
        env={**os.environ, **environ},
        timeout=50,
    )


def help_of(*verb: str) -> str:
    done = subprocess.run([SAGA, *verb, "--help"], capture_output=True, text=True, timeout=50)
    assert (done.returncode, done.stderr) == (0, "")
    return done.stdout


def test_help_loads_nothing_that_is_slow() -> None:
    done = python(
        "import sys; from coordinator.cli import main; sys.argv = ['saga', '--help']; code = main();"
        f"print(code, [name for name in {HEAVY!r} if name in sys.modules], file=sys.stderr)"
    )
    assert done.stderr == "0 []\n"
    assert done.stdout.startswith("Usage: saga ")


def test_the_help_of_no_verb_loads_what_is_slow() -> None:
    # That of serve lists the settings, which need pydantic, so it comes last.
    done = python(
        "import sys; from coordinator.cli import main\n"
        f"for verb in {[*VERBS, 'serve']!r}:\n"
        "    sys.argv = ['saga', *verb.split(), '--help']\n"
        f"    heavy = {HEAVY!r} if verb != 'serve' else ('grpc', 'google', 'aiosqlite', 'saga')\n"
        "    print(verb, main(), [name for name in heavy if name in sys.modules], file=sys.stderr)"
    )
    assert done.stderr.splitlines() == [f"{verb} 0 []" for verb in [*VERBS, "serve"]]


def test_help_lists_every_verb_and_every_exit_code() -> None:
    text = help_of()
    for verb in VERBS:
        assert re.search(rf"^  {verb.split()[0]} ", text, re.MULTILINE)
    for code, meaning in MEANING.items():
        assert f"{code.value:>4}  {meaning}" in text.splitlines() or f"  {code.value:>4}  {meaning}" in text
    assert list(MEANING) == list(Exit)
    # A first sentence that is cut tells less than none.
    assert "..." not in text.replace("[ARGS]...", "")


@pytest.mark.parametrize("verb", [*VERBS, "serve"])
def test_each_verb_says_what_it_does_and_gives_an_example(verb: str) -> None:
    lines = help_of(*verb.split()).splitlines()
    assert lines[0].startswith(f"Usage: saga {verb} ")
    assert lines[2].strip().endswith(".")
    assert any(line.strip().startswith(f"saga {verb}") for line in lines[lines.index("  Example:") :])


def test_every_option_is_explained() -> None:
    for verb in VERBS:
        options = help_of(*verb.split()).partition("Options:\n")[2]
        for line in re.findall(r"^  -.*$(?:\n {10,}.*$)*", options, re.MULTILINE):
            assert re.search(r"\S  +\S|\n {10,}\S", line), line


def test_serve_has_a_flag_for_every_setting() -> None:
    from coordinator.settings import PREFIX, Settings, flag_of

    text = help_of("serve")
    for name in (*Settings.names(), "settings_file"):
        assert f"{flag_of(name)} {PREFIX}{name.upper()}" in text


def test_a_group_without_a_verb_shows_its_help_and_is_wrong_usage() -> None:
    done = subprocess.run([SAGA, "journal"], capture_output=True, text=True, timeout=50)
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr.startswith("Usage: saga journal ")


def test_the_version_is_told() -> None:
    done = subprocess.run([SAGA, "--version"], capture_output=True, text=True, timeout=50)
    assert (done.returncode, done.stderr) == (0, "")
    assert re.fullmatch(r"saga \d+\.\d+\.\d+\n", done.stdout)


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_completion_knows_the_verbs(shell: str) -> None:
    environ = {**os.environ, "_SAGA_COMPLETE": f"complete_{shell}", "COMP_WORDS": "saga dead-letters re"}
    environ |= {"COMP_CWORD": "2", "_TYPER_COMPLETE_ARGS": "saga dead-letters re"}
    environ |= {"_TYPER_COMPLETE_FISH_ACTION": "get-args"}
    done = subprocess.run([SAGA], capture_output=True, text=True, env=environ, timeout=50)
    assert "retry" in done.stdout
    assert "skip" not in done.stdout
    assert done.stderr == ""


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_completion_knows_the_statuses(shell: str) -> None:
    environ = {**os.environ, "_SAGA_COMPLETE": f"complete_{shell}", "COMP_WORDS": "saga list --status COM"}
    environ |= {"COMP_CWORD": "3", "_TYPER_COMPLETE_ARGS": "saga list --status COM"}
    environ |= {"_TYPER_COMPLETE_FISH_ACTION": "get-args"}
    done = subprocess.run([SAGA], capture_output=True, text=True, env=environ, timeout=50)
    words = set(re.findall(r"[A-Z_]{4,}", done.stdout))
    assert words == {"COMPENSATING", "COMPLETED", "COMPENSATED"}
    assert done.stderr == ""


def test_where_the_extra_is_not_installed_one_sentence_says_so() -> None:
    hide = "import sys; sys.modules['typer'] = None; sys.argv = ['saga', '--help'];"
    done = python(hide + "from coordinator.cli import main; sys.exit(main())")
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr == "saga needs typer and rich: run pip install 'saga-coordinator[cli]'\n"


def test_a_command_that_needs_the_server_says_so_where_that_is_not_installed() -> None:
    hide = "import sys; sys.modules['aiosqlite'] = None; sys.argv = ['saga', 'serve'];"
    done = python(hide + "from coordinator.cli import main; sys.exit(main())")
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr == (
        "this command needs the package aiosqlite: run pip install 'saga-coordinator[server]'\n"
    )


@pytest.mark.parametrize(
    ("module", "package", "code", "who"),
    [
        ("coordinator", "aiosqlite", 2, "The coordinator did not start: it"),
        ("participants", "grpc_health", 1, "participants: the server"),
    ],
)
def test_so_does_a_module_that_is_run_without_the_command_line(
    module: str, package: str, code: int, who: str
) -> None:
    hide = f"import sys, runpy; sys.modules['{package}'] = None;"
    done = python(hide + f"runpy.run_module('{module}', run_name='__main__')")
    assert (done.returncode, done.stdout) == (code, "")
    needs = f"{who} needs the package {package}: run pip install 'saga-coordinator[server]'\n"
    assert done.stderr == needs
