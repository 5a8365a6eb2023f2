"""Bits of H.265 syntax: fixed-width numbers, Exp-Golomb codes, and bytes that prevent start codes.

Source: ITU-T H.265, 7.4.2 (emulation prevention) and 9.2 (Exp-Golomb codes).
"""

from collections.abc import Iterator


class BitWriter:
    """Bits in order of writing, as text of 0 and 1."""

    def __init__(self, bits: str = "") -> None:
        self.bits = bits

    def raw(self, bits: str) -> None:
        """Append bits as they are."""
        self.bits += bits

    def fixed(self, count: int, *values: int) -> None:
        """Append numbers of `count` bits each."""
        self.bits += "".join(f"{value:0{count}b}" for value in values)

    def golomb(self, *values: int) -> None:
        """Append unsigned Exp-Golomb codes."""
        codes = (f"{value + 1:b}" for value in values)
        self.bits += "".join("0" * (len(code) - 1) + code for code in codes)

    def fill(self, bit: str) -> None:
        """Append `bit` up to the next whole byte."""
        self.bits += bit * (-len(self.bits) % 8)

    def end(self) -> bytes:
        """Return all bytes, after the stop bit and zeros that end a payload."""
        self.raw("1")
        self.fill("0")
        return bytes(int(self.bits[at : at + 8], 2) for at in range(0, len(self.bits), 8))


def bits_of(data: bytes) -> str:
    """Return bytes as text of 0 and 1."""
    return "".join(f"{byte:08b}" for byte in data)


def protected(payload: bytes) -> bytes:
    """Return a payload with a 3 wherever it would form a start code."""
    return bytes(_protected(payload))


def _protected(payload: bytes) -> Iterator[int]:
    zeros = 0
    for byte in payload:
        if zeros >= 2 and byte <= 3:
            yield 3
            zeros = 0
        yield byte
        zeros = 0 if byte else zeros + 1


def unprotected(payload: bytes) -> bytes:
    """Return a payload without the bytes that `protected` adds."""
    return payload.replace(b"\0\0\3", b"\0\0")
