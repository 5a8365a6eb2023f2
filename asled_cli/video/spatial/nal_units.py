"""NAL units of H.265: in packets of a movie, in Annex B streams, and in the boxes `hvcC` and `lhvC`.

Layout: ITU-T H.265, 7.3.1; ISO/IEC 14496-15, 8.3.2.1 (`hvcC`) and 9.6.3 (`lhvC`).
"""

from collections.abc import Iterable, Iterator, Sequence

VPS, SPS, PPS, PREFIX_SEI = 32, 33, 34, 39
FIRST_KEYFRAME, LAST_KEYFRAME = 16, 23  # types of intra random access pictures
START_CODE = b"\0\0\0\1"
MAX_UNITS = 4096  # in one packet
_HVCC_HEAD, _LHVC_HEAD = 22, 5  # bytes before the number of arrays


def kind_of(unit: bytes) -> int:
    """Return the type of a NAL unit."""
    return unit[0] >> 1 & 63


def layer_of(unit: bytes) -> int:
    """Return the layer of a NAL unit, 0 for the main view."""
    return int.from_bytes(unit[:2], "big") >> 3 & 63


def on_layer(unit: bytes, layer: int) -> bytes:
    """Return the NAL unit moved to another layer."""
    head = int.from_bytes(unit[:2], "big") & ~(63 << 3) | layer << 3
    return head.to_bytes(2, "big") + unit[2:]


def units_in(packet: bytes) -> Iterator[bytes]:
    """Yield the NAL units of a packet in which each is preceded by its length in four bytes.

    Stops at the first one that does not fit.
    """
    at = 0
    for _ in range(MAX_UNITS):
        size = int.from_bytes(packet[at : at + 4], "big")
        if size < 2 or at + 4 + size > len(packet):
            return
        yield packet[at + 4 : at + 4 + size]
        at += 4 + size


def has_layer(packet: bytes, layer: int) -> bool:
    """Return whether a packet of a movie, or of a byte stream, holds a picture of this layer."""
    units = list(units_in(packet))
    if sum(4 + len(unit) for unit in units) != len(packet):  # a start code may look like a length
        units = packet.split(START_CODE[1:])
    return any(len(unit) > 1 and kind_of(unit) < VPS and layer_of(unit) == layer for unit in units)


def annex_b(units: Iterable[bytes]) -> bytes:
    """Return NAL units as a byte stream with start codes."""
    return b"".join(START_CODE + unit for unit in units)


def parameter_sets(box: bytes, *, layered: bool = False) -> list[bytes]:
    """Return the NAL units in the body of `hvcC`, or of `lhvC` if `layered`; fewer if it is damaged."""
    at = _LHVC_HEAD if layered else _HVCC_HEAD
    units: list[bytes] = []
    arrays = box[at] if len(box) > at else 0
    at += 1
    for _ in range(arrays):
        count = int.from_bytes(box[at + 1 : at + 3], "big")
        at += 3
        for _ in range(count):
            size = int.from_bytes(box[at : at + 2], "big")
            if size < 2 or at + 2 + size > len(box):
                return units
            units.append(box[at + 2 : at + 2 + size])
            at += 2 + size
    return units


def with_parameter_sets(box: bytes, units: Sequence[bytes]) -> bytes:
    """Return the body of an `hvcC` box with these NAL units in place of its own."""
    return box[:_HVCC_HEAD] + _arrays(units)


def layered_box(box: bytes, units: Sequence[bytes]) -> bytes:
    """Return the body of the `lhvC` box for the NAL units of layer 1. box: the body of the `hvcC` box."""
    length_bits = box[21] & 0x3B | 0xC0  # temporal layers and size of lengths as in `hvcC`
    return bytes([1, 0xF0, 0, 0xFC, length_bits]) + _arrays(units)


def _arrays(units: Sequence[bytes]) -> bytes:
    kinds = sorted({kind_of(unit) for unit in units})
    found = bytes([len(kinds)])
    for kind in kinds:
        same = [unit for unit in units if kind_of(unit) == kind]
        complete = 0x80 if kind in (VPS, SPS, PPS) else 0
        found += bytes([complete | kind]) + len(same).to_bytes(2, "big")
        found += b"".join(len(unit).to_bytes(2, "big") + unit for unit in same)
    return found


def count_layers(units: Iterable[bytes]) -> int:
    """Return the number of layers that the video parameter set declares; 1 without one."""
    vps = next((unit for unit in units if kind_of(unit) == VPS and len(unit) >= 4), None)
    return 1 if vps is None else ((vps[2] & 3) << 4 | vps[3] >> 4) + 1
