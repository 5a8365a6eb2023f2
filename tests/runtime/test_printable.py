"""Text from files cannot act upon a terminal, and can be written in any character set."""

import os

import pytest

from asled_cli.runtime.printable import encodable, printable, shortened


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("a\x1b]0;owned\x07", r"a\x1b]0;owned\x07"),
        ("a\nerror: forged", r"a\nerror: forged"),
        ("a\r\tb\x7f", r"a\r\tb\x7f"),
        ("\x9b2J", r"\x9b2J"),  # a whole escape sequence in one C1 control
        ("\u202egpj.mp4", r"\u202egpj.mp4"),
        ("a\u2028b\u2066c\ufeff", r"a\u2028b\u2066c\ufeff"),
        (os.fsdecode(b"caf\xe9.mp4"), r"caf\xe9.mp4"),
        ("\U000e0041", r"\U000e0041"),  # an invisible tag
    ],
)
def test_unsafe_signs_are_written_out(text: str, shown: str) -> None:
    assert printable(text) == shown


@pytest.mark.parametrize(
    "text",
    ["walk.mp4", "Ünïcødé видео 夜", "👨\u200d👩\u200d👧.mp4", "\u0645\u06cc\u200c\u062e", "a [bold]b"],
)
def test_other_text_stays_as_it_is(text: str) -> None:
    assert printable(text) == text


def test_line_breaks_of_our_own_may_stay() -> None:
    assert printable("a\nb\x1b", keep="\n") == "a\nb\\x1b"


@pytest.mark.parametrize(
    "encoding", ["ascii", "cp1252", "latin-1", "utf-8", "utf-16", "cp932", "no-such-set"]
)
def test_every_character_set_can_write_it(encoding: str) -> None:
    text = "▁▄█ ┏━┓ 90° é видео 🎬 " + os.fsdecode(b"\xff")
    written = encodable(text, encoding)
    written.encode("ascii" if encoding == "no-such-set" else encoding)
    assert "\\xff" in written


def test_stand_ins_keep_the_meaning() -> None:
    assert encodable("▁▄█ ┏━┓ 90° é я", "ascii") == "148 +-+ 90 deg e ?"


def test_long_values_are_cut() -> None:
    assert shortened("x" * 50, 10) == "x" * 10 + "... (40 more characters)"
