"""Texts that change a terminal, a report or a program that prints them, and what must be left of them."""

# name: (text, how it is printed)
HOSTILE = {
    "colours": ("\x1b[31;1mred\x1b[0m", "red"),
    "colours in eight bits": ("\x9b31mred", "red"),
    "a cleared screen": ("\x1b[2J\x1b[Hgone", "gone"),
    "a link": ("\x1b]8;;http://example.org\x1b\\click\x1b]8;;\x1b\\", "click"),
    "a title": ("\x1b]0;title\x07text", "text"),
    "a question to the terminal": ("\x1bP$qm\x1b\\asked", "asked"),
    "a title in eight bits": ("\x9d0;title\x9ctext", "text"),
    "a reset": ("\x1bctext", "text"),
    "another character set": ("\x1b(0text", "text"),
    "a bell and a backspace": ("te\x07x\x08t\x7f", "text"),
    "right to left": ("\u202egnp.exe\u2066", "gnp.exe"),
    "of no width": ("te\u200bx\u2060t\ufeff", "text"),
    "two lines": ("one\r\ntwo", "one two"),
    "a line separator": ("one\u2028two\u2029three\x85four", "one two three four"),
    "markup": ("[bold]x[/bold] [link=http://e]y[/link] [/]", "[bold]x[/bold] [link=http://e]y[/link] [/]"),
    "an emoji's name": (":smile:", ":smile:"),
    "a byte that is no text": ("a\udcffb", "a\ufffdb"),
    # The last one: in a list, it would take what follows up to another control character.
    "a command that does not end": ("\x1b]0;what to do", "0;what to do"),
}


def changes_a_terminal(text):
    """The characters of a printed text that do more than appear, by their code points; line ends are allowed."""
    ranges = [(0, 9), (11, 31), (0x7F, 0x9F), (0x200B, 0x200F), (0x2028, 0x202E), (0x2060, 0x2069), (0xD800, 0xDFFF)]
    ranges.append((0xFEFF, 0xFEFF))
    return [character for character in text if any(low <= ord(character) <= high for low, high in ranges)]
