"""Random focus of a filmed photo: the background, the foreground or all of it out of focus."""

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import numpy as np

from asled_cli.lab.camera.aperture import Aperture
from asled_cli.lab.camera.focus import Focus
from asled_cli.lab.camera.hand_shake import Shake
from asled_cli.lab.datasets.sources import Sources
from asled_cli.lab.synthesis.random_clip import SIZES, USUAL_ODDS, Odds, draw_shake, in_good_light
from asled_cli.lab.synthesis.shake_blur import ShakeConfig, shake_pair
from asled_cli.lab.synthesis.synthetic_pair import SyntheticPair

DEFOCUS_ODDS = replace(USUAL_ODDS, average=0.0, sharp_wide=0.0, rolling_shutter=0.0, ois=0.0, eis_window=0.0)
_SLOPING = 0.5  # share of far layers that come nearer towards the lower border
_BOOSTED = 0.5  # share of clips whose clipped highlights are brighter than full scale


def draw_focus(draw: np.random.Generator, near: float | None) -> Focus:
    """Draw a focus. near: nearness of the nearest layer before the photo; None: there is none."""
    circle = float(draw.uniform(3.0, 14.0))
    kind = draw.random()
    plane = 1.0 if kind < 0.5 or near is None else 0.0 if kind < 0.75 else float(draw.uniform(0.3, 1.5))
    aperture: Aperture = "disc" if draw.random() < 0.7 else "gaussian"
    return Focus(
        circle_px=circle,
        nearness=plane,
        aperture=aperture,
        ultra_share=float(draw.uniform(0.15, 0.3)),
        slope=float(draw.uniform(0.2, 0.8)) if draw.random() < _SLOPING else 0.0,
        highlights=float(draw.uniform(2.0, 8.0)) if draw.random() < _BOOSTED else 1.0,
    )


def hold_still(settings: Mapping[str, Any], draw: np.random.Generator) -> dict[str, Any]:
    """Return settings of `shake_pair` for a hand that moves from frame to frame, without motion blur."""
    travel = float(draw.uniform(0.0, 4.0))
    return {**settings, "exposure": 0.0, "ultra_exposure": 0.0, "shake": Shake(2.0, travel_px=travel)}


def random_defocus_pair(
    sources: Sources,
    seed: int,
    *,
    frames: int | None = None,
    size: tuple[int, int] | None = None,
    odds: Odds = DEFOCUS_ODDS,
) -> SyntheticPair:
    """Draw one clip out of focus; equal arguments give equal bytes. Raises InputError without a photo.

    frames: None is 6. size: (width, height), None draws one of SIZES.
    """
    draw = np.random.default_rng((seed, 3))
    frames = frames or 6
    size = size or SIZES[int(draw.integers(len(SIZES)))]
    photos = list(sources.photos.values())
    photo = photos[int(draw.integers(len(photos)))]
    settings = hold_still(draw_shake(photo, sources, size, frames, odds, draw), draw)
    depths = settings["depths"]
    focus = draw_focus(draw, max((depth.nearness for depth in depths), default=None))
    sensors = {name: in_good_light(settings[name], seed, odds) for name in ("wide_sensor", "ultra_sensor")}
    return shake_pair(photo, ShakeConfig(seed=seed, focus=focus, **settings | sensors))
