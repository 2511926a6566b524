"""Settings: a bad one stops the start with its name, and no error quotes a value."""

import os
from pathlib import Path
from typing import Final

import pytest
from pydantic import SecretStr

from coordinator.domain.errors import StartupFailed
from coordinator.settings import Settings

A_TARGET: Final = 'a gRPC target such as "127.0.0.1:50061", "dns:///orders:50061" or "unix:/run/orders.sock"'
A_JSON_OBJECT: Final = f"expected a JSON object of service names, each with {A_TARGET}"
A_DURATION: Final = (
    'expected seconds, or a duration from 1ms to 365d, written like "500ms", "10s", "1.5m", "24h" or "7d"'
)
AN_ADDRESS: Final = (
    'expected an address to serve on, such as "127.0.0.1:50051", "[::]:50051" or "unix:/run/saga.sock"; '
    "port 0 is any free one"
)

AN_HTTP_ADDRESS: Final = (
    'expected an address for /metrics, /healthz and /readyz, such as "127.0.0.1:9464"; empty: none'
)


def refusal(environ: dict[str, str], flags: dict[str, object] | None = None) -> str:
    with pytest.raises(StartupFailed) as stop:
        Settings.load(environ, flags or {})
    return str(stop.value)


def test_every_setting_has_a_default_and_is_described_by_its_variable() -> None:
    assert Settings.load({}) == Settings()
    assert Settings.load({}).describe() == {
        "SAGA_LISTEN": "127.0.0.1:50051",
        "SAGA_HTTP_LISTEN": "",
        "SAGA_JOURNAL": "saga-journal.sqlite3",
        "SAGA_DEFINITIONS": "definitions",
        "SAGA_SERVICES": "{}",
        "SAGA_PLACE_ORDER_SAGA": "PlaceOrder",
        "SAGA_WAIT_MAX": "1m",
        "SAGA_SAGAS_OPEN_MAX": "10000",
        "SAGA_CALLS_PER_SERVICE_MAX": "256",
        "SAGA_MESSAGE_BYTES_MAX": "4MiB",
        "SAGA_DRAIN_GRACE": "10s",
        "SAGA_DISK_FREE_MIN_BYTES": "64MiB",
        "SAGA_LOG_LEVEL": "INFO",
        "SAGA_LOG_FORMAT": "auto",
    }


def test_variables_are_read() -> None:
    settings = Settings.load(
        {
            "SAGA_LISTEN": "[::]:0",
            "SAGA_HTTP_LISTEN": "127.0.0.1:9464",
            "SAGA_JOURNAL": "/data/journal.sqlite3",
            "SAGA_DEFINITIONS": "/etc/saga",
            "SAGA_SERVICES": '{"Orders": "127.0.0.1:50061", "Stock": "dns:///stock:1"}',
            "SAGA_PLACE_ORDER_SAGA": "OrderPlacementSaga",
            "SAGA_WAIT_MAX": "1500ms",
            "SAGA_SAGAS_OPEN_MAX": "5",
            "SAGA_CALLS_PER_SERVICE_MAX": "7",
            "SAGA_MESSAGE_BYTES_MAX": "8192 KiB",
            "SAGA_DRAIN_GRACE": "2.5",
            "SAGA_DISK_FREE_MIN_BYTES": "0",
            "SAGA_LOG_LEVEL": "debug",
            "SAGA_LOG_FORMAT": "text",
            "PATH": "/bin",
        }
    )
    assert settings == Settings(
        listen="[::]:0",
        http_listen="127.0.0.1:9464",
        journal_path="/data/journal.sqlite3",
        definitions_dir="/etc/saga",
        services={"Orders": "127.0.0.1:50061", "Stock": "dns:///stock:1"},
        place_order_saga="OrderPlacementSaga",
        wait_max_s=1.5,
        sagas_open_max=5,
        calls_per_service_max=7,
        message_bytes_max=8 * 1024 * 1024,
        drain_grace_s=2.5,
        disk_free_min_bytes=0,
        log_level="DEBUG",
        log_format="text",
    )
    assert Settings.load(settings.describe()) == settings


@pytest.mark.parametrize(
    ("variable", "value", "expected"),
    [
        ("SAGA_LISTEN", "50051", AN_ADDRESS),
        ("SAGA_LISTEN", "localhost", AN_ADDRESS),
        ("SAGA_LISTEN", "localhost:65536", AN_ADDRESS),
        ("SAGA_LISTEN", "http://localhost:50051", AN_ADDRESS),
        ("SAGA_LISTEN", "", AN_ADDRESS),
        ("SAGA_HTTP_LISTEN", "9464", AN_HTTP_ADDRESS),
        ("SAGA_HTTP_LISTEN", "unix:/run/saga.sock", AN_HTTP_ADDRESS),
        ("SAGA_HTTP_LISTEN", "localhost:65536", AN_HTTP_ADDRESS),
        ("SAGA_JOURNAL", "", "expected the path of the journal file"),
        ("SAGA_DEFINITIONS", "", "expected the path of the definitions folder"),
        ("SAGA_PLACE_ORDER_SAGA", "x y", "expected the sagaName of the definition that PlaceOrder runs"),
        ("SAGA_WAIT_MAX", "soon", A_DURATION),
        ("SAGA_WAIT_MAX", "0", A_DURATION),
        ("SAGA_WAIT_MAX", "nan", A_DURATION),
        ("SAGA_DRAIN_GRACE", "-1", A_DURATION),
        ("SAGA_SAGAS_OPEN_MAX", "0", "expected a whole number from 1 to 1000000"),
        ("SAGA_SAGAS_OPEN_MAX", "1e3", "expected a whole number from 1 to 1000000"),
        ("SAGA_CALLS_PER_SERVICE_MAX", "many", "expected a whole number from 1 to 100000"),
        (
            "SAGA_MESSAGE_BYTES_MAX",
            "4MB",
            'expected a number of bytes from 2MiB to 1GiB, such as "4MiB"',
        ),
        (
            "SAGA_MESSAGE_BYTES_MAX",
            "2GiB",
            'expected a number of bytes from 2MiB to 1GiB, such as "4MiB"',
        ),
        ("SAGA_DISK_FREE_MIN_BYTES", "-5", 'expected a number of bytes, such as "64MiB"'),
        ("SAGA_LOG_LEVEL", "loud", "expected DEBUG, INFO, WARNING, ERROR or CRITICAL"),
        ("SAGA_LOG_FORMAT", "xml", "expected auto, json or text"),
        (
            "SAGA_SERVICES",
            "Orders=127.0.0.1:1",
            f"{A_JSON_OBJECT}; $: is not JSON: a value is expected at line 1, column 1",
        ),
        ("SAGA_SERVICES", "[]", A_JSON_OBJECT),
        (
            "SAGA_SERVICES",
            '{"A": "a:1", "A": "a:2"}',
            f"{A_JSON_OBJECT}; $.A: stands twice in the same object",
        ),
        (
            "SAGA_SERVICES",
            '{"my orders": "a:1"}',
            f'{A_JSON_OBJECT}; "my orders" is no name',
        ),
        ("SAGA_SERVICES", '{"Orders": 50061}', f"expected {A_TARGET} for Orders"),
        ("SAGA_SERVICES", '{"Orders": ""}', f"expected {A_TARGET} for Orders"),
        ("SAGA_SERVICES", '{"Orders": "orders"}', f"expected {A_TARGET} for Orders"),
        ("SAGA_SERVICES", '{"Orders": "orders:0"}', f"expected {A_TARGET} for Orders"),
        ("SAGA_SERVICES", '{"Orders": "http://orders:80"}', f"expected {A_TARGET} for Orders"),
        ("SAGA_SERVICES", '{"Orders": "dns:///a b:1"}', f"expected {A_TARGET} for Orders"),
    ],
)
def test_a_bad_variable_is_named_with_what_was_expected(variable: str, value: str, expected: str) -> None:
    assert refusal({variable: value}) == f"{variable}: {expected}"


@pytest.mark.parametrize(
    "target",
    [
        "127.0.0.1:1",
        "orders:65535",
        "[::1]:50061",
        "dns:///orders:50061",
        "dns:orders:50061",
        "unix:/run/o.sock",
        "unix:///run/o.sock",
        "unix-abstract:o",
        "ipv4:10.0.0.1:1,10.0.0.2:1",
        "ipv6:[::1]:1",
    ],
)
def test_any_grpc_target_does(target: str) -> None:
    assert Settings.load({"SAGA_SERVICES": f'{{"Orders": "{target}"}}'}).services == {"Orders": target}


def test_several_bad_variables_are_all_named() -> None:
    assert refusal({"SAGA_LOG_LEVEL": "x", "SAGA_JOURNAL": ""}) == (
        "SAGA_JOURNAL: expected the path of the journal file; "
        "SAGA_LOG_LEVEL: expected DEBUG, INFO, WARNING, ERROR or CRITICAL"
    )


def test_an_unknown_variable_is_named_with_the_nearest_known_one() -> None:
    assert refusal({"SAGA_LISTN": "tok-1"}) == "SAGA_LISTN is not a setting; the nearest one is SAGA_LISTEN"
    assert refusal({"SAGA_PORT": "50051"}).startswith("SAGA_PORT is not a setting; ")
    assert refusal({"SAGA_": ""}).startswith("SAGA_ is not a setting; ")


def test_variables_that_kubernetes_adds_for_a_service_called_saga_are_no_mistake() -> None:
    links = {
        "SAGA_SERVICE_HOST": "10.0.0.7",
        "SAGA_SERVICE_PORT": "50051",
        "SAGA_SERVICE_PORT_GRPC": "50051",
        "SAGA_PORT": "tcp://10.0.0.7:50051",
        "SAGA_PORT_50051_TCP": "tcp://10.0.0.7:50051",
        "SAGA_PORT_50051_TCP_ADDR": "10.0.0.7",
        "SAGA_COORDINATOR_PORT_50051_TCP_PROTO": "tcp",
    }
    assert Settings.load(links) == Settings()


def test_no_error_quotes_a_value() -> None:
    for variable in Settings().describe():
        value = "tok 4111" if variable != "SAGA_SERVICES" else '{"Orders": "tok 4111"}'
        if variable not in ("SAGA_JOURNAL", "SAGA_DEFINITIONS"):
            assert "4111" not in refusal({variable: value})


def test_a_secret_setting_is_masked() -> None:
    class WithSecret(Settings):
        token: SecretStr = SecretStr("")

    described = WithSecret.load({"SAGA_TOKEN": "tok-1"}).describe()
    assert described["SAGA_TOKEN"] == "**********"


def test_a_file_is_read_and_a_variable_wins_over_it(tmp_path: Path) -> None:
    path = tmp_path / "saga.toml"
    path.write_text(
        'wait_max = "5s"\ndrain_grace = 3\nsagas_open_max = 8\n[services]\nOrders = "dns:///orders:1"\n'
    )
    settings = Settings.load({"SAGA_SETTINGS_FILE": str(path), "SAGA_WAIT_MAX": "6s"})
    assert settings == Settings(
        wait_max_s=6, drain_grace_s=3, sagas_open_max=8, services={"Orders": "dns:///orders:1"}
    )


def test_a_flag_wins_over_a_variable_a_variable_over_the_file_and_the_file_over_the_default(
    tmp_path: Path,
) -> None:
    path = tmp_path / "saga.toml"
    path.write_text('sagas_open_max = 1\ncalls_per_service_max = 1\nlog_level = "ERROR"\n')
    environ = {"SAGA_SAGAS_OPEN_MAX": "2", "SAGA_CALLS_PER_SERVICE_MAX": "2"}
    settings = Settings.load(environ, {"settings_file": str(path), "sagas_open_max": "3"})
    assert settings == Settings(sagas_open_max=3, calls_per_service_max=2, log_level="ERROR")


def test_a_settings_file_given_as_a_flag_is_read_instead_of_the_one_that_a_variable_names(
    tmp_path: Path,
) -> None:
    path = tmp_path / "saga.toml"
    path.write_text("sagas_open_max = 1\n")
    settings = Settings.load({"SAGA_SETTINGS_FILE": "/nowhere"}, {"settings_file": str(path)})
    assert settings == Settings(sagas_open_max=1)


def test_a_bad_flag_is_named_as_it_was_typed(tmp_path: Path) -> None:
    assert refusal({}, {"listen": "50051"}) == f"--listen: {AN_ADDRESS}"
    assert refusal({"SAGA_LISTEN": "[::]:1"}, {"wait_max": "soon"}) == f"--wait-max: {A_DURATION}"
    assert refusal({}, {"services": {"Orders": "orders"}}) == f"--services: expected {A_TARGET} for Orders"
    path = tmp_path / "absent.toml"
    assert refusal({}, {"settings_file": str(path)}) == (
        f"--settings-file: {str(path)!r} can not be read: No such file or directory"
    )


def test_what_the_command_line_reads_is_no_mistake() -> None:
    assert Settings.load({"SAGA_ADDRESS": "127.0.0.1:50051", "SAGA_ACTOR": "anna"}) == Settings()


def test_every_setting_says_what_it_does_and_what_is_expected() -> None:
    for name, field in Settings.fields().items():
        assert field.title, name
        assert field.description, name


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("wait_max = \n", "SAGA_SETTINGS_FILE: {path} can not be read: it is not TOML at line 1, column 12"),
        ("log_levle = 'INFO'", '"log_levle" in {path} is not a setting; the nearest one is log_level'),
        ("SAGA_LISTEN = 'x'", '"SAGA_LISTEN" in {path} is not a setting; the nearest one is listen'),
        ("wait_max = true", "wait_max in {path}: " + A_DURATION),
        ("sagas_open_max = true", "sagas_open_max in {path}: expected a whole number from 1 to 1000000"),
        ("sagas_open_max = 1.5", "sagas_open_max in {path}: expected a whole number from 1 to 1000000"),
        ("listen = 50051", "listen in {path}: " + AN_ADDRESS),
        ("[services]\nOrders = 1", f"services in {{path}}: expected {A_TARGET} for Orders"),
    ],
)
def test_a_bad_file_is_named_with_what_was_expected(tmp_path: Path, text: str, expected: str) -> None:
    path = tmp_path / "saga.toml"
    path.write_text(text)
    assert refusal({"SAGA_SETTINGS_FILE": str(path)}) == expected.format(path=repr(str(path)))


def test_a_file_that_can_not_be_read_is_named(tmp_path: Path) -> None:
    path = tmp_path / "saga.toml"
    message = f"SAGA_SETTINGS_FILE: {str(path)!r} can not be read: "
    assert refusal({"SAGA_SETTINGS_FILE": str(path)}) == message + "No such file or directory"
    assert refusal({"SAGA_SETTINGS_FILE": str(tmp_path)}) == (
        f"SAGA_SETTINGS_FILE: {str(tmp_path)!r} can not be read: Is a directory"
    )
    path.write_text("a = " + "[" * 100_000)
    assert refusal({"SAGA_SETTINGS_FILE": str(path)}).startswith(message + "it is not TOML")
    path.write_bytes(b"\xff\xfe")
    assert refusal({"SAGA_SETTINGS_FILE": str(path)}) == message + "it is not TOML"


def test_a_file_without_an_end_or_without_a_writer_stops_the_start_at_once(tmp_path: Path) -> None:
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    for path in (Path("/dev/zero"), pipe):
        assert refusal({"SAGA_SETTINGS_FILE": str(path)}) == (
            f"SAGA_SETTINGS_FILE: {str(path)!r} can not be read: it is no regular file"
        )


def test_a_file_of_one_mebibyte_is_read_and_a_larger_one_is_not(tmp_path: Path) -> None:
    path = tmp_path / "saga.toml"
    path.write_text("sagas_open_max = 1\n".ljust(1 << 20, "#"))
    assert Settings.load({"SAGA_SETTINGS_FILE": str(path)}) == Settings(sagas_open_max=1)
    path.write_text("sagas_open_max = 1\n".ljust((1 << 20) + 1, "#"))
    assert refusal({"SAGA_SETTINGS_FILE": str(path)}) == (
        f"SAGA_SETTINGS_FILE: {str(path)!r} can not be read: it is larger than 1 MiB"
    )
