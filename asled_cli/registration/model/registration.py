"""What the analysis of a clip pair found: the record that rendering works from."""

from dataclasses import dataclass, replace

import numpy as np

from asled_cli.imaging.homography import Image, Matrix, interpolate, local_scale, resize_matrix, translation
from asled_cli.registration.model.exposure import Exposure
from asled_cli.registration.model.ois_path import OisPath
from asled_cli.registration.model.tone_curve import Tone


@dataclass(frozen=True)
class Knot:
    """Geometry and exposure at one time of the clip.

    time_s: seconds on the target's clock. homography: (3, 3) full target pixel -> full reference pixel.
    field: (h, w, 2) float32, static parallax in reduced target pixels on the reduced target grid, added
    before the map.
    exposure: of the target.
    """

    time_s: float
    homography: Matrix
    field: Image
    exposure: Exposure


@dataclass(frozen=True)
class Registration:
    """How the reference view maps onto the target, for one clip.

    target_size, reference_size: (width, height) in pixels. interval_s: median frame interval of the target.
    knots: geometry and exposure over time. tone: colour curves of the reference.
    residual: mean absolute luma difference of target and reblurred reference, 0..1.
    correlation: of the same two, -1..1.
    accepted: False if the views do not match; the reference must not be used then.
    baseline: parallax direction (x, y of length 1, reduced target pixels) of near objects; None without any.
    disparity_reach: largest disparity along it, share of the longer side; None: as of any lenses.
    reference_exposure: exposure time of the reference in target frame intervals, from its blur; 0 if unknown.
    ois_path: shifts of the target's view under OIS of one lens; None without.
    """

    target_size: tuple[int, int]
    reference_size: tuple[int, int]
    interval_s: float
    knots: tuple[Knot, ...]
    tone: Tone
    residual: float
    correlation: float
    accepted: bool
    baseline: tuple[float, float] | None = None
    reference_exposure: float = 0.0
    ois_path: OisPath | None = None
    disparity_reach: float | None = None

    def resized(self, target_size: tuple[int, int], reference_size: tuple[int, int]) -> "Registration":
        """Return the registration for the same pictures at other sizes (width, height)."""
        from_target = resize_matrix(target_size, self.target_size)
        to_reference = resize_matrix(self.reference_size, reference_size)
        knots = tuple(
            replace(knot, homography=to_reference @ knot.homography @ from_target) for knot in self.knots
        )
        ois_path = self.ois_path and self.ois_path.scaled(
            resize_matrix(self.target_size, target_size)[:2, :2]
        )
        return replace(
            self, target_size=target_size, reference_size=reference_size, knots=knots, ois_path=ois_path
        )

    def at(self, time_s: float) -> Knot:
        """Return geometry and exposure of the target stamped `time_s` on its clock."""
        knot = self._between(time_s)
        shift = self.shift_at(time_s + knot.exposure.shift * self.interval_s)
        return knot if shift is None else replace(knot, homography=knot.homography @ translation(*shift))

    def shift_at(self, time_s: float) -> tuple[float, float] | None:
        """Return the OIS shift of the target's view at a time, full pixels; None without OIS."""
        return None if self.ois_path is None else self.ois_path.at(time_s)

    def _between(self, time_s: float) -> Knot:
        """Return geometry and exposure at a time, linear between knots, without the OIS shift."""
        knots = self.knots
        if len(knots) == 1 or time_s <= knots[0].time_s:
            return knots[0]
        if time_s >= knots[-1].time_s:
            return knots[-1]
        after = next(i for i, k in enumerate(knots) if k.time_s > time_s)
        a, b = knots[after - 1], knots[after]
        f = (time_s - a.time_s) / (b.time_s - a.time_s)
        exposure = a.exposure if f < 0.5 else b.exposure
        field = a.field if a.field is b.field else a.field + np.float32(f) * (b.field - a.field)
        return Knot(time_s, interpolate(a.homography, b.homography, f), field, exposure)

    @property
    def middle(self) -> Knot:
        return self.knots[len(self.knots) // 2]

    @property
    def fov_ratio(self) -> float:
        """Return the reference's field of view over the target's (tangent ratio of the widths)."""
        scale = local_scale(self.middle.homography, self.target_size)
        return max(self.reference_size) / (max(self.target_size) * scale)

    @property
    def shift_px(self) -> tuple[float, float]:
        """Return the target's centre relative to the reference's centre, target pixels (x right, y down)."""
        h = self.middle.homography
        x, y = (self.target_size[0] - 1) / 2, (self.target_size[1] - 1) / 2
        u, v, w = h @ np.array([x, y, 1.0])
        scale = local_scale(h, self.target_size)
        return (
            float((u / w - (self.reference_size[0] - 1) / 2) / scale),
            float((v / w - (self.reference_size[1] - 1) / 2) / scale),
        )

    @property
    def baseline_deg(self) -> float | None:
        """Return the parallax direction in degrees, 0 (horizontal) to 180, clockwise; None without one."""
        if self.baseline is None:
            return None
        return round(float(np.degrees(np.arctan2(self.baseline[1], self.baseline[0]))) % 180, 1)

    @property
    def ois_rms_px(self) -> float | None:
        """Return the root mean square of the OIS shift, pixels; None without OIS."""
        if self.ois_path is None:
            return None
        return round(float(np.sqrt(self.ois_path.shifts.var(axis=0).sum())), 1)

    @property
    def exposure(self) -> Exposure:
        return self.middle.exposure

    @property
    def target_exposure(self) -> float | None:
        """Return the target's exposure time in frame intervals, from `exposure` and the reference's own.

        None for EIS clips, whose exposure time cannot be measured.
        """
        return self.exposure.total_length(self.reference_exposure)
