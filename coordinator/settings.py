"""What the coordinator is told at its start: flags of `saga serve`, `SAGA_*` variables, or a TOML file
that `--settings-file` or `SAGA_SETTINGS_FILE` names, with the same names in small letters and without
`SAGA_`. A flag wins over a variable, a variable over the file, the file over the default. No error
quotes a value: a secret may stand where it does not belong.
"""

import difflib
import os
import re
import stat
import tomllib
from collections.abc import Iterable, Mapping, Sequence
from types import MappingProxyType
from typing import Annotated, Final, Literal, Self

from pydantic import (
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    PlainSerializer,
    ValidationError,
)
from pydantic.fields import FieldInfo

from coordinator.domain import jsontext
from coordinator.domain.errors import InvalidJson, StartupFailed
from coordinator.domain.language import durations
from coordinator.domain.language.relations import NAME
from coordinator.domain.language.sentences import fault, sentences

PREFIX: Final = "SAGA_"
SETTINGS_FILE: Final = "SAGA_SETTINGS_FILE"
# The command line reads them; whoever exports them in a shell may start a coordinator from it, too.
CLIENT_VARIABLES: Final = frozenset({"SAGA_ADDRESS", "SAGA_ACTOR"})

_MIB: Final = 1 << 20
_FILE_BYTES_MAX: Final = _MIB
_TARGET: Final = 'a gRPC target such as "127.0.0.1:50061", "dns:///orders:50061" or "unix:/run/orders.sock"'
_SERVICES: Final = f"a JSON object of service names, each with {_TARGET}"


def _setting_name(field_name: str) -> str:
    """In code a name ends with what it is; where people write it, the value shows that."""
    return re.sub("_(s|path|dir)$", "", field_name)


def _read_duration(value: object) -> float:
    if isinstance(value, str) and not _NUMBER.fullmatch(value):
        return durations.parse_duration(value)
    if isinstance(value, bool) or not isinstance(value, str | int | float):
        raise ValueError(durations.EXPECTED)
    return durations.check_duration(float(value))


def _read_size(value: object) -> object:
    match = _SIZE.fullmatch(value) if isinstance(value, str) else None
    return int(match[1]) << _SHIFT[match[2]] if match else _read_count(value)


def _read_count(value: object) -> object:
    return int(value) if isinstance(value, str) and _WHOLE.fullmatch(value) else value


def _write_size(size: int) -> str:
    for unit, shift in reversed(_SHIFT.items()):
        if size and size % (1 << shift) == 0:
            return f"{size >> shift}{unit}"
    return f"{size}B"


def _read_listen(value: object) -> object:
    if not isinstance(value, str) or _UNIX.match(value):
        return value
    address = _HOST_AND_PORT.fullmatch(value)
    if address is None or int(address[1]) > _PORT_MAX:
        raise ValueError
    return value


def _read_http_listen(value: object) -> object:
    if value == "":
        return value
    if isinstance(value, str) and not _UNIX.match(value):
        return _read_listen(value)
    raise ValueError


def _read_services(value: object) -> object:
    if isinstance(value, str):
        try:
            value = jsontext.loads(value)
        except InvalidJson as error:
            raise fault(f"expected {_SERVICES}; {error}") from None
    if not isinstance(value, Mapping):
        raise fault(f"expected {_SERVICES}")
    for service, target in value.items():
        if not isinstance(service, str) or not re.fullmatch(NAME, service):
            raise fault(f"expected {_SERVICES}; {jsontext.shown_key(str(service))} is no name")
        if not _is_target(target):
            raise fault(f"expected {_TARGET} for {service}")
    return dict(value)


def _is_target(target: object) -> bool:
    """Whether it may be one. A name without a port would be called on port 443: a mistake here."""
    if not isinstance(target, str) or not target.isprintable() or " " in target:
        return False
    if _SCHEME.match(target):
        return True
    address = _HOST_AND_PORT.fullmatch(target)
    return address is not None and 0 < int(address[1]) <= _PORT_MAX


def _read_level(value: object) -> object:
    return value.upper() if isinstance(value, str) else value


_Text = Annotated[str, Field(strict=True, min_length=1, pattern="^[^\0]+$")]
_Duration = Annotated[
    float,
    BeforeValidator(_read_duration),
    PlainSerializer(durations.format_duration, return_type=str),
]
_Count = Annotated[int, Field(strict=True), BeforeValidator(_read_count)]
_Size = Annotated[
    int,
    Field(strict=True),
    BeforeValidator(_read_size),
    PlainSerializer(_write_size, return_type=str),
]
_Services = Annotated[
    Mapping[str, str],
    BeforeValidator(_read_services),
    PlainSerializer(lambda services: jsontext.canonical(dict(services)), return_type=str),
]
_Level = Annotated[Literal["DEBUG", "INFO", "WARNING", "ERROR", "CRITICAL"], BeforeValidator(_read_level)]
_LogFormat = Literal["auto", "json", "text"]
_SECONDS: Final = f"seconds, or {durations.EXPECTED}"


class Settings(BaseModel):
    """Every setting with its default. A secret one is a SecretStr, which masks itself.

    A field's title says what the setting does, its description what is expected of a value: help texts,
    error messages and the README's table are made of them.
    """

    model_config = ConfigDict(
        frozen=True,
        extra="forbid",
        alias_generator=_setting_name,
        validate_by_alias=True,
        validate_by_name=True,
    )

    listen: Annotated[_Text, BeforeValidator(_read_listen)] = Field(
        "127.0.0.1:50051",
        title="where to serve",
        description='an address to serve on, such as "127.0.0.1:50051", "[::]:50051" or '
        '"unix:/run/saga.sock"; port 0 is any free one',
    )
    http_listen: Annotated[str, Field(strict=True), BeforeValidator(_read_http_listen)] = Field(
        "",
        title="where to serve metrics and probes over HTTP",
        description='an address for /metrics, /healthz and /readyz, such as "127.0.0.1:9464"; empty: none',
    )
    journal_path: _Text = Field(
        "saga-journal.sqlite3",
        title="the journal; one process at a time",
        description="the path of the journal file",
    )
    definitions_dir: _Text = Field(
        "definitions", title="the sagas that can be started", description="the path of the definitions folder"
    )
    services: _Services = Field(
        {},
        title="where each service is: any gRPC target, `round_robin` over its addresses",
        description=_SERVICES,
    )
    place_order_saga: Annotated[str, Field(strict=True, pattern=f"^{NAME}$")] = Field(
        "PlaceOrder",
        title="what PlaceOrder runs",
        description="the sagaName of the definition that PlaceOrder runs",
    )
    wait_max_s: _Duration = Field(
        60.0, title="how long a caller is kept waiting for an undecided saga", description=_SECONDS
    )
    sagas_open_max: Annotated[_Count, Field(ge=1, le=1_000_000)] = Field(
        10_000,
        title="beyond it, new sagas are refused at once (RESOURCE_EXHAUSTED)",
        description="a whole number from 1 to 1000000",
    )
    # Fewer would cost a busy coordinator: a step that waits for a slot begins in a write of its own. Of more,
    # the last ones would run out of time while they wait in a service that does not keep up.
    calls_per_service_max: Annotated[_Count, Field(ge=1, le=100_000)] = Field(
        256,
        title="calls in flight to one service; a slow one delays only its own steps",
        description="a whole number from 1 to 100000",
    )
    message_bytes_max: Annotated[_Size, Field(ge=2 * _MIB, le=1024 * _MIB)] = Field(
        4 * _MIB,
        title="the largest gRPC message, in and out",
        description='a number of bytes from 2MiB to 1GiB, such as "4MiB"',
    )
    drain_grace_s: _Duration = Field(
        10.0, title="how long a stop waits for calls in flight", description=_SECONDS
    )
    disk_free_min_bytes: Annotated[_Size, Field(ge=0, le=1 << 60)] = Field(
        64 * _MIB,
        title="below it, new sagas are refused; open ones go on",
        description='a number of bytes, such as "64MiB"',
    )
    log_level: _Level = Field(
        "INFO",
        title="INFO tells starts, ends and what is unusual, DEBUG every move",
        description="DEBUG, INFO, WARNING, ERROR or CRITICAL",
    )
    log_format: _LogFormat = Field(
        "auto",
        title="auto: readable where stderr is a terminal, JSON lines elsewhere",
        description="auto, json or text",
    )

    @classmethod
    def load(cls, environ: Mapping[str, str], flags: Mapping[str, object] = MappingProxyType({})) -> Self:
        """Read *flags* (by setting, only those that are given), the variables, and the file that they name.

        Raises:
            StartupFailed: names every setting that is wrong, and what was expected.
        """
        variables = _variables(environ, [*cls.names(), _FILE])
        given = {**variables, **flags}
        label = {name: PREFIX + name.upper() for name in variables} | {name: flag_of(name) for name in flags}
        path = given.pop(_FILE, None)
        if path is not None:
            from_file = _file(str(path), label[_FILE], cls.names())
            given = {**from_file, **given}
            label = {name: f"{name} in {str(path)!r}" for name in from_file} | label
        try:
            return cls.model_validate(given, by_alias=True, by_name=False)
        except ValidationError as error:
            wrong = [
                f"{label[str(loc[0])]}: {sentence}" for loc, sentence in sentences(cls, error, quoting=False)
            ]
        raise StartupFailed("; ".join(wrong))

    def describe(self) -> dict[str, str]:
        """Every setting by its variable, as it may be printed: secrets are masked."""
        shown = self.model_dump(mode="json", by_alias=True)
        return {PREFIX + name.upper(): str(value) for name, value in shown.items()}

    @classmethod
    def names(cls) -> list[str]:
        """The settings as people write them."""
        return list(cls.fields())

    @classmethod
    def fields(cls) -> dict[str, FieldInfo]:
        """Every setting by the name that people write."""
        return {field.alias or name: field for name, field in cls.model_fields.items()}


def flag_of(name: str) -> str:
    """The flag of `saga serve` that gives this setting."""
    return "--" + name.replace("_", "-")


def _variables(environ: Mapping[str, str], known: Sequence[str]) -> dict[str, str]:
    """What is given, by setting."""
    names = {PREFIX + name.upper(): name for name in known}
    given = {}
    for variable, value in environ.items():
        if variable in names:
            given[names[variable]] = value
        elif variable.startswith(PREFIX) and not _is_for_others(variable, value):
            raise StartupFailed(
                f"{variable} is not a setting; the nearest one is {_nearest(variable, names)}"
            )
    return given


def _is_for_others(variable: str, value: str) -> bool:
    return variable in CLIENT_VARIABLES or _is_service_link(variable, value)


def _is_service_link(variable: str, value: str) -> bool:
    """Kubernetes gives every pod variables about a Service, also about one that is called saga."""
    return bool(_LINK_PART.search(variable) or (_LINK.search(variable) and _URL.match(value)))


def _file(path: str, named_by: str, known: Sequence[str]) -> dict[str, object]:
    try:
        values: dict[str, object] = tomllib.loads(_text(path))
    except OSError as error:
        raise _unreadable(named_by, path, error.strerror or "it can not be opened") from None
    except (ValueError, RecursionError) as error:
        place = _PLACE.search(str(error))
        reason = "it is not TOML" + (f" {place[0]}" if place else "")
        raise _unreadable(named_by, path, reason) from None
    for name in values:
        if name not in known:
            wrong = f"{jsontext.shown_key(name)} in {path!r} is not a setting"
            nearest = _nearest(name.lower().removeprefix(PREFIX.lower()), known)
            raise StartupFailed(f"{wrong}; the nearest one is {nearest}")
    return values


def _text(path: str) -> str:
    """What stands in a file. A device may have no end, and a pipe nobody who writes."""
    with open(path, "rb", opener=_without_waiting) as file:
        if not stat.S_ISREG(os.fstat(file.fileno()).st_mode):
            raise OSError(0, "it is no regular file")
        text = file.read(_FILE_BYTES_MAX + 1)
    if len(text) > _FILE_BYTES_MAX:
        raise OSError(0, "it is larger than 1 MiB")
    return text.decode()


def _without_waiting(path: str, flags: int) -> int:
    return os.open(path, flags | os.O_NONBLOCK)


def _unreadable(named_by: str, path: str, reason: str) -> StartupFailed:
    return StartupFailed(f"{named_by}: {path!r} can not be read: {reason}")


def _nearest(name: str, known: Iterable[str]) -> str:
    return difflib.get_close_matches(name, list(known), n=1, cutoff=0.0)[0]


_FILE: Final = SETTINGS_FILE.removeprefix(PREFIX).lower()
_PORT_MAX: Final = 65_535
_SHIFT: Final = {"B": 0, "KiB": 10, "MiB": 20, "GiB": 30}
_NUMBER: Final = re.compile(r"[0-9]{1,12}(?:\.[0-9]{1,12})?")
_WHOLE: Final = re.compile(r"[0-9]{1,18}")
_SIZE: Final = re.compile(r"([0-9]{1,12}) ?(B|KiB|MiB|GiB)")
_HOST_AND_PORT: Final = re.compile(r"(?:[A-Za-z0-9_.-]+|\[[0-9A-Fa-f:.%a-z]+\]):([0-9]{1,5})")
_UNIX: Final = re.compile(r"unix:.")
_SCHEME: Final = re.compile(r"(?:dns|unix|unix-abstract|ipv4|ipv6|vsock|xds):.")
_PLACE: Final = re.compile(r"at line \d+, column \d+")
_URL: Final = re.compile(r"(?:tcp|udp|sctp)://")
_LINK: Final = re.compile(r"_PORT(?:_\d+_(?:TCP|UDP|SCTP))?$")
_LINK_PART: Final = re.compile(
    r"_SERVICE_(?:HOST|PORT)(?:_|$)|_PORT_\d+_(?:TCP|UDP|SCTP)_(?:PROTO|PORT|ADDR)$"
)
