"""Text from files, made fit for a terminal: nothing in it can move the cursor, forge a line or hide a sign.

Names of files, metadata, names of codecs and the sentences of libraries are data: whoever made the file chose
them. Standard library only.
"""

# ruff: noqa: RUF001 (look-alike signs are the subject)

import codecs
import unicodedata

MAX_CELL = 2000  # characters of one value that are shown
# Joiners that scripts and emoji need; all other invisible format signs can reorder or hide what is read.
_HARMLESS_FORMAT = {"\u200c", "\u200d"}
_UNSAFE_KINDS = {"Cc", "Cf", "Cs", "Zl", "Zp"}  # controls, format signs, halves of pairs, line separators
_FORMULA = ("=", "+", "-", "@", "\uff1d", "\uff0b", "\uff0d", "\uff20")  # also as full-width signs
# What stands for a sign that the terminal's character set lacks. Bars become heights from 1 to 8.
_ASCII = {
    **{bar: str(height) for height, bar in enumerate("▁▂▃▄▅▆▇█", 1)},
    **dict.fromkeys("─━═╌┄╸╺", "-"),
    **dict.fromkeys("│┃║╎┆", "|"),
    **dict.fromkeys("┌┐└┘├┤┬┴┼┏┓┗┛┡┩╇╈┳┻╋┣┫╭╮╯╰╔╗╚╝╠╣╦╩╬", "+"),
    "°": " deg", "×": "x", "…": "...", "–": "-", "—": "-", "−": "-", "±": "+-", "≥": ">=", "≤": "<=",
    "‘": "'", "’": "'", "“": '"', "”": '"', "•": "*", "·": ".", "µ": "u", "²": "2", "→": "->",
}  # fmt: skip


def printable(text: str, keep: str = "") -> str:
    """Return `text` with every unsafe sign written out, such as \\x1b; a byte that is no UTF-8 as \\xe9.

    keep: control characters that stay, such as line breaks of a text of our own.
    """
    if text.isprintable():
        return text
    return "".join(sign if sign in keep or _is_safe(sign) else _written_out(sign) for sign in text)


def shortened(text: str, most: int = MAX_CELL) -> str:
    """Return at most `most` characters of `text`, and how many more there are."""
    return text if len(text) <= most else f"{text[:most]}... ({len(text) - most} more characters)"


def spreadsheet_cell(value: object) -> object:
    """Return a cell of a CSV table that a spreadsheet shows as it is, and never takes for a formula."""
    if not isinstance(value, str):
        return value
    text = printable(value, keep="\n")
    return f"'{text}" if value.lstrip().startswith(_FORMULA) or value.startswith(("\t", "\r")) else text


def encodable(text: str, encoding: str) -> str:
    """Return `text` with another sign for each one that `encoding` lacks, so that it can be written."""
    if text.isascii():
        return text
    try:
        return text.encode(encoding, _STAND_IN).decode(encoding)
    except LookupError:  # an encoding that Python does not know
        return text.encode("ascii", _STAND_IN).decode("ascii")


def _is_safe(sign: str) -> bool:
    return unicodedata.category(sign) not in _UNSAFE_KINDS or sign in _HARMLESS_FORMAT


def _written_out(sign: str) -> str:
    code = ord(sign)
    if 0xDC80 <= code <= 0xDCFF:  # how Python keeps a byte of a name that is no UTF-8
        return f"\\x{code - 0xDC00:02x}"
    return sign.encode("unicode_escape", "backslashreplace").decode("ascii")


def _stand_in(error: UnicodeError) -> tuple[str, int]:
    if not isinstance(error, UnicodeEncodeError):
        raise error
    lacking = error.object[error.start : error.end]
    return "".join(_ASCII.get(sign) or _plain(sign) for sign in lacking), error.end


def _plain(sign: str) -> str:
    """Return a letter without its accents, an unsafe sign written out, else a question mark."""
    if not _is_safe(sign):
        return _written_out(sign)
    return unicodedata.normalize("NFKD", sign).encode("ascii", "ignore").decode("ascii") or "?"


_STAND_IN = "asled-stand-in"
codecs.register_error(_STAND_IN, _stand_in)
