"""`--compare` and `--report` may stand alone; an input is never taken for the name of an output."""

from pathlib import Path

import pytest

from asled_cli.cli.app import main
from asled_cli.cli.options.optional_values import fill_optional_values


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        ("deblur {w} {u} --compare", "deblur {w} {u} --compare auto"),
        ("deblur --compare {w} {u}", "deblur --compare auto {w} {u}"),
        ("deblur {w} --report {u} -y", "deblur {w} --report auto {u} -y"),
        ("deblur {w} {u} --compare new.mp4", "deblur {w} {u} --compare new.mp4"),
        ("deblur {w} {u} --compare {c}", "deblur {w} {u} --compare {c}"),
        ("deblur {w} {u} --report page.HTML", "deblur {w} {u} --report page.HTML"),
        ("deblur --compare --report -- {w}", "deblur --compare auto --report auto -- {w}"),
        ("deblur {w} --compare=x.mp4 --report=p.html", "deblur {w} --compare=x.mp4 --report=p.html"),
        ("deblur {w} --compare auto --resume", "deblur {w} --compare auto --resume"),
        ("deblur -- --compare", "deblur -- --compare"),
        ("probe {w} {u} --report", "probe {w} {u} --report auto"),
        ("batch {w} --report", "batch {w} --report"),
        ("", ""),
    ],
)
def test_a_bare_option_means_the_usual_name(given: str, expected: str, tmp_path: Path) -> None:
    names = {key: tmp_path / name for key, name in (("w", "w.mp4"), ("u", "u.mp4"), ("c", "out_compare.mp4"))}
    for path in names.values():
        path.touch()
    words, wanted = given.format(**names).split(), expected.format(**names).split()
    assert fill_optional_values(words) == wanted


def test_a_shell_completes_commands_and_options(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("_ASLED_COMPLETE", "complete_bash")
    for words, cword, expected in (("asled ex", "1", "export"), ("asled deblur --comp", "2", "--compare")):
        monkeypatch.setenv("COMP_WORDS", words)
        monkeypatch.setenv("COMP_CWORD", cword)
        assert main([]) == 0
        assert expected in capsys.readouterr().out
