"""Names of files, and texts inside them, that are made to mislead: all bytes that a disk takes."""

import random

from factories.fuzzing.corpus import MARK

STEMS = (
    b"-o", b"--help", b"--overwrite", b"a:b", b"file:clip", b"http:clip", b"concat:a|b", b"C:clip",
    b"data:,x", b"%d", b"%03d", b"%s%n%p", b"%", b"$(touch hacked)", b"`id`", b"a;b&c|d", b"'quoted\"",
    b"*?[a]", b"{a,b}", b"\x1b[31mred\x1b[0m", b"\x1b]0;title\x07", b"\x07\x08\x7f", b"line\nbreak",
    b"cr\rback", b"tab\there", b"\xff\xfe", b"caf\xe9", b"\xed\xa0\x80", b"\xc3\x28",
    "\u202egnp.4pm".encode(), "\u2028".encode(), "e\u0301\u0301\u0301".encode(), "\U0001f3a5".encode(),
    "\ufeffmark".encode(), b" lead", b"trail ", b".", b"...", b"=1+1", b"@SUM(A1)", b"+1", b"~",
    b"~root", b"#x", b"!x", b"\\", b"a\\b", b"CON", b"NUL", b"<tag>", b"a,b", b"[bold]rich",
    b"[red]", b"n" * 230, b"\xc3\xa9" * 115,
)  # fmt: skip
TEXTS = (
    b"\x1b[2J\x1b[H\x1b]0;owned\x07", b"\x9b31m", b"\r\n[error] done\r", b"\xff\xfe\xfd\xc0\xaf\xed\xa0\x80",
    "\u202e\u2066\u2069\u200b\ufeff".encode(), b"%s%n%d%x", b"[red]x[/red][/]", b"=cmd|' /C calc'!A0",
    b"../../../../etc/passwd", b"file:///etc/passwd", b"\x7f\x08\x08\x08", b"{0}{x!r}{", b"nan inf -inf",
    b"9" * 24, b"<script>", b"\xf0\x9f\x8e\xa5" * 3,
)  # fmt: skip
PLACES = (b"Maker", b"Phone 1", b"one", b"Hello", b"wide world", b"Mikrofon", b"deu", b"eng", b"VideoHandler")


def hostile_stem(draw: random.Random) -> bytes:
    """Return the name of a file without its suffix."""
    return draw.choice(STEMS)


def hostile_text(data: bytearray, draw: random.Random) -> bytearray:
    """Put other words into titles, makers, chapters, languages and subtitles, of the same length."""
    places = draw.sample((MARK.encode(), *PLACES), 3)
    for place in [MARK.encode(), *places]:
        words = draw.choice(TEXTS)
        data = data.replace(place, (words * (1 + len(place) // len(words)))[: len(place)])
    return data
