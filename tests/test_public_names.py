"""The names that others may import: the list is true, short and cheap."""

import subprocess
import sys

import asled_cli


def test_every_public_name_is_there() -> None:
    for name in asled_cli.__all__:
        assert getattr(asled_cli, name) is not None
    assert asled_cli.__all__ == sorted(asled_cli.__all__)
    assert len(asled_cli.__all__) <= 15


def test_dir_shows_the_public_names() -> None:
    assert set(asled_cli.__all__) <= set(dir(asled_cli))


def test_an_unknown_name_is_an_attribute_error() -> None:
    assert not hasattr(asled_cli, "no_such_name")


def test_import_and_records_load_nothing_heavy() -> None:
    code = (
        "import sys, asled_cli; asled_cli.DeblurConfig; asled_cli.AsledError;"
        "sys.exit(' '.join({'torch', 'av', 'cv2', 'numpy', 'rich', 'typer'} & set(sys.modules)) or None)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, f"loaded: {done.stderr}"
