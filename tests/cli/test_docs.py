"""The pages that are written from the program equal it; links in the docs lead somewhere."""

import ast
import importlib.util
import re
import sys
from pathlib import Path
from types import ModuleType

ROOT = Path(__file__).parents[2]


def load(path: Path) -> ModuleType:
    spec = importlib.util.spec_from_file_location(path.stem, path)
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[path.stem] = module  # dataclasses look there
    spec.loader.exec_module(module)
    return module


def test_the_page_of_commands_is_up_to_date() -> None:
    page = load(ROOT / "docs" / "make_cli.py").render()
    assert (ROOT / "docs" / "cli.md").read_text(encoding="utf-8") == page, "run python docs/make_cli.py"


def test_sizes_and_costs_follow_from_the_measured_figures() -> None:
    page = (ROOT / "docs" / "guides" / "many-machines.md").read_text(encoding="utf-8")
    assert load(ROOT / "docs" / "make_sizing.py").render(page) == page, "run python docs/make_sizing.py"


def test_links_between_pages_lead_to_files() -> None:
    pages = [*ROOT.glob("*.md"), *(ROOT / "docs").rglob("*.md"), *ROOT.glob("*/README.md")]
    broken = [
        f"{page.relative_to(ROOT)} -> {target}"
        for page in pages
        for target in re.findall(r"\]\(([^)#\s]+)", page.read_text(encoding="utf-8"))
        if "://" not in target and not (page.parent / target).exists()
    ]
    assert not broken, "\n".join(broken)


def test_options_in_the_docs_exist() -> None:
    commands = (ROOT / "docs" / "cli.md").read_text(encoding="utf-8")
    known = set(re.findall(r"--[a-z][a-z-]+", commands))
    others = {"--nproc-per-node", "--check", "--strict", "--dist", "--list-files"}  # torchrun, ruff, pytest
    others |= {"--from", "--version", "--rm", "--build-arg", "--index-url"}  # uvx, docker, pip
    others |= {"--install-completion", "--show-completion"}
    others |= {"--nnodes", "--rdzv-backend", "--rdzv-endpoint"}  # torchrun
    others |= {"--array", "--gres", "--requeue", "--dependency", "--wrap"}  # Slurm
    pages = [ROOT / "README.md", *(ROOT / "docs" / "guides").glob("*.md"), ROOT / "docs" / "scores.md"]
    unknown = [
        f"{page.relative_to(ROOT)}: {option}"
        for page in pages
        for option in sorted(set(re.findall(r"(?<![\w-])--[a-z][a-z-]+", page.read_text(encoding="utf-8"))))
        if option not in known | others
    ]
    assert not unknown, "\n".join(unknown)


ERRORS = {"InputError", "UsageError", "WeightsError", "MissingWeightsError", "MemoryLimitError", "AsledError"}


def messages(source: Path) -> list[str]:
    """The longest constant part of every message that a module raises."""
    calls = (node for node in ast.walk(ast.parse(source.read_text("utf-8"))) if isinstance(node, ast.Call))
    texts = (c.args[0] for c in calls if c.args and isinstance(c.func, ast.Name) and c.func.id in ERRORS)
    found = []
    for text in texts:
        parts = text.values if isinstance(text, ast.JoinedStr) else [text]
        plain = [str(p.value).strip() for p in parts if isinstance(p, ast.Constant)]
        found.append(max(plain, key=len, default="").rstrip(" .:,("))
    return [text for text in found if len(text) > 8]


def test_the_page_of_troubles_has_every_message_of_a_job() -> None:
    page = (ROOT / "docs" / "troubleshooting.md").read_text(encoding="utf-8")
    sources = [path for path in (ROOT / "asled_cli").rglob("*.py") if "lab" not in path.parts]
    missing = [f"{path.name}: {text}" for path in sources for text in messages(path) if text not in page]
    assert not missing, "\n".join(missing)
