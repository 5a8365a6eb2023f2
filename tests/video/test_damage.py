"""`asled verify --decode` names every kind of damage to a finished file, and nothing in an undamaged one."""

from collections.abc import Callable
from fractions import Fraction
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from av.stream import Disposition
from factories.clips import hide_start
from factories.damage import (
    FRAMES,
    STEP,
    SUBTITLES,
    Recipe,
    at,
    cook,
    each,
    enlarged,
    panning,
    reordered,
    shifted,
    soft,
    tinted,
    wider_view,
)

from asled_cli.video.preserve.checks.check import Check
from asled_cli.video.preserve.verify import verify

WHOLE = Recipe()
TICKS = list(WHOLE.ticks)
DEFAULT, FORCED = int(Disposition.default), int(Disposition.forced)


def differing(checks: list[Check]) -> set[str]:
    return {check.name for check in checks if not check.same}


@pytest.fixture(scope="module", params=[".mov", ".mkv"])
def source(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return cook(WHOLE, tmp_path_factory.mktemp("source") / f"in{request.param}")


def black(picture: Any) -> Any:
    return np.zeros_like(picture)


PICTURES: dict[str, tuple[Callable[..., Any], str]] = {
    "two frames swapped": (reordered(0, 1, 2, 4, 3), "picture order"),
    "two distant frames swapped": (reordered(0, 9, 2, 3, 4, 5, 6, 7, 8, 1), "pictures"),
    "played backwards": (reordered(*reversed(range(FRAMES))), "picture order"),
    "one frame repeated": (reordered(0, 1, 2, 3, 3), "picture order"),
    "frozen from the middle on": (reordered(*range(8), *[8] * 8), "picture order"),
    "a still": (reordered(*[5] * FRAMES), "picture order"),
    "all frames a step late": (reordered(0, *range(FRAMES - 1)), "picture order"),
    "all black": (each(black), "pictures"),
    "one black": (at(7, black), "pictures"),
    "all grey": (each(lambda p: np.full_like(p, 128)), "pictures"),
    "noise": (each(lambda p: np.random.default_rng(0).integers(0, 255, p.shape, np.uint8)), "pictures"),
    "a negative": (each(lambda p: 255 - p), "pictures"),
    "the other lens": (each(wider_view), "pictures"),
    "another clip": (lambda _: [p[::-1, :, ::-1] for p in panning(speed=5)], "pictures"),
    "one foreign frame": (at(4, lambda p: np.ascontiguousarray(panning(30)[29][::-1])), "pictures"),
    "blurred": (each(soft), "picture sharpness"),
    "one blurred": (at(6, soft), "picture sharpness"),
    "enlarged from a quarter": (each(lambda p: enlarged(p, 6)), "picture sharpness"),
    "a colour cast": (each(partial(tinted, gains=(1.2, 1, 0.8))), "picture colours"),
    "no colours": (each(lambda p: np.repeat(p[:, :, 1:2], 3, axis=2)), "picture colours"),
    "red and blue exchanged": (each(lambda p: p[:, :, ::-1]), "picture colours"),
    "too bright": (each(partial(tinted, gains=(1.3, 1.3, 1.3))), "picture colours"),
    "too flat": (each(lambda p: (128 + 0.6 * (p.astype(float) - 128)).astype(np.uint8)), "picture colours"),
    "mirrored": (each(lambda p: p[:, ::-1]), "picture orientation"),
    "upside down": (each(lambda p: p[::-1]), "picture orientation"),
    "rotated by 180 degrees": (each(lambda p: p[::-1, ::-1]), "picture orientation"),
    "shifted across the motion": (each(lambda p: shifted(p, 0, 8)), "picture orientation"),
    "shifted up": (each(lambda p: shifted(p, 2, -8)), "picture orientation"),
}  # fmt: skip


@pytest.mark.parametrize("damage", PICTURES)
def test_damaged_pictures_are_named(damage: str, source: Path, tmp_path: Path) -> None:
    edit, name = PICTURES[damage]
    out = cook(WHOLE.but(pictures=edit(panning())), tmp_path / f"out{source.suffix}")
    found = differing(verify(source, out, decode=True))
    assert name in found
    assert found <= {
        "pictures",
        "picture order",
        "picture colours",
        "picture sharpness",
        "picture orientation",
    }


OTHERS: dict[str, tuple[dict[str, Any], set[str]]] = {
    "a frame missing": (
        {"pictures": panning()[:-1], "ticks": TICKS[:-1]}, {"frames", "times", "length"},
    ),
    "a frame late": ({"ticks": [*TICKS[:5], TICKS[5] + 8, *TICKS[6:]]}, {"times"}),
    "rotated by the header": ({"rotation": 90}, {"rotation"}),
    "other pixels": ({"aspect": Fraction(4, 3)}, {"sample aspect ratio"}),
    "other colour tags": ({"matrix": 6}, {"colours"}),
    "chroma samples at another place": (
        {"options": {**WHOLE.options, "x264-params": "chromaloc=2"}}, {"chroma location"},
    ),
    "a sound missing": ({"sounds": 1}, {"audio tracks"}),
    "another sound": ({"sound_seed": 9}, {"audio 1", "audio 2"}),
    "sound late": ({"sound_late": 480}, {"audio 1", "audio 2"}),
    "a packet of sound missing": ({"drop_sound_packet": 9}, {"audio 1", "audio 2"}),
    "another language": ({"languages": ("deu", "ita", "eng")}, {"audio 2 language"}),
    "no language of the subtitles": ({"languages": ("deu", "fra", "und")}, {"subtitle 1 language"}),
    "another title": ({"titles": ("Mikrofon", "Stimme", "Text")}, {"audio 2 title"}),
    "another default": ({"flags": (0, DEFAULT, FORCED)}, {"audio 1 flags", "audio 2 flags"}),
    "no subtitles": ({"subtitles": None}, {"subtitle tracks"}),
    "a word changed": (
        {"subtitles": ((50, 100, "Hallo"), *SUBTITLES[1:])}, {"subtitle 1 text and times"},
    ),
    "a subtitle late": (
        {"subtitles": ((60, 90, "Hello"), *SUBTITLES[1:])}, {"subtitle 1 text and times"},
    ),
    "a subtitle too long": (
        {"subtitles": ((50, 130, "Hello"), *SUBTITLES[1:])}, {"subtitle 1 text and times"},
    ),
    "a subtitle missing": ({"subtitles": SUBTITLES[:2]}, {"subtitle 1 text and times"}),
    "a chapter renamed": ({"chapters": ((0, 200, "one"), (200, 500, "three"))}, {"chapters"}),
    "a chapter moved": ({"chapters": ((0, 250, "one"), (250, 500, "two"))}, {"chapters"}),
    "a chapter ends early": ({"chapters": ((0, 200, "one"), (200, 400, "two"))}, {"chapters"}),
    "no chapters": ({"chapters": ()}, {"chapters"}),
    "a key lost": ({"metadata": {}}, {"metadata"}),
}  # fmt: skip


@pytest.mark.parametrize("damage", OTHERS)
def test_other_damage_is_named(damage: str, source: Path, tmp_path: Path) -> None:
    changes, names = OTHERS[damage]
    out = cook(WHOLE.but(**changes), tmp_path / f"out{source.suffix}")
    assert names <= (found := differing(verify(source, out)))
    assert found <= {*names, "length", "audio 1", "audio 2", "chapters"}  # lengths depend on each other


@pytest.mark.parametrize("flags", [(DEFAULT, 0, 0), (DEFAULT, 0, DEFAULT)])
def test_a_forced_flag_lost_is_named(flags: tuple[int, ...], tmp_path: Path) -> None:
    source, out = (cook(r, tmp_path / n) for r, n in ((WHOLE, "a.mkv"), (WHOLE.but(flags=flags), "b.mkv")))
    assert differing(verify(source, out)) == {"subtitle 1 flags"}


def test_an_attachment_lost_or_changed_is_named(tmp_path: Path) -> None:
    source = cook(WHOLE, tmp_path / "in.mkv")
    for number, content in enumerate((b"", b"\0\1\0\0other")):
        out = cook(WHOLE.but(attachment=content), tmp_path / f"{number}.mkv")
        assert differing(verify(source, out)) == {"attachments"}


def test_a_start_hidden_by_an_edit_list_is_named(tmp_path: Path) -> None:
    source, out = (cook(WHOLE, tmp_path / name) for name in ("in.mov", "out.mov"))
    hide_start(out, 2 * STEP)
    assert {"frames", "times"} <= differing(verify(source, out, decode=True))


def test_an_untouched_file_passes(source: Path, tmp_path: Path) -> None:
    assert differing(verify(source, cook(WHOLE, tmp_path / f"out{source.suffix}"), decode=True)) == set()


@pytest.mark.parametrize("fields", ["", "bff=1"])
def test_fields_lost_or_exchanged_are_named(fields: str, tmp_path: Path) -> None:
    interlaced = WHOLE.but(options={"preset": "ultrafast", "x264-params": "tff=1"})
    source = cook(interlaced, tmp_path / "in.mkv")
    assert differing(verify(source, cook(interlaced, tmp_path / "same.mkv"))) == set()
    out = cook(WHOLE.but(options={"preset": "ultrafast", "x264-params": fields}), tmp_path / "out.mkv")
    assert differing(verify(source, out)) == {"field order"}
