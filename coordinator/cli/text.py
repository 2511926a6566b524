"""Words for a terminal: text from elsewhere in one line, with nothing that commands it, and counts."""


def one_line(text: str) -> str:
    """*text* in one line. What does not print is shown as �: a participant's message moves no cursor."""
    line = " ".join(text.split())
    return line if line.isprintable() else "".join(char if char.isprintable() else "�" for char in line)


def cut(text: str, chars: int) -> str:
    """*text* in one line of at most *chars* characters."""
    line = one_line(text)
    return line if len(line) <= chars else line[: max(0, chars - 1)] + "…"


def counted(count: int, noun: str) -> str:
    """How many there are of what has its plural with an s: "no run", "1 run", "2,500 runs"."""
    return f"{count:,} {noun}{'s' * (count > 1)}" if count else f"no {noun}"
