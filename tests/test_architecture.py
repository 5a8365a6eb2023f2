"""The floors of the package: imports go down, never up, nor across folders of one floor."""

import ast
from pathlib import Path

import pytest

PACKAGE = Path(__file__).parent.parent / "asled_cli"
FLOORS = {
    "errors": 0,
    "video": 1,
    "registration": 1,
    "nets": 1,
    "zoo": 2,
    "weights": 2,
    "job": 3,
    "pipeline": 4,
    "lab": 4,
    "cli": 5,
    "__main__": 6,
}
ONE_UNIT = [{"zoo", "weights"}]  # files of one floor that belong together
LIGHT_RECORDS = {"video.frames"}  # what a clip and a frame are: records only, readable from floor 1
ONLY_HOME = {"rich": ("cli/console.py",), "av": ("video/", "lab/"), "typer": ("cli/",)}
LONGEST_FILE = 350  # lines; aim at 80-250
FILES = sorted(PACKAGE.rglob("*.py"))
INSIDE = [path for path in FILES if path != PACKAGE / "__init__.py"]


def imported(path: Path, *, at_runtime: bool = False) -> set[str]:
    """Full names of the modules that a file imports; without `if TYPE_CHECKING` blocks if `at_runtime`."""
    names: set[str] = set()
    tree = ast.parse(path.read_text())
    hidden = {
        id(inner)
        for node in ast.walk(tree)
        if at_runtime and isinstance(node, ast.If) and "TYPE_CHECKING" in ast.unparse(node.test)
        for inner in ast.walk(node)
    }
    for node in ast.walk(tree):
        if id(node) in hidden:
            continue
        if isinstance(node, ast.Import):
            names.update(alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}: relative import"
            module = node.module or ""
            names.add(module)
            if module == "asled_cli" or (PACKAGE.parent / module.replace(".", "/")).is_dir():
                names.update(f"{module}.{alias.name}" for alias in node.names)
    return names


def unit_of(name: str) -> str:
    """The part of the package that a dotted name below asled_cli belongs to."""
    return name.split(".")[0]


def name_of(path: Path) -> str:
    return ".".join(path.relative_to(PACKAGE).with_suffix("").parts)


@pytest.mark.parametrize("path", INSIDE, ids=name_of)
def test_imports_go_down(path: Path) -> None:
    unit = unit_of(name_of(path))
    for name in imported(path):
        inner = name.removeprefix("asled_cli.")
        if inner == name or unit_of(inner) not in FLOORS:
            continue
        target = unit_of(inner)
        below = FLOORS[target] < FLOORS[unit]
        same = target == unit or any({target, unit} <= group for group in ONE_UNIT)
        records = FLOORS[unit] == 1 and any(inner.startswith(light) for light in LIGHT_RECORDS)
        assert below or same or records, (
            f"{name_of(path)} [{FLOORS[unit]}] imports {inner} [{FLOORS[target]}]"
        )


@pytest.mark.parametrize("path", INSIDE, ids=name_of)
def test_every_part_has_a_floor(path: Path) -> None:
    assert unit_of(name_of(path)) in FLOORS, f"{path.name} stands on no floor: add it to FLOORS"


@pytest.mark.parametrize("path", FILES, ids=name_of)
def test_outside_libraries_stay_at_home(path: Path) -> None:
    place = path.relative_to(PACKAGE).as_posix()
    for name in imported(path, at_runtime=True):
        home = ONLY_HOME.get(name.split(".")[0])
        assert home is None or place.startswith(home), (
            f"{place} imports {name}; only {' and '.join(home)} may"
        )


@pytest.mark.parametrize("path", FILES, ids=name_of)
def test_files_stay_short(path: Path) -> None:
    lines = len(path.read_text().splitlines())
    assert lines <= LONGEST_FILE, f"{path.name} has {lines} lines: look for its second noun"


def test_registration_and_video_know_no_torch() -> None:
    for folder in ("registration", "video"):
        for path in (PACKAGE / folder).glob("*.py"):
            assert not any(name.split(".")[0] == "torch" for name in imported(path)), path
