"""The floors of the package: imports go down, never up, nor across folders of one floor; no cycle."""

import ast
from functools import cache
from pathlib import Path

PACKAGE = Path(__file__).parent.parent / "asled_cli"
# The first matching prefix counts: inside registration/ the sub-packages have an order of their own.
FLOORS = {
    "errors": 0,
    "progress": 0,
    "guide": 0,
    "runtime": 1,
    "imaging": 1,
    "nets": 1,
    "video": 2,
    "zoo": 2,
    "metrics": 3,
    "registration": 3,
    "deconvolution": 3,
    "sync": 4,
    "restoration": 4,
    "job": 5,
    "pipeline": 6,
    "spatial": 7,
    "lab": 7,
    "cli": 8,
    "__main__": 9,
}
SUB_FLOORS = {
    "registration": {
        "geometry": 0, "model": 1, "blur": 2, "estimate": 3, "stabilisation": 4, "rendering": 4,
        "analyse": 5, "render": 5, "render_stages": 6, "on_device": 5,
    },
    "video": {"": 0, "decode": 1, "preserve": 2, "encode": 3},
    "job": {"": 0, "show": 0, "resume": 1, "batch": 2, "rendering": 2},
}  # fmt: skip
LIGHT_RECORDS = {"video.frames"}  # what a clip and a frame are: records only, readable from floor 1
ONLY_HOME = {
    "rich": ("cli/output/",),
    "av": ("video/", "sync/", "lab/"),
    "typer": ("cli/",),
    "jinja2": ("job/show/pages/render.py",),
    "gradio": ("cli/web/app.py",),
    "onnxruntime": ("lab/export/",),
}
MAX_FILE_LINES = 350  # aim at 80-250
MAX_MODULES = 12  # in one folder, without __init__
MAX_FUNCTION_LINES = 45  # of a body, without docstring; signatures of commands are long
TORCH_FREE = ("registration", "deconvolution", "video", "imaging", "sync")
BY_TORCH = (  # files and folders in these
    "imaging/on_device/", "imaging/spectra.py", "registration/on_device/", "deconvolution/blended/",
)  # fmt: skip
FILES = sorted(PACKAGE.rglob("*.py"))


@cache
def imported(path: Path, *, at_runtime: bool = False) -> frozenset[str]:
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
    return frozenset(names)


def name_of(path: Path) -> str:
    inner = path.relative_to(PACKAGE).with_suffix("")
    return ".".join(inner.parent.parts if inner.name == "__init__" else inner.parts)


def inner_imports(path: Path) -> set[str]:
    """Modules of the package that a file imports, named below the package."""
    return {n.removeprefix("asled_cli.") for n in imported(path) if n.startswith("asled_cli.")}


def sub_floor(name: str) -> int | None:
    """The floor inside its package, where that package has floors."""
    unit, _, rest = name.partition(".")
    floors = SUB_FLOORS.get(unit, {})
    return floors.get(rest.split(".")[0], floors.get(""))


def goes_down(name: str, target: str) -> bool:
    """Whether module `name` may import module `target`, by the floors."""
    unit, other = name.split(".")[0], target.split(".")[0]
    if unit == other:
        above, below = sub_floor(name), sub_floor(target)
        if above is None or below is None:
            return True
        return below < above or name.split(".")[1:2] == target.split(".")[1:2] or above == below == 0
    records = FLOORS[unit] == 1 and any(target.startswith(light) for light in LIGHT_RECORDS)
    return FLOORS[other] < FLOORS[unit] or records


def test_imports_go_down() -> None:
    modules = [(name_of(path), path) for path in FILES if path != PACKAGE / "__init__.py"]
    unknown = [name for name, _ in modules if name.split(".")[0] not in FLOORS]
    assert not unknown, f"stand on no floor: add them to FLOORS: {unknown}"
    wrong = [
        f"{name} imports {target}"
        for name, path in modules
        for target in sorted(inner_imports(path))
        if target.split(".")[0] in FLOORS and not goes_down(name, target)
    ]
    assert not wrong, "\n".join(wrong)


def test_no_import_cycle() -> None:
    graph = {name_of(path): inner_imports(path) for path in FILES if path != PACKAGE / "__init__.py"}
    graph = {name: targets & graph.keys() - {name} for name, targets in graph.items()}
    while leaves := {name for name, targets in graph.items() if not targets}:
        graph = {name: targets - leaves for name, targets in graph.items() if name not in leaves}
    assert not graph, f"import cycle among {sorted(graph)}"


def test_outside_libraries_stay_at_home() -> None:
    wrong = [
        f"{path.relative_to(PACKAGE)} imports {name}"
        for path in FILES
        for name in sorted(imported(path, at_runtime=True))
        if (home := ONLY_HOME.get(name.split(".")[0]))
        and not path.relative_to(PACKAGE).as_posix().startswith(home)
    ]
    assert not wrong, "\n".join(wrong)


def test_files_stay_short_and_folders_small() -> None:
    long = [
        f"{path.relative_to(PACKAGE)}: {lines} lines"
        for path in FILES
        if (lines := len(path.read_text().splitlines())) > MAX_FILE_LINES
    ]
    folders = {path.parent for path in FILES}
    full = [
        f"{folder.relative_to(PACKAGE)}: {count} modules"
        for folder in folders
        if (count := len([p for p in folder.glob("*.py") if p.name != "__init__.py"])) > MAX_MODULES
    ]
    assert not long + full, "\n".join(long + full)


def test_pictures_and_files_need_no_torch() -> None:
    """But for the folders of what runs on a GPU, which nothing else there imports, and the FFT."""
    wrong = [
        f"{path.relative_to(PACKAGE)} imports {name}"
        for folder in TORCH_FREE
        for path in (PACKAGE / folder).rglob("*.py")
        if not path.relative_to(PACKAGE).as_posix().startswith(BY_TORCH)
        for name in imported(path)
        if name.split(".")[0] == "torch" or ".on_device" in name
    ]
    assert not wrong, "\n".join(wrong)


def test_media_files_are_opened_in_two_places() -> None:
    """`av.open` takes names for URLs and follows playlists: only the two doors may call it."""
    doors = {"video/decode/open_clip.py", "video/open_output.py"}
    wrong = [
        f"{path.relative_to(PACKAGE)}, line {node.lineno}: {ast.unparse(node)}"
        for path in FILES
        if path.relative_to(PACKAGE).as_posix() not in doors
        for node in ast.walk(ast.parse(path.read_text()))
        if ast.unparse(node) in ("av.open", "av.container.open", "cv2.VideoCapture", "cv2.VideoWriter")
        or (isinstance(node, ast.ImportFrom) and node.module in ("av", "av.container")
            and any(alias.name == "open" for alias in node.names))
    ]  # fmt: skip
    assert not wrong, "\n".join(wrong)


def test_nothing_listens_to_the_log_of_ffmpeg() -> None:
    """Decoder threads would wait for the interpreter lock while a thread that holds it waits for them."""
    wrong = [str(path.relative_to(PACKAGE)) for path in FILES if "av.logging" in path.read_text()]
    assert not wrong, wrong


def test_functions_stay_short() -> None:
    long = []
    for path in FILES:
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.FunctionDef):
                body = node.body[1:] if ast.get_docstring(node) and len(node.body) > 1 else node.body
                lines = (node.end_lineno or 0) - body[0].lineno + 1
                if lines > MAX_FUNCTION_LINES:
                    long.append(f"{path.relative_to(PACKAGE)}: {node.name} has {lines} lines")
    assert not long, "\n".join(long)
