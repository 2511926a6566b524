"""Pictures as SVG, written by hand: a chart of lines, and a flame graph."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from math import ceil, log10
from typing import Final
from xml.sax.saxutils import escape

Points = Sequence[tuple[int, float]]

WIDTH: Final = 900
HEIGHT: Final = 480
_LEFT: Final = 80
_RIGHT: Final = 260
_TOP: Final = 50
_BOTTOM: Final = 60
_COLOURS: Final = ("#1f6fb4", "#d1495b", "#2e8b57", "#e08e1b", "#7b4fa3", "#4a4a4a", "#17a2a2", "#a0522d")
_TICKS: Final = 5
_FRAME_HEIGHT: Final = 16
_CHARACTER: Final = 6.2
_SHARE_MIN: Final = 0.001
_WARM: Final = ("#e4572e", "#ec7a3c", "#f29e4c", "#f1c453", "#e9d985")


def chart(title: str, x_title: str, y_title: str, lines: Mapping[str, Points]) -> str:
    """A line for each of *lines*, over the values of x in equal steps; y from zero on."""
    places = sorted({x for points in lines.values() for x, _ in points})
    top = rounded_up(max(y for points in lines.values() for _, y in points))
    across, down = WIDTH - _LEFT - _RIGHT, HEIGHT - _TOP - _BOTTOM

    def at(x: int, y: float) -> tuple[float, float]:
        step = across / max(len(places) - 1, 1)
        return _LEFT + step * places.index(x), _TOP + down * (1 - y / top)

    parts = [_text(WIDTH / 2, 26, title, size=16, anchor="middle")]
    for tick in range(_TICKS + 1):
        _, y = at(places[0], top * tick / _TICKS)
        parts.append(f'<path d="M{_LEFT} {y:.1f}h{across}" stroke="#ddd"/>')
        parts.append(_text(_LEFT - 8, y + 4, f"{top * tick / _TICKS:,.6g}", anchor="end"))
    for place in places:
        x, y = at(place, 0)
        parts.append(_text(x, y + 20, f"{place}", anchor="middle"))
    parts.append(_text(_LEFT + across / 2, HEIGHT - 14, x_title, anchor="middle"))
    parts.append(_text(_LEFT, _TOP - 12, y_title, anchor="middle"))
    for number, (name, points) in enumerate(lines.items()):
        colour = _COLOURS[number % len(_COLOURS)]
        path = " ".join(f"{x:.1f},{y:.1f}" for x, y in (at(*point) for point in sorted(points)))
        parts.append(f'<polyline points="{path}" fill="none" stroke="{colour}" stroke-width="2"/>')
        parts += [
            f'<circle cx="{x:.1f}" cy="{y:.1f}" r="3" fill="{colour}"/>' for x, y in (at(*p) for p in points)
        ]
        parts.append(_text(WIDTH - _RIGHT + 16, _TOP + 10 + 20 * number, name, colour=colour))
    return _document(WIDTH, HEIGHT, parts)


def rounded_up(value: float) -> float:
    """The next larger 1, 2, 2.5 or 5 times a power of ten."""
    power: float = 10 ** (ceil(log10(value)) - 1) if value > 0 else 1.0
    return next(power * step for step in (1, 2, 2.5, 5, 10) if power * step >= value)


@dataclass(slots=True)
class Frame:
    """A function as it was called from the one above it."""

    name: str
    used_us: int = 0
    called: dict[str, "Frame"] = field(default_factory=dict)

    @property
    def depth(self) -> int:
        return 1 + max((frame.depth for frame in self.called.values()), default=0)


def flame_graph(title: str, stacks: Mapping[str, int]) -> str:
    """*stacks* are frames from the outermost on, with `;` between them, and the microseconds of each."""
    root = Frame("all")
    for stack, used_us in stacks.items():
        root.used_us += used_us
        frame = root
        for name in stack.split(";"):
            frame = frame.called.setdefault(name, Frame(name))
            frame.used_us += used_us
    parts = [_text(10, 20, f"{title}: {root.used_us / 1e6:.1f} s of CPU", size=14)]
    if root.used_us:
        parts += _drawn(root, root.used_us, 0.0, 0)
    return _document(1200, 40 + _FRAME_HEIGHT * root.depth, parts)


def _drawn(frame: Frame, total: int, left: float, level: int) -> Iterator[str]:
    share = frame.used_us / total
    if share < _SHARE_MIN:
        return
    x, y, width = 10 + 1180 * left, 32 + _FRAME_HEIGHT * level, 1180 * share
    colour = _WARM[sum(map(ord, frame.name)) % len(_WARM)]
    fits = int(width / _CHARACTER)
    shown = frame.name if len(frame.name) <= fits else frame.name[: max(fits - 1, 0)] + "…"
    label = _text(x + 3, y + 12, shown, size=10) if fits > 3 else ""
    yield (
        f"<g><title>{escape(frame.name)}: {100 * share:.1f} %</title>"
        f'<rect x="{x:.1f}" y="{y}" width="{width:.1f}" height="{_FRAME_HEIGHT - 1}" fill="{colour}"/>'
        f"{label}</g>"
    )
    for called in sorted(frame.called.values(), key=lambda each: -each.used_us):
        yield from _drawn(called, total, left, level + 1)
        left += called.used_us / total


def _text(
    x: float, y: float, text: str, *, size: int = 12, anchor: str = "start", colour: str = "#222"
) -> str:
    place = f'x="{x:.1f}" y="{y:.1f}" font-size="{size}" text-anchor="{anchor}" fill="{colour}"'
    return f"<text {place}>{escape(text)}</text>"


def _document(width: int, height: int, parts: Sequence[str]) -> str:
    size = f'width="{width}" height="{height}" viewBox="0 0 {width} {height}"'
    opening = f'<svg xmlns="http://www.w3.org/2000/svg" {size} font-family="sans-serif">'
    return "\n".join(
        [opening, f'<rect width="{width}" height="{height}" fill="#fff"/>', *parts, "</svg>", ""]
    )
