"""The networks that can be built, and the table of published weights."""

from collections.abc import Callable, Mapping
from typing import Any

from asled_cli.errors import UsageError

Options = Mapping[str, Any]


def build(network: str, options: Options) -> Any:
    """An untrained network (torch.nn.Module and VideoNetwork) by its name; `options` as in its config.

    Raises UsageError for an unknown name or option.
    """
    if network not in BUILDERS:
        raise UsageError(f"There is no network {network!r}.", f"Known: {', '.join(sorted(BUILDERS))}.")
    try:
        return BUILDERS[network](options)
    except TypeError as error:
        raise UsageError(f"{network} does not take these options: {dict(options)} ({error}).") from error


def _build_asled_fast(options: Options) -> Any:
    from asled_cli.nets.asled_fast import AsledFast, AsledFastConfig  # torch loads here, not for --help

    return AsledFast(AsledFastConfig(**options))


BUILDERS: dict[str, Callable[[Options], Any]] = {"asled-fast": _build_asled_fast}
