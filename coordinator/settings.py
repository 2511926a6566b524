"""What the coordinator is told at its start: `SAGA_*` variables, or a TOML file that
`SAGA_SETTINGS_FILE` names, with the same names in small letters and without `SAGA_`. A variable wins
over the file. No error quotes a value: a secret may stand where it does not belong.
"""

import difflib
import re
import tomllib
from collections.abc import Iterable, Mapping
from typing import Annotated, Final, Literal, Self

from pydantic import (
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    PlainSerializer,
    ValidationError,
)

from coordinator.domain import durations, jsontext
from coordinator.domain.errors import InvalidJson, StartupFailed
from coordinator.domain.relations import NAME
from coordinator.domain.sentences import Loc, fault, sentences

PREFIX: Final = "SAGA_"
SETTINGS_FILE: Final = "SAGA_SETTINGS_FILE"

_KIB: Final = 1 << 10
_MIB: Final = 1 << 20
_TARGET: Final = 'a gRPC target such as "127.0.0.1:50061", "dns:///orders:50061" or "unix:/run/orders.sock"'
_SERVICES: Final = f"service names, each with {_TARGET}"


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
            raise fault(f"expected a JSON object of {_SERVICES}; {error}") from None
    if not isinstance(value, Mapping):
        raise fault(f"expected a JSON object of {_SERVICES}")
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
_SECONDS: Final = f"seconds, or {durations.EXPECTED}"


class Settings(BaseModel):
    """Every setting with its default. A secret one is a SecretStr, which masks itself."""

    model_config = ConfigDict(
        frozen=True,
        extra="forbid",
        alias_generator=_setting_name,
        validate_by_alias=True,
        validate_by_name=True,
    )

    listen: Annotated[_Text, BeforeValidator(_read_listen)] = Field(
        "127.0.0.1:50051",
        description='an address to serve on, such as "127.0.0.1:50051", "[::]:50051" or '
        '"unix:/run/saga.sock"; port 0 is any free one',
    )
    http_listen: Annotated[str, Field(strict=True), BeforeValidator(_read_http_listen)] = Field(
        "",
        description='an address for /metrics, /healthz and /readyz, such as "127.0.0.1:9464"; empty: none',
    )
    journal_path: _Text = Field("saga-journal.sqlite3", description="the path of the journal file")
    definitions_dir: _Text = Field("definitions", description="the path of the definitions folder")
    services: _Services = Field({}, description=_SERVICES)
    place_order_saga: Annotated[str, Field(strict=True, pattern=f"^{NAME}$")] = Field(
        "PlaceOrder", description="the sagaName of the definition that PlaceOrder runs"
    )
    wait_max_s: _Duration = Field(60.0, description=_SECONDS)
    sagas_open_max: Annotated[_Count, Field(ge=1, le=1_000_000)] = Field(
        10_000, description="a whole number from 1 to 1000000"
    )
    calls_per_service_max: Annotated[_Count, Field(ge=1, le=100_000)] = Field(
        128, description="a whole number from 1 to 100000"
    )
    message_bytes_max: Annotated[_Size, Field(ge=2 * _MIB, le=1024 * _MIB)] = Field(
        4 * _MIB, description='a number of bytes from 2MiB to 1GiB, such as "4MiB"'
    )
    drain_grace_s: _Duration = Field(10.0, description=_SECONDS)
    disk_free_min_bytes: Annotated[_Size, Field(ge=0, le=1 << 60)] = Field(
        64 * _MIB, description='a number of bytes, such as "64MiB"'
    )
    log_level: _Level = Field("INFO", description="DEBUG, INFO, WARNING, ERROR or CRITICAL")

    @classmethod
    def load(cls, environ: Mapping[str, str]) -> Self:
        """Read the variables, and the file that they may name.

        Raises:
            StartupFailed: names every setting that is wrong, and what was expected.
        """
        known = {PREFIX + name.upper(): name for name in cls._names()}
        given = _variables(environ, known)
        path = given.pop(SETTINGS_FILE, None)
        from_file = {} if path is None else _file(path, cls._names())
        from_environ = {known[variable]: value for variable, value in given.items()}
        try:
            return cls.model_validate({**from_file, **from_environ}, by_alias=True, by_name=False)
        except ValidationError as error:
            wrong = [
                f"{_where(loc, from_environ, path)}: {sentence}"
                for loc, sentence in sentences(cls, error, quoting=False)
            ]
        raise StartupFailed("; ".join(wrong))

    def describe(self) -> dict[str, str]:
        """Every setting by its variable, as it may be printed: secrets are masked."""
        shown = self.model_dump(mode="json", by_alias=True)
        return {PREFIX + name.upper(): str(value) for name, value in shown.items()}

    @classmethod
    def _names(cls) -> list[str]:
        return [field.alias or name for name, field in cls.model_fields.items()]


def _variables(environ: Mapping[str, str], known: Iterable[str]) -> dict[str, str]:
    given = {}
    for variable, value in environ.items():
        if variable in known or variable == SETTINGS_FILE:
            given[variable] = value
        elif variable.startswith(PREFIX) and not _is_service_link(variable, value):
            nearest = _nearest(variable, (*known, SETTINGS_FILE))
            raise StartupFailed(f"{variable} is not a setting; the nearest one is {nearest}")
    return given


def _is_service_link(variable: str, value: str) -> bool:
    """Kubernetes gives every pod variables about a Service, also about one that is called saga."""
    return bool(_LINK_PART.search(variable) or (_LINK.search(variable) and _URL.match(value)))


def _file(path: str, known: Iterable[str]) -> dict[str, object]:
    try:
        with open(path, "rb") as file:
            values: dict[str, object] = tomllib.load(file)
    except OSError as error:
        raise _unreadable(path, error.strerror or "it can not be opened") from None
    except ValueError as error:
        place = _PLACE.search(str(error))
        reason = "it is not TOML" + (f" {place[0]}" if place else "")
        raise _unreadable(path, reason) from None
    for name in values:
        if name not in known:
            wrong = f"{jsontext.shown_key(name)} in {path!r} is not a setting"
            nearest = _nearest(name.lower().removeprefix(PREFIX.lower()), known)
            raise StartupFailed(f"{wrong}; the nearest one is {nearest}")
    return values


def _unreadable(path: str, reason: str) -> StartupFailed:
    return StartupFailed(f"{SETTINGS_FILE}: {path!r} can not be read: {reason}")


def _nearest(name: str, known: Iterable[str]) -> str:
    return difflib.get_close_matches(name, list(known), n=1, cutoff=0.0)[0]


def _where(loc: Loc, from_environ: Mapping[str, str], path: str | None) -> str:
    name = str(loc[0])
    return PREFIX + name.upper() if name in from_environ else f"{name} in {path!r}"


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
