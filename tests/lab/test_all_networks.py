"""One table of all networks on the fixed sets; those without weights are said to be untrained."""

import json
from pathlib import Path

import pytest

from asled_cli.cli.app import main
from asled_cli.errors import UsageError
from asled_cli.lab.evaluation import run as running
from asled_cli.lab.evaluation.all_networks import (
    NEEDS_REFERENCE,
    SETS,
    UNTRAINED,
    Traits,
    all_notes,
    compared_sets,
    networks_table,
    traits_of,
)
from asled_cli.lab.evaluation.statistics import Mean, Summary
from asled_cli.lab.scoring.config import EvalConfig
from asled_cli.lab.scoring.methods import ROWS_OF_ALL, find_models, untrained
from asled_cli.zoo import checkpoint as weights
from asled_cli.zoo import registry as zoo


def config(**settings: object) -> EvalConfig:
    return EvalConfig("synthetic", Path(), **{"methods": ("all",), **settings})  # type: ignore[arg-type]


def test_all_stands_for_every_network_with_weights() -> None:
    names = [model.name for model in find_models(config())]
    assert {"input", "swap", "single"} < set(ROWS_OF_ALL)
    assert names == [*ROWS_OF_ALL, *(name for name in zoo.PUBLISHED if name != zoo.ALONE)]
    more = [model.name for model in find_models(config(methods=("oracle-half", "all", "swap")))]
    assert more == ["oracle-half", *names]
    assert set(untrained()) == set(zoo.BUILDERS) - set(zoo.PUBLISHED) and "asled" in untrained()


def test_without_a_split_it_is_one_table() -> None:
    assert compared_sets(config()) == tuple(SETS)
    assert not compared_sets(config(split="strong")) and not compared_sets(config(methods=("input",)))
    assert compared_sets(config(split="all", methods=("input", "swap"))) == tuple(SETS)
    assert compared_sets(config(split="strong,phone", methods=("input",))) == ("strong", "phone")
    with pytest.raises(UsageError, match="--split is 'strong,nothing', expected"):
        config(split="strong,nothing")
    with pytest.raises(UsageError, match="'all,strong'"):
        config(split="all,strong")


def test_weights_that_are_given_are_no_longer_untrained(tmp_path: Path) -> None:
    file = tmp_path / "refvsr.safetensors"
    network = zoo.build("refvsr", {"channels": 2, "trunk_blocks": 0})
    weights.save(file, "refvsr", network, notes={"step": "420"})
    means = {name: {"psnr_gain": Mean(1, 0, 0, 1, 1)} for name in ("input", "refvsr")}
    summaries = {"strong": Summary({"all": means}, {"all": 10})}
    given = config(methods=("input", f"refvsr={file}"))
    _, _, rows = networks_table(summaries, {model.name: traits_of(model) for model in find_models(given)})
    assert ["refvsr", "+1.00", "strong: yes"] in rows and ["mtu", UNTRAINED, UNTRAINED] in rows
    assert ["input", "+1.00", "no method"] in rows and not any(
        row[0] == "refvsr" and UNTRAINED in row for row in rows
    )
    lines = all_notes(summaries, config(methods=("input", f"refvsr={file}"), max_frames=6))
    assert "refvsr: not published, 420 training steps." in lines
    assert "Only the first 6 frames of each clip." in lines
    assert any("not scored" in line and "mtu" in line and "refvsr" not in line for line in lines)


def test_the_table_says_what_needs_a_reference_and_what_gains_too_little() -> None:
    def summary(**gains: float) -> Summary:
        return Summary(
            {"all": {n: {"psnr_gain": Mean(v, 0, 0, v, v)} for n, v in gains.items()}}, {"all": 10}
        )

    summaries = {"single": summary(davanet=0.0, ifan=0.1), "defocus": summary(davanet=2.0, ifan=0.99)}
    traits = {"davanet": Traits(True, "strong"), "ifan": Traits(False, "defocus")}
    _, _, rows = networks_table(summaries, traits)
    assert rows[:2] == [
        ["davanet", NEEDS_REFERENCE, "+2.00", "strong: not scored"],
        ["ifan", "+0.10", "+0.99", "defocus: no"],
    ]
    kinds = {model.name: traits_of(model) for model in find_models(config())}
    assert kinds["input"] is None and kinds["swap"] == kinds["asled-fast"] == Traits(True, "strong")
    assert kinds["single"] == Traits(False, "strong")


def test_the_table_has_a_row_for_each_and_a_column_for_each_set(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    seen: list[str | None] = []

    def score(one: EvalConfig, report: object, cluster: object) -> running.EvalResult:
        seen.append(one.split)
        gain = float(len(seen))
        means = {
            name: {"psnr_gain": Mean(value, 0, 0, value, value), "psnr": Mean(20, 0, 0, 20, 20)}
            for name, value in (("input", 0.0), ("asled-fast", gain))
        }
        assert one.out == tmp_path / "out" / str(one.split) and one.cache == tmp_path / "out" / "cache"
        return running.EvalResult([], ["Protocol basicsr."], [], Summary({"all": means}, {"all": 10}))

    monkeypatch.setattr(running, "_run_set", score)
    arguments = ["--dataset", "synthetic", "--root", str(tmp_path), "--models", "all"]
    assert main(["eval", *arguments, "--out", str(tmp_path / "out")]) == 0
    assert seen == list(SETS)
    page = (tmp_path / "out" / "networks.md").read_text()
    assert list(SETS) == ["strong", "single", "defocus"]
    assert f"| asled-fast | +1.00 | {NEEDS_REFERENCE} | +3.00 | strong: yes |" in page
    for name in untrained():
        assert f"| {name} | {' | '.join([UNTRAINED] * (len(SETS) + 1))} |" in page
    content = json.loads((tmp_path / "out" / "networks.json").read_text())
    assert content["gain_db"]["strong"] == {"input": 0.0, "asled-fast": 1.0}
    assert content["untrained"] == untrained()
    shown = capsys.readouterr().out
    assert "asled-fast" in shown and UNTRAINED in shown and "Untrained, without weights" in shown
