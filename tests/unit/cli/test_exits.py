"""How commands end: one exit code for each kind of error, and one sentence, whatever happens."""

import pytest
import typer

from coordinator.cli.app import run
from coordinator.cli.exits import CommandFailed, Exit
from coordinator.cli.failures import exit_of
from coordinator.cli.run import run_app
from coordinator.client import errors


def ending(error: BaseException) -> int:
    def app(**_: object) -> None:
        raise error

    return run_app(app, [])


@pytest.mark.parametrize(
    ("kind", "code"),
    [
        (errors.InvalidRequest, 2),
        (errors.NotFound, 3),
        (errors.Undecided, 5),
        (errors.TimedOut, 5),
        (errors.Overloaded, 6),
        (errors.Unavailable, 6),
        (errors.Conflict, 7),
        (errors.Refused, 7),
        (errors.Broken, 1),
        (errors.ClientError, 1),
    ],
)
def test_each_error_of_the_client_has_its_exit_code(
    kind: type[errors.ClientError], code: int, capsys: pytest.CaptureFixture[str]
) -> None:
    assert ending(kind("it is\nso")) == code
    assert capsys.readouterr() == ("", "it is so\n")


def test_no_error_of_the_client_is_without_an_exit_code() -> None:
    kinds = [kind for kind in vars(errors).values() if isinstance(kind, type)]
    for kind in kinds:
        if issubclass(kind, errors.ClientError):
            assert exit_of(kind("it is so")) in Exit


def test_a_command_ends_with_what_it_returns_or_exits_with() -> None:
    assert run_app(lambda **_: Exit.NOT_COMPLETED, []) == 4
    assert run_app(lambda **_: None, []) == 0
    assert ending(CommandFailed(Exit.NOT_FOUND, "there is none")) == 3


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (["lsit"], "No such command 'lsit'. Did you mean 'list', 'lint'? 'saga --help' says more"),
        (["show"], "Missing argument 'SAGA'; 'saga show --help' says more"),
    ],
)
def test_wrong_usage_is_a_sentence_that_points_to_the_help(
    arguments: list[str], sentence: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(arguments) == 2
    assert capsys.readouterr() == ("", f"{sentence}\n")


def test_an_interrupted_command_is_quiet(capsys: pytest.CaptureFixture[str]) -> None:
    assert ending(KeyboardInterrupt()) == 130
    assert ending(typer.Abort()) == 130
    assert capsys.readouterr() == ("", "")


def test_a_mistake_of_ours_is_one_sentence_with_its_place(capsys: pytest.CaptureFixture[str]) -> None:
    assert ending(ZeroDivisionError("by zero\n\x1b[2J")) == 1
    out, err = capsys.readouterr()
    assert out == ""
    assert err.startswith(
        "this is a mistake in saga itself, please report it: ZeroDivisionError: by zero �[2J"
    )
    assert "(test_exits.py:" in err
    assert err.count("\n") == 1


def test_a_missing_module_of_our_own_is_a_mistake_and_not_a_missing_extra(
    capsys: pytest.CaptureFixture[str],
) -> None:
    assert ending(ModuleNotFoundError("no", name="coordinator.gone")) == 1
    assert "mistake" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("field", "typed"),
    [
        ("action.expected_seq", "--expect"),
        ("output_json", "--step-output"),
        ("output_json.a[0]", "--step-output $.a[0]"),
        ("input_json[2]", "--input $[2]"),
        ("step", "STEP"),
        ("page_size", "--limit"),
        ("after_seq", "--after"),
        ("stepfather", "stepfather"),
    ],
)
def test_a_field_is_called_what_was_typed(field: str, typed: str, capsys: pytest.CaptureFixture[str]) -> None:
    violations = [errors.Violation("else", "is odd"), errors.Violation(field, "is blank")]
    ending(errors.InvalidRequest(f"else: is odd; {field}: is blank; nothing was sent", violations=violations))
    assert capsys.readouterr().err == f"else: is odd; {typed}: is blank; nothing was sent\n"


@pytest.mark.parametrize(("field", "flag"), [("request_id", "--request-id"), ("action_id", "--action-id")])
def test_the_id_that_makes_asking_again_safe_is_told_as_it_is_typed(
    field: str, flag: str, capsys: pytest.CaptureFixture[str]
) -> None:
    ending(errors.TimedOut(f"no answer came; under {field} 'a-1' it is done once"))
    assert capsys.readouterr().err == f"no answer came; under {flag} 'a-1' it is done once\n"
