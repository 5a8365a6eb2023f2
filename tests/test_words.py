"""Names, help and docs use the field's terms (docs/glossary.md), not the private words of the past."""

import re
from pathlib import Path

ROOT = Path(__file__).parents[1]
PLACES = ("asled_cli", "docs", "examples", "benchmarks", "weights/README.md", "README.md", "CONTRIBUTING.md")
# Word (regular expression, ignoring case) -> what to write instead.
INSTEAD = {
    r"mend(s|ed|ing|able)?": "deblur, restore, repair",
    r"(un)?steadied": "EIS, EIS-stabilised",
    r"sway(s|ing|ed)?|\w+_sway|sway_\w+|find_swaying": "OIS shift, OIS path",
    r"tremors?|\w*_tremor|tremor_\w+": "intra-frame camera shake",
    r"unblur(s|red|ring)?": "Wiener deconvolution",
    r"rivals?": "ambiguous matches, candidates",
    r"told": "reported, detected, known, on_progress",
    r"believed?|believes": "accepted, confidence",
    r"disagreements?": "residual",
    r"mismatch(es)?": "reblur residual",
    r"left over": "residual",
    r"things close by": "near objects",
    r"half-detail|half_detail": "half-resolution oracle, oracle-half",
    r"uncoded": "uncompressed",
    r"made (clip|pair|set)s?": "synthetic",
    r"broken off": "interrupted",
    r"go(es|ing)? on (with|from|where|after)": "continue, resume",
    r"anew": "again, from the start",
    r"laid|lays? (it )?onto": "warped, aligned",
    r"likeness": "PSNR to the input, similarity",
    r"stabilisers?": "OIS, EIS, stabilisation",
    r"(clip)?_?glimpses?": "thumbnails",
    r"_?(MOST|LEAST|LONGEST|SHORTEST|WORST)_\w+": "MAX_, MIN_",
    r"_?vertex": "parabola peak",
    r"\w+_facts|networkfacts": "info, metadata",
    r"\w*(clip|reach|tile|registration)_words": "text, description",
    r"LensLook\w*": "SensorModel",
    r"Measured(?=\[|\]|\()": "FrameObservation",
    r"turned by \d+": "rotated by",
}
# Words in capitals are names of constants and classes: case counts.
FORBIDDEN = {
    word: re.compile(
        rf"(?<!\w)(?:{word})(?!\w)", re.NOFLAG if re.search("[A-Z]{2}|L.*L|Measured", word) else re.I
    )
    for word in INSTEAD
}


def files() -> list[Path]:
    found = [
        path
        for place in map(ROOT.joinpath, PLACES)
        for path in ([place] if place.is_file() else place.rglob("*"))
        if path.suffix in (".py", ".md", ".toml")
    ]
    assert len(found) > 200
    return found


def test_the_patterns_find_what_they_are_for() -> None:
    for line in ("It mends clips.", "find_swaying(x)", "_MOST_BARS = 3", "a made clip", "turned by 90"):
        assert any(pattern.search(line) for pattern in FORBIDDEN.values()), line
    for line in ("recommends", "commended", "almost_there", "remade clipping", "a deblurred clip"):
        assert not any(pattern.search(line) for pattern in FORBIDDEN.values()), line


def test_words_of_the_old_dialect_are_out() -> None:
    hits = [
        f"{path.relative_to(ROOT)}:{number}: {match.group(0)!r} -> {INSTEAD[word]}"
        for path in files()
        for number, line in enumerate(path.read_text(encoding="utf-8").splitlines(), start=1)
        for word, pattern in FORBIDDEN.items()
        if (match := pattern.search(line))
    ]
    assert not hits, f"{len(hits)} lines:\n" + "\n".join(hits)
