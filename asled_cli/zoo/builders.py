"""How each architecture is built from options. Importing it does not load torch: each builder does."""

from collections.abc import Callable, Mapping
from typing import Any

Options = Mapping[str, Any]


def _build_asled_fast(options: Options) -> Any:
    from asled_cli.nets.asled_fast.network import AsledFast, AsledFastConfig

    return AsledFast(AsledFastConfig(**options))


def _build_asled(options: Options) -> Any:
    from asled_cli.nets.asled.config import AsledConfig, SearchConfig
    from asled_cli.nets.asled.network import AsledNet

    search = options.get("search", {})
    if not isinstance(search, Mapping):
        raise ValueError(f"search is {str(search)[:60]!r}, expected a table")
    return AsledNet(AsledConfig(**{**options, "search": SearchConfig(**search)}))


def _build_mtu(options: Options) -> Any:
    from asled_cli.nets.mtu.config import MtuConfig
    from asled_cli.nets.mtu.network import Mtu

    return Mtu(MtuConfig(**options))


def _build_deblurnet(options: Options) -> Any:
    from asled_cli.nets.davanet.deblurnet import DeblurNet, DeblurNetConfig

    return DeblurNet(DeblurNetConfig(**options))


def _build_davanet(options: Options) -> Any:
    from asled_cli.nets.davanet.network import DavaNet, DavaNetConfig

    return DavaNet(DavaNetConfig(**options))


def _build_ifan(options: Options) -> Any:
    from asled_cli.nets.ifan.network import Ifan, IfanConfig

    return Ifan(IfanConfig(**options))


def _build_refvsr(options: Options) -> Any:
    from asled_cli.nets.refvsr.network import RefVsr, RefVsrConfig

    return RefVsr(RefVsrConfig(**options))


def _build_dmenet(options: Options) -> Any:
    from asled_cli.nets.dmenet import DefocusEstimator, DmenetConfig

    return DefocusEstimator(DmenetConfig(**options))


BUILDERS: dict[str, Callable[[Options], Any]] = {
    "asled-fast": _build_asled_fast,
    "asled": _build_asled,
    "mtu": _build_mtu,
    "deblurnet": _build_deblurnet,
    "davanet": _build_davanet,
    "ifan": _build_ifan,
    "refvsr": _build_refvsr,
}

ESTIMATOR_BUILDERS: dict[str, Callable[[Options], Any]] = {"dmenet": _build_dmenet}
"""Networks that measure and do not restore."""
