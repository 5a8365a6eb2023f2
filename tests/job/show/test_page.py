"""The report page: valid, safe with hostile names, and usable by mouse and keyboard in a browser."""

import re
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import replace
from importlib.resources import files
from pathlib import Path
from typing import Any

import html5lib
import pytest
from factories.chromium import open_browser
from factories.small_pair import known_registration, make_pair

from asled_cli import pipeline
from asled_cli.job.config import DeblurConfig
from asled_cli.job.show.collect import MAX_SAMPLES, Collector
from asled_cli.job.show.pages.charts import make_chart
from asled_cli.job.show.pages.render import render
from asled_cli.job.show.paths import AUTO
from asled_cli.video.decode.probe import probe_clip
from asled_cli.video.decode.reader import ClipReader

HOSTILE = "<img src=x onerror=alert(1)>&\"'.mp4"


@pytest.fixture(scope="module")
def page(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A report of a job whose wide clip has a hostile name."""
    folder = tmp_path_factory.mktemp("page")
    pair = make_pair(folder, 12)
    wide = pair.wide.rename(folder / HOSTILE)
    found = known_registration()
    job = DeblurConfig(
        wide, pair.ultra, out=folder / "out.mp4", method="swap", offset_s=0.0, lens_order="given",
        report=AUTO, truth=pair.truth,
    )  # fmt: skip
    pipeline.run_deblur(job, steps=pipeline.Steps(analyse=lambda runs, prior: found))
    return folder / "out_report.html"


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    with open_browser() as found:
        yield found


def test_it_is_valid_and_needs_no_network(page: Path) -> None:
    text = page.read_text("utf-8")
    tree = html5lib.HTMLParser(strict=True, namespaceHTMLElements=False).parse(text)
    linked = [value for one in tree.iter() for name, value in one.attrib.items() if name in ("src", "href")]
    assert linked and all(value.startswith(("data:", "#")) for value in linked)
    assert not re.search(r"https?:|@import|url\(", text)
    images = list(tree.iter("img"))
    assert len(images) > 6 and all(image.attrib.get("alt") for image in images)
    assert tree.find(".//h1").text.startswith(HOSTILE)


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("width", [1200, 360])
def test_the_slider_moves_by_mouse_and_keyboard(page: Path, browser: Any, scheme: str, width: int) -> None:
    tab = browser.new_page(viewport={"width": width, "height": 900}, color_scheme=scheme)
    said: list[str] = []
    tab.on("console", lambda message: said.append(message.text))
    tab.on("pageerror", lambda error: said.append(str(error)))
    tab.goto(page.as_uri())
    pair = tab.locator("[data-compare]:visible").first
    slider = pair.locator("input")

    def line() -> float:
        """Where the line is, percent of the picture."""
        outer, inner = pair.bounding_box(), pair.locator(".line").bounding_box()
        return float(100 * (inner["x"] + inner["width"] / 2 - outer["x"]) / outer["width"])

    assert line() == pytest.approx(50, abs=1)
    box = pair.bounding_box()
    tab.mouse.click(box["x"] + 0.2 * box["width"], box["y"] + box["height"] / 2)
    assert line() == pytest.approx(20, abs=2)
    slider.press("ArrowRight")
    assert int(slider.input_value()) == pytest.approx(21, abs=2) and line() > 20
    slider.press("End")
    assert slider.get_attribute("aria-valuetext") == "100 % source"
    frames = tab.locator(".choice button")
    frames.last.focus()
    tab.keyboard.press("Enter")
    assert tab.locator("article:visible").count() == 1
    assert frames.last.get_attribute("aria-pressed") == "true"
    assert tab.evaluate("document.documentElement.scrollWidth <= innerWidth")
    assert tab.evaluate("[...document.images].every(one => one.complete && one.naturalWidth > 0)")
    assert not said
    tab.close()


def test_without_scripts_both_pictures_are_shown(page: Path, browser: Any) -> None:
    context = browser.new_context(java_script_enabled=False)
    tab = context.new_page()
    tab.goto(page.as_uri())
    pictures = tab.locator("[data-compare]").first.locator("img")
    first, second = pictures.nth(0).bounding_box(), pictures.nth(1).bounding_box()
    assert second["y"] >= first["y"] + first["height"]
    context.close()


def test_names_are_written_out() -> None:
    text = render("job.html", **_empty() | {"title": "a\x1b[2J\u202eb", "problems": ["<b>"]})
    assert "\x1b" not in text and "\u202e" not in text and "<b>" not in text
    html5lib.HTMLParser(strict=True).parse(text)


def _empty() -> dict[str, Any]:
    lists = ("figures", "shots", "charts", "registration", "segments", "segment_columns", "plan", "result",
             "stages", "problems", "notes")  # fmt: skip
    return {name: [] for name in lists} | {"profile": None, "profile_row": None}


def test_a_long_clip_takes_no_more_room(tmp_path: Path) -> None:
    clip = probe_clip(make_pair(tmp_path, 3).wide)
    frame = next(iter(ClipReader(clip)))
    seen = Collector(clip, 5000, tmp_path)
    for index in range(5000):
        seen.see(replace(frame, index=index, time=frame.time + index), None, None)
    assert MAX_SAMPLES <= len(seen.samples) < 2 * MAX_SAMPLES and len(seen.rows) == len(seen.samples)
    assert seen.samples[-1].time_s > 4980 and len(seen.shots) == 5


def test_charts_of_flat_and_of_short_curves() -> None:
    flat = make_chart("flat", "px", [0.0, 1.0], {"a": [0.0, 0.0]})
    assert flat is not None and flat.lines[0].points == "0.0,0.0 1000.0,0.0"
    assert make_chart("one point", "px", [0.0], {"a": [1.0]}) is None


def test_the_example_in_the_docs_is_of_the_present_templates() -> None:
    """Otherwise: python docs/make_example_report.py."""
    text = (Path(__file__).parents[3] / "docs" / "example_report.html").read_text("utf-8")
    templates = files("asled_cli.job.show.pages") / "templates"
    for part in ("page.css", "page.js"):
        assert (templates / part).read_text("utf-8").strip() in text
    assert not re.search(r"/(root|home|work|tmp|Users)/", text)
    headings = re.findall(r'<h2 id="(\w+)">', (templates / "job.html").read_text("utf-8"))
    assert headings and all(f'<h2 id="{name}">' in text for name in headings)


def test_nothing_is_loaded_that_was_not_asked_for() -> None:
    code = "import sys, asled_cli.pipeline, asled_cli.cli.app; print(sorted(sys.modules))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    loaded = {name.split(".")[0] for name in re.findall(r"'([^']+)'", done.stdout)}
    assert not loaded & {"jinja2", "gradio", "onnx", "onnxruntime", "onnxscript", "pycvvdp", "flip_evaluator"}
