"""Write docs/example_report.html and the pictures of it in docs/img, from the example pair.

Usage: make_example_report.py [--pictures-only]. It runs a job of the network, which takes up to some minutes;
with --pictures-only the page is left as it is. Needs Chromium and asled[dev].
"""

import os
import shutil
import sys
import tempfile
from pathlib import Path
from typing import Any

import av
import cv2

ROOT = Path(__file__).resolve().parents[1]
PAGE, PICTURES = ROOT / "docs" / "example_report.html", ROOT / "docs" / "img"
AUTO = Path("auto")  # named after the output
SHOWN_FRAME = 20  # of the compare clip; the wide clip's most blurred one
WIDTH = 1000  # of the window, pixels


def main() -> None:
    """Run the job in a folder of its own, so that the page names no folder of this machine."""
    sys.path.insert(0, str(ROOT / "tests"))
    if sys.argv[1:] != ["--pictures-only"]:
        with tempfile.TemporaryDirectory() as name:
            run_job(Path(name))
    take_pictures()


def run_job(folder: Path) -> None:
    """Deblur the example pair there, and keep its page and a frame of its compare clip."""
    from asled_cli import DeblurConfig, run_deblur

    clips = "wide.mp4", "ultra.mp4", "truth.mp4"
    for path in (*(f"examples/pair/{clip}" for clip in clips), "weights/asled_fast.safetensors"):
        shutil.copy(ROOT / path, folder)
    os.chdir(folder)
    wide, ultra, truth, weights = map(Path, (*clips, "asled_fast.safetensors"))
    result = run_deblur(DeblurConfig(wide, ultra, truth=truth, weights=weights, compare=AUTO, report=AUTO))
    assert result.plan.report is not None and result.plan.compare is not None
    shutil.copy(result.plan.report, PAGE)
    with av.open(str(result.plan.compare)) as clip:
        frames = [frame.to_ndarray(format="bgr24") for frame in clip.decode(video=0)]
    cv2.imwrite(str(PICTURES / "compare.jpg"), frames[SHOWN_FRAME], [cv2.IMWRITE_JPEG_QUALITY, 88])
    os.chdir(ROOT)


def take_pictures() -> None:
    """Take the pictures of the page: its head in the light, its charts in the dark, a phone."""
    from factories.chromium import open_browser  # type: ignore[import-not-found]

    with open_browser() as browser:
        picture(browser, "report.jpg", "light", (WIDTH, 900), "h1")
        picture(browser, "report_charts.jpg", "dark", (WIDTH, 800), "#time")
        picture(browser, "report_phone.jpg", "light", (390, 800), "#profile")


def picture(browser: Any, name: str, scheme: str, size: tuple[int, int], place: str) -> None:
    """Take one picture of the page, scrolled to `place`."""
    tab = browser.new_page(viewport={"width": size[0], "height": size[1]}, color_scheme=scheme)
    tab.goto(PAGE.as_uri())
    tab.locator(place).first.evaluate("one => scrollTo(0, one.getBoundingClientRect().top + scrollY - 16)")
    tab.screenshot(path=PICTURES / name, type="jpeg", quality=80)
    tab.close()


if __name__ == "__main__":
    main()
