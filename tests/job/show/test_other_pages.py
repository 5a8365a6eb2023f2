"""The pages of `asled probe`, `asled eval` and `asled batch`: valid, escaped, linked."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import html5lib
import pytest
from factories.small_pair import known_registration, make_pair

from asled_cli.cli.app import main
from asled_cli.errors import UsageError
from asled_cli.job import inspect
from asled_cli.job.show.pages.batch_page import check_index, write_index
from asled_cli.lab.evaluation.page import write_eval_page
from asled_cli.lab.evaluation.run import EvalResult
from asled_cli.lab.evaluation.statistics import Mean, Summary


def parsed(path: Path) -> Any:
    return html5lib.HTMLParser(strict=True, namespaceHTMLElements=False).parse(path.read_text("utf-8"))


@dataclass(frozen=True)
class Job:
    wide: str
    out: str
    status: str
    seconds: float = 1.0
    message: str = ""


def test_the_index_links_the_pages_that_exist(tmp_path: Path) -> None:
    hostile = "a #1?&'<b>é.mp4"
    out = tmp_path / hostile
    (tmp_path / (out.stem + "_report.html")).touch()
    jobs = [
        Job("/x/" + hostile, str(out), "done"),
        Job("/x/b.mp4", str(tmp_path / "b.mp4"), "failed", 0.0, "<script>alert(1)</script>"),
    ]
    write_index(tmp_path, jobs)
    tree = parsed(tmp_path / "index.html")
    links = [link.attrib["href"] for link in tree.iter("a")]
    assert links == ["./a%20%231%3F%26%27%3Cb%3E%C3%A9_report.html"]
    assert [one.text for one in tree.iter("th") if one.attrib.get("scope") == "row"] == [hostile, "b.mp4"]
    assert "<script>alert(1)" not in (tmp_path / "index.html").read_text("utf-8")
    check_index(tmp_path, False)  # its own may be replaced
    (tmp_path / "index.html").write_text("mine")
    with pytest.raises(UsageError, match="not a page of asled"):
        check_index(tmp_path, False)


def test_the_page_of_an_evaluation_draws_its_means(tmp_path: Path) -> None:
    low = Mean(-1.0, -2.0, 0.0, -1.0, -1.0)
    means = {"swap": {"psnr_gain": Mean(4.0, 3.0, 5.0, 4.0, 4.0)}, "worse": {"psnr_gain": low}}
    table = ("all, 2 clips", ["model", "gain dB"], [["swap", "4.00"], ["worse", "-1.00"]])
    result = EvalResult([table], ["a note"], [], Summary({"all": means}, {"all": 2}))
    write_eval_page(tmp_path / "scores.html", result, "Evaluation: <x>")
    tree = parsed(tmp_path / "scores.html")
    widths = [one.attrib["style"] for one in tree.iter("span") if "style" in one.attrib]
    assert widths == ["width: 100.0%", "width: 0.0%"]
    assert tree.find(".//h1").text == "Evaluation: <x>"


def test_probe_writes_a_page_of_a_pair_and_of_a_clip(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    pair = make_pair(tmp_path, 12)
    found = known_registration()
    monkeypatch.setattr(inspect, "register_clips", lambda *given, **_: (found, _runs(*given)))
    words = ["probe", str(pair.wide), str(pair.ultra), "--offset", "0", "--lens-order", "given", "--report"]
    assert main(words) == 0
    tree = parsed(tmp_path / "wide_probe.html")
    assert len(list(tree.iter("img"))) == 3 and tree.find(".//input") is not None
    assert main(words) == 2  # it exists
    assert main(["probe", str(pair.wide), "--report", str(tmp_path / "one.html")]) == 0
    assert "frame rate" in (tmp_path / "one.html").read_text("utf-8")
    assert main(["probe", str(pair.wide), f"--report={pair.wide}", "-y"]) == 2


def _runs(wide: Any, ultra: Any, clock: Any, *_: Any) -> Any:
    from asled_cli.job.sampling import read_sampled_runs

    return [run for _, _, run in read_sampled_runs(wide, ultra, clock, wide.start_s, None)]
