"""Text from elsewhere as it may be shown on a terminal: one line, and nothing that commands the terminal."""


def one_line(text: str) -> str:
    """*text* in one line. What does not print is shown as �: a participant's message moves no cursor."""
    line = " ".join(text.split())
    return line if line.isprintable() else "".join(char if char.isprintable() else "�" for char in line)


def cut(text: str, chars: int) -> str:
    """*text* in one line of at most *chars* characters."""
    line = one_line(text)
    return line if len(line) <= chars else line[: max(0, chars - 1)] + "…"
