"""`asled ui` in a browser: from the drop of two clips to the download; cancel and resume; localhost only."""

import os
import re
import socket
import subprocess
import sys
from collections.abc import Iterator
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pytest
from factories.chromium import open_browser
from factories.small_pair import make_pair

from asled_cli.cli.app import main
from asled_cli.cli.web import command

EXAMPLE = Path(__file__).parents[2] / "examples" / "pair"


@pytest.fixture
def address() -> Iterator[str]:
    """Serve the page in a process of its own."""
    if find_spec("gradio") is None:  # the gate installs it in a step of its own
        pytest.skip("gradio is not installed (pip install 'asled[ui]')")
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    words = [sys.executable, "-u", "-m", "asled_cli", "ui", "--port", str(port)]
    server = subprocess.Popen(words, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    assert server.stdout is not None
    for line in server.stdout:
        if found := re.search(r"http://127\.0\.0\.1:\d+", line):
            yield found[0]
            break
    server.terminate()
    server.wait(30)
    server.stdout.close()


def drop(tab: Any, wide: Path, ultra: Path) -> None:
    for name, path in (("wide", wide), ("ultra", ultra)):
        tab.locator(f"#{name} input[type=file]").set_input_files(path)
        tab.locator(f"#{name}").get_by_text(path.stem).first.wait_for(timeout=60_000)


def said(tab: Any, text: str) -> None:
    """Wait until the status begins with `text`."""
    script = "text => document.querySelector('#status textarea').value.startsWith(text)"
    tab.wait_for_function(script, arg=text, timeout=280_000)


@pytest.mark.slow
@pytest.mark.timeout(600)  # two looks at the clips on a busy machine
def test_the_example_from_drop_to_download(address: str, tmp_path: Path) -> None:
    with open_browser() as browser:
        tab = browser.new_page()
        tab.goto(address)
        drop(tab, EXAMPLE / "wide.mp4", EXAMPLE / "ultra.mp4")
        tab.get_by_label("swap").check()
        tab.get_by_role("button", name="Deblur").click()
        said(tab, "deblur: ")
        tab.get_by_role("button", name="Cancel").click()
        said(tab, "Cancelled.")
        tab.get_by_role("button", name="Deblur").click()
        said(tab, "Done.")
        report = tab.frame_locator("iframe[title=Report]")
        slider = report.locator("[data-compare] input").first
        slider.press("ArrowRight")
        assert slider.input_value() == "51"
        with tab.expect_download() as waiting:
            tab.locator("#files a[download]").first.click()
        waiting.value.save_as(tmp_path / "out.mp4")
        tab.screenshot(path=os.environ.get("ASLED_UI_PICTURE", str(tmp_path / "page.png")), full_page=True)
    assert main(["verify", str(EXAMPLE / "wide.mp4"), str(tmp_path / "out.mp4")]) == 0


def test_without_gradio_the_next_step_is_named(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(command, "find_spec", lambda name: None)
    assert main(["ui"]) == 2
    assert "pip install 'asled[ui]'" in capsys.readouterr().err


def test_a_job_of_the_page_is_cancelled_and_resumed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from factories.small_pair import known_registration

    from asled_cli import pipeline
    from asled_cli.cli.web.job import WebJob
    from asled_cli.errors import InputError
    from asled_cli.job.records import DeblurPlan, DeblurResult
    from asled_cli.progress import Progress

    found = known_registration()
    steps = pipeline.Steps(analyse=lambda runs, prior: found, segment_length=lambda clip: 6)
    monkeypatch.setattr(pipeline, "STEPS", steps)
    pair = make_pair(tmp_path, 18)
    job = WebJob(tmp_path / "results")
    job.folder.mkdir()
    updates = []
    for update in job.run(pair.wide, pair.ultra, "swap"):
        updates.append(update)
        if isinstance(update, Progress) and update.step == "deblur" and update.done == 8:
            job.cancel()
    assert updates[-1] is None
    (again,) = [u for u in job.run(pair.wide, pair.ultra, "swap") if isinstance(u, DeblurResult)]
    assert again.frames_written == 18 and again.out is not None and again.out.is_file()
    (error,) = job.run(tmp_path / "no.mp4", None, "auto")
    assert isinstance(error, InputError)
    plans = [u for u in job.run(pair.wide, pair.ultra, "swap", dry_run=True) if isinstance(u, DeblurPlan)]
    assert plans
