"""Chroma sample location from the sequence header (SPS) of H.264 and HEVC, which PyAV does not report.

Sources: ITU-T H.264 7.3.2.1.1 and annex E, ITU-T H.265 7.3.2.2 and annex E; `avcC` and `hvcC` by
ISO/IEC 14496-15. FFmpeg's own trace of these headers goes through its log, and a log callback into Python can
block decoder threads for ever.
"""

from collections.abc import Iterator

MAX_CHROMA_LOCATION = 5  # of Chroma420SampleLocType, H.273
_MAX_NALS = 64  # of one header; real files hold a handful
_H264_SPS, _HEVC_SPS = 7, 33  # nal_unit_type
# profile_idc whose SPS describe the chroma format (H.264 7.3.2.1.1).
_H264_HIGH = {100, 110, 122, 244, 44, 83, 86, 118, 128, 138, 139, 134, 135}
_EXTENDED_SAR = 255
_MAX_REFERENCES = 32  # of one set; the standard allows 16


class _Bits:
    """Reader of the syntax elements of a raw byte sequence payload. Raises EOFError past its end."""

    def __init__(self, payload: bytes) -> None:
        self._value, self._left = int.from_bytes(payload, "big"), 8 * len(payload)

    def u(self, count: int) -> int:
        """Return an unsigned number of `count` bits."""
        if count > self._left:
            raise EOFError
        self._left -= count
        return (self._value >> self._left) & ((1 << count) - 1)

    def ue(self) -> int:
        """Return an unsigned Exp-Golomb number."""
        zeros = 0
        while not self.u(1):
            zeros += 1
            if zeros > 32:
                raise EOFError
        return (1 << zeros) - 1 + self.u(zeros)

    def se(self) -> int:
        """Return a signed Exp-Golomb number."""
        code = self.ue()
        return (code + 1) // 2 if code % 2 else -(code // 2)


def read_chroma_location(codec: str, extradata: bytes | None) -> int | None:
    """Return chroma_sample_loc_type_top_field, 0 to 5; None if it is not stated or cannot be read.

    codec: FFmpeg's name. extradata: `avcC`, `hvcC` or Annex B headers.
    """
    parse = {"h264": _parse_h264, "hevc": _parse_hevc}.get(codec)
    if parse is None or not extradata:
        return None
    wanted = _H264_SPS if codec == "h264" else _HEVC_SPS
    try:
        for nal in _nal_units(codec, extradata):
            kind = nal[0] & 31 if codec == "h264" else nal[0] >> 1 & 63
            if kind == wanted:
                found = parse(_Bits(nal.replace(b"\0\0\3", b"\0\0")))
                return found if found is not None and found <= MAX_CHROMA_LOCATION else None
    except (EOFError, IndexError):
        return None
    return None


def _nal_units(codec: str, extradata: bytes) -> Iterator[bytes]:
    """Yield the NAL units of the headers, without start codes or lengths."""
    if extradata[:3] == b"\0\0\1" or extradata[:4] == b"\0\0\0\1":
        yield from (nal.rstrip(b"\0") for nal in extradata.split(b"\0\0\1")[1:] if nal)
        return
    arrays, at = (extradata[22], 23) if codec == "hevc" else (1, 5)
    for _ in range(arrays):
        if codec == "hevc":
            count, at = int.from_bytes(extradata[at + 1 : at + 3], "big"), at + 3
        else:
            count, at = extradata[at] & 31, at + 1
        for _ in range(min(count, _MAX_NALS)):
            length = int.from_bytes(extradata[at : at + 2], "big")
            if length == 0 or at + 2 + length > len(extradata):
                return
            yield extradata[at + 2 : at + 2 + length]
            at += 2 + length


def _parse_h264(bits: _Bits) -> int | None:
    """Return the location of a seq_parameter_set_data, after its one-byte NAL header."""
    bits.u(8)
    profile = bits.u(8)
    bits.u(16)  # constraint flags, level
    bits.ue()  # seq_parameter_set_id
    if profile in _H264_HIGH:
        chroma_format = bits.ue()
        if chroma_format == 3:
            bits.u(1)
        bits.ue()
        bits.ue()  # bit depths
        bits.u(1)
        if bits.u(1):  # seq_scaling_matrix_present_flag
            for i in range(8 if chroma_format != 3 else 12):
                if bits.u(1):
                    _skip_h264_scaling_list(bits, 16 if i < 6 else 64)
    bits.ue()  # log2_max_frame_num_minus4
    order = bits.ue()
    if order == 0:
        bits.ue()
    elif order == 1:
        bits.u(1)
        bits.se()
        bits.se()
        for _ in range(bits.ue()):
            bits.se()
    bits.ue()  # max_num_ref_frames
    bits.u(1)
    bits.ue()
    bits.ue()  # width, height
    if not bits.u(1):  # frame_mbs_only_flag
        bits.u(1)
    bits.u(1)
    _skip_crop(bits)
    return _parse_vui(bits) if bits.u(1) else None


def _skip_h264_scaling_list(bits: _Bits, size: int) -> None:
    last, following = 8, 8
    for _ in range(size):
        if following:
            following = (last + bits.se() + 256) % 256
        last = following or last


def _skip_crop(bits: _Bits) -> None:
    if bits.u(1):
        for _ in range(4):
            bits.ue()


def _parse_vui(bits: _Bits) -> int | None:
    """Return the location from the start of vui_parameters, which both standards share up to there."""
    if bits.u(1) and bits.u(8) == _EXTENDED_SAR:
        bits.u(32)
    if bits.u(1):  # overscan_info_present_flag
        bits.u(1)
    if bits.u(1):  # video_signal_type_present_flag
        bits.u(4)
        if bits.u(1):
            bits.u(24)
    return bits.ue() if bits.u(1) else None


def _parse_hevc(bits: _Bits) -> int | None:
    """Return the location of a seq_parameter_set_rbsp, after its two-byte NAL header."""
    bits.u(16)
    bits.u(4)
    sub_layers = bits.u(3)  # sps_max_sub_layers_minus1
    bits.u(1)
    _skip_profile_tier_level(bits, sub_layers)
    bits.ue()  # sps_seq_parameter_set_id
    if bits.ue() == 3:  # chroma_format_idc
        bits.u(1)
    bits.ue()
    bits.ue()  # width, height
    _skip_crop(bits)
    bits.ue()
    bits.ue()  # bit depths
    order_bits = bits.ue() + 4
    for _ in range(sub_layers + 1 if bits.u(1) else 1):
        for _ in range(3):
            bits.ue()
    for _ in range(6):
        bits.ue()  # block sizes and transform depths
    if bits.u(1) and bits.u(1):
        _skip_hevc_scaling_lists(bits)
    bits.u(2)
    if bits.u(1):  # pcm_enabled_flag
        bits.u(8)
        bits.ue()
        bits.ue()
        bits.u(1)
    _skip_short_term_sets(bits)
    if bits.u(1):  # long_term_ref_pics_present_flag
        for _ in range(bits.ue()):
            bits.u(order_bits + 1)
    bits.u(2)
    return _parse_vui(bits) if bits.u(1) else None


def _skip_profile_tier_level(bits: _Bits, sub_layers: int) -> None:
    bits.u(96)  # general profile, tier, flags and level
    present = [(bits.u(1), bits.u(1)) for _ in range(sub_layers)]
    if sub_layers:
        bits.u(2 * (8 - sub_layers))
    for profile, level in present:
        bits.u(88 * profile + 8 * level)


def _skip_hevc_scaling_lists(bits: _Bits) -> None:
    for size in range(4):
        for _ in range(0, 6, 3 if size == 3 else 1):
            if not bits.u(1):
                bits.ue()
                continue
            if size > 1:
                bits.se()
            for _ in range(min(64, 1 << (4 + 2 * size))):
                bits.se()


def _skip_short_term_sets(bits: _Bits) -> None:
    """Skip all st_ref_pic_set (7.3.7). Picture order differences of one set give the length of the next."""
    last: list[int] = []  # negative differences by distance, then positive ones
    for index in range(bits.ue()):
        if index and bits.u(1):  # inter_ref_pic_set_prediction_flag
            sign = bits.u(1)
            shift = (1 - 2 * sign) * (bits.ue() + 1)
            kept = [bool(bits.u(1) or bits.u(1)) for _ in range(len(last) + 1)]
            moved = [d + shift for d in (*last, 0)]
            found = [d for d, keep in zip(moved, kept, strict=True) if keep and d]
        else:
            counts = bits.ue(), bits.ue()
            if sum(counts) > _MAX_REFERENCES:
                raise EOFError
            found = []
            for sign, count in zip((-1, 1), counts, strict=True):
                distance = 0
                for _ in range(count):
                    distance += bits.ue() + 1
                    bits.u(1)
                    found.append(sign * distance)
        last = sorted((d for d in found if d < 0), reverse=True) + sorted(d for d in found if d > 0)
