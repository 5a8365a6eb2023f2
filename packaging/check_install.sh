#!/usr/bin/env bash
# Build the sdist and the wheel, check both, and install the wheel into a bare environment of each Python at hand.
# Usage: packaging/check_install.sh [FOLDER]   (FOLDER: where dist/ is built; default: a temporary one)
set -euo pipefail
unset PYTHONPATH
cd "$(dirname "${BASH_SOURCE[0]}")/.."
work=${1:-$(mktemp -d)}
python3 -m venv "$work/tools"
"$work/tools/bin/pip" install -q build twine
"$work/tools/bin/python" -m build -q --outdir "$work/dist" .
"$work/tools/bin/twine" check --strict "$work"/dist/*
ls -l "$work/dist"

checked=0
for version in 3.11 3.12 3.13; do
    python=
    for candidate in "$HOME"/.pyenv/versions/"$version".*/bin/python "python$version"; do
        if "$candidate" -c 'import venv' > /dev/null 2>&1; then # a shim may be there without its Python
            python=$candidate
            break
        fi
    done
    if [ -z "$python" ]; then
        echo "Python $version: not at hand, not checked"
        continue
    fi
    rm -rf "$work/venv-$version"
    "$python" -m venv "$work/venv-$version"
    "$work/venv-$version/bin/pip" install -q "$work"/dist/*.whl
    (
        cd "$work" # not the checkout
        "$work/venv-$version/bin/asled" --version
        "$work/venv-$version/bin/asled" models --json | head -c 200
        "$work/venv-$version/bin/python" -c 'from importlib.resources import files; p = files("asled_cli.job.show.pages"); assert (p / "templates" / "job.html").is_file()'
    )
    echo "Python $version: installs and runs, $(du -sm "$work/venv-$version" | cut -f1) MiB"
    rm -rf "$work/venv-$version"
    checked=$((checked + 1))
done
[ "$checked" -gt 0 ]
echo "checked with $checked versions of Python"
