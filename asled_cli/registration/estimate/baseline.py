"""The parallax direction of a clip: the baseline between the lenses, from a few frames of each run."""

from asled_cli.imaging.homography import Image, Matrix, apply, pixel_grid
from asled_cli.imaging.light import shrink
from asled_cli.registration.blur.reference_motion import halved_positions
from asled_cli.registration.estimate.disparity import REACH_SHARE, Direction, HalfViews, find_baseline
from asled_cli.registration.estimate.observations import FrameObservation, evenly_spaced
from asled_cli.registration.geometry.lenses import RectifiedViews
from asled_cli.registration.model.exposure import Exposure
from asled_cli.runtime.stages import map_in_threads

# Frames compared, over all runs: the direction is one for the whole clip.
_FRAMES = 5


def baseline_of_runs(
    by_run: list[list[FrameObservation]],
    maps: list[Matrix],
    field: Image,
    exposure: Exposure,
    rectified: RectifiedViews | None = None,
) -> Direction | None:
    """Return the parallax direction of near objects, from a few frames of each run under its map.

    rectified: bounds of two rectified views.
    """
    height, width = by_run[0][0].grey.shape
    x, y = pixel_grid((width, height))

    def views_of(item: tuple[FrameObservation, Matrix]) -> HalfViews:
        m, matrix = item
        u, v = apply(matrix, x + field[..., 0], y + field[..., 1])
        time = m.time + exposure.shift
        sharp = m.half.instant(time, rolling_shutter=exposure.rolling_shutter)
        small = shrink(m.picture, 2)
        half_u, half_v = halved_positions(u, v, (small.shape[1], small.shape[0]))
        return HalfViews(small, m.exposed_small(exposure), sharp, half_u, half_v)

    chosen = [
        (m, matrix)
        for run, matrix in zip(by_run, maps, strict=True)
        for m in evenly_spaced(run, max(1, _FRAMES // len(by_run)))
    ]
    views = map_in_threads(views_of, chosen)
    return find_baseline(views, along_rows=rectified is not None, reach=disparity_reach(rectified))


def disparity_reach(rectified: RectifiedViews | None) -> float:
    """Return the largest disparity to look for, share of the longer side: what the lenses allow, at most."""
    return REACH_SHARE if rectified is None else min(REACH_SHARE, rectified.parallax)
