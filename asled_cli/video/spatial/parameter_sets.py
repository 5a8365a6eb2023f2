"""The parameter set and the message that make one stream of two views, each coded without the other.

Layout: ITU-T H.265 (V10), F.7.3.2.1 (extension of the video parameter set), G.14.2.3 (3D displays).
"""

from collections.abc import Sequence

from asled_cli.video.frames import StereoInfo
from asled_cli.video.spatial.bits import BitWriter, bits_of, protected, unprotected
from asled_cli.video.spatial.nal_units import PREFIX_SEI, VPS, kind_of

_BUFFERED = 6  # pictures of each layer; the encoder is set to fewer
_DISPLAYS_INFO = 176  # payload type of the message about 3D reference displays
_PROFILE_BITS = slice(32, 128)  # of the general profile, tier and level in a video parameter set
_LEVEL_BITS = slice(88, 96)  # in these


def two_view_vps(vps: bytes, size: tuple[int, int], bit_depth: int) -> bytes:
    """Return the video parameter set of two independent views, the second one on layer 1.

    vps: of an encoder with one view. size: (width, height) of either view; 4:2:0.
    """
    profile = bits_of(unprotected(vps[2:]))[_PROFILE_BITS]
    out = BitWriter()
    out.raw("000011")  # id 0, base layer inside and available
    out.fixed(6, 1)  # two layers
    out.raw("0001")  # one temporal sublayer, nested
    out.fixed(16, 0xFFFF)
    out.raw(profile + "1")
    out.golomb(_BUFFERED - 1, 0, 0)
    out.fixed(6, 1)  # highest layer
    out.golomb(1)
    out.raw("1101")  # the second set holds both layers; no timing; an extension
    out.fill("1")
    _extend(out, profile, size, bit_depth)
    return bytes([VPS << 1, 1]) + protected(out.end())


def _extend(out: BitWriter, profile: str, size: tuple[int, int], bit_depth: int) -> None:
    """Append the extension of the video parameter set: layers, views, their size and their buffers."""
    out.raw(profile[_LEVEL_BITS] + "0")
    out.raw("01" + "0" * 14 + "000")  # layers differ in their view order, a number of one bit
    out.raw("1")
    out.fixed(6, 1)  # the second layer is layer 1
    out.raw("1")  # and view order 1
    out.fixed(4, 1)
    out.raw("01")  # ids of the views: 0 and 1
    out.raw("0")  # no layer depends on the other
    out.golomb(0)
    out.raw("000")
    out.golomb(1)  # two profiles, the second one as above
    out.golomb(0)
    out.raw("0011")  # every layer is shown
    out.golomb(0)
    out.fixed(16, *size)
    out.raw("101")  # 4:2:0
    out.fixed(4, bit_depth - 8, bit_depth - 8)
    out.raw("01010")  # one active reference at most, orders counted as in the base layer
    out.golomb(_BUFFERED - 1, _BUFFERED - 1, 0, 0)
    out.golomb(0)
    out.raw("100")
    out.golomb(0)
    out.raw("00")


def displays_message(stereo: StereoInfo, source: Sequence[bytes]) -> bytes | None:
    """Return the message that says which view is for which eye; None where the source does not say it.

    source: NAL units of the source's `hvcC` box, of which the message is taken if it is there.
    """
    for unit in source:
        if kind_of(unit) == PREFIX_SEI and len(unit) > 4 and unit[2] == _DISPLAYS_INFO:
            return unit
    if set(stereo.eyes) != {"left", "right"}:
        return None
    left, right = stereo.eyes.index("left"), stereo.eyes.index("right")
    out = BitWriter()
    out.golomb(31)  # precision of the display's width
    out.raw("0")
    out.golomb(0, left, right)
    out.fixed(6, 0)  # the width: 1 unit
    out.fixed(31, 1 << 23)
    out.raw("00")
    payload = out.end() if len(out.bits) % 8 else _whole(out)
    return bytes([PREFIX_SEI << 1, 1]) + protected(bytes([_DISPLAYS_INFO, len(payload)]) + payload + b"\x80")


def _whole(out: BitWriter) -> bytes:
    return bytes(int(out.bits[at : at + 8], 2) for at in range(0, len(out.bits), 8))
