"""The guide: what registration knows of each place of a frame. Its channels and its grid."""

from enum import IntEnum

# Guides and flows are on a grid of one cell per this many pixels each way, sizes rounded up.
GUIDE_STRIDE = 4


class Guide(IntEnum):
    """Channels of a guide, in their order in memory."""

    ERROR_RED = 0  # target minus reblurred reference, -1..1
    ERROR_GREEN = 1
    ERROR_BLUE = 2
    BLUR = 3  # change of the reference's luma by the blur, 0..1
    CONFIDENCE = 4  # share of the reference in the best mixture, 0..1
    VALID = 5  # one where the reference covers the pixel, else zero


GUIDE_CHANNELS = len(Guide)


def guide_grid(height: int, width: int) -> tuple[int, int]:
    """Return (rows, columns) of the grid of a frame."""
    return -(-height // GUIDE_STRIDE), -(-width // GUIDE_STRIDE)
