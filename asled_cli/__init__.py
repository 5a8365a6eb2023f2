"""Remove motion blur from phone videos with the help of the ultra-wide clip of the same moment.

The public names below load on first use, so that `import asled_cli` costs neither torch nor av.
"""

from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from asled_cli.errors import AsledError as AsledError
    from asled_cli.errors import InputError as InputError
    from asled_cli.errors import InterruptedRunError as InterruptedRunError
    from asled_cli.errors import MemoryLimitError as MemoryLimitError
    from asled_cli.errors import UsageError as UsageError
    from asled_cli.errors import WeightsError as WeightsError
    from asled_cli.job.config import DeblurConfig as DeblurConfig
    from asled_cli.job.records import DeblurPlan as DeblurPlan
    from asled_cli.job.records import DeblurResult as DeblurResult
    from asled_cli.progress import Progress as Progress
    from asled_cli.spatial.run import run_job as run_deblur

__version__ = "0.1.0"

_HOME = {
    "AsledError": "errors",
    "DeblurConfig": "job.config",
    "DeblurPlan": "job.records",
    "DeblurResult": "job.records",
    "InputError": "errors",
    "InterruptedRunError": "errors",
    "MemoryLimitError": "errors",
    "Progress": "progress",
    "UsageError": "errors",
    "WeightsError": "errors",
    "run_deblur": "spatial.run:run_job",  # spatial video too
}

__all__ = [
    "AsledError",
    "DeblurConfig",
    "DeblurPlan",
    "DeblurResult",
    "InputError",
    "InterruptedRunError",
    "MemoryLimitError",
    "Progress",
    "UsageError",
    "WeightsError",
    "__version__",
    "run_deblur",
]


def __getattr__(name: str) -> object:
    if name not in _HOME:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    module, _, other_name = _HOME[name].partition(":")
    return getattr(import_module(f"{__name__}.{module}"), other_name or name)


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
