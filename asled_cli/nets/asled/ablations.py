"""The ablations of the AsLeD-Net paper as configurations (table 2; supplement, table 1).

DAT and MASA-SR in place of the matching, and EDVR in place of motion compensation (supplement f, g, o), are
components of other authors and not included.
"""

from dataclasses import replace

from asled_cli.nets.asled.config import AsledConfig

_FULL = AsledConfig()

ABLATIONS: dict[str, AsledConfig] = {
    # Table 2: which of the three components are there; the others are residual blocks of about equal size.
    "table2-a": replace(_FULL, matching="blocks", difference="blocks", motion="blocks"),
    "table2-b": replace(_FULL, difference="blocks", motion="blocks"),
    "table2-c": replace(_FULL, matching="blocks", motion="blocks"),
    "table2-d": replace(_FULL, matching="blocks", difference="blocks"),
    "table2-e": replace(_FULL, matching="blocks"),
    "table2-f": replace(_FULL, difference="blocks"),
    "table2-g": replace(_FULL, motion="blocks"),
    "table2-h": _FULL,
    # Supplement, table 1: variants of the matching,
    "supplement-a": replace(_FULL, matching="blocks"),
    "supplement-b": replace(_FULL, matching="attention"),
    "supplement-c": replace(_FULL, neighbours=1),
    "supplement-d": replace(_FULL, neighbours=3),
    "supplement-e": replace(_FULL, neighbours=5),
    # of difference compensation,
    "supplement-h": replace(_FULL, difference="blocks"),
    "supplement-i": replace(_FULL, difference="attention"),
    "supplement-j": replace(_FULL, difference="no_reference"),
    # and of motion compensation.
    "supplement-k": replace(_FULL, motion="blocks"),
    "supplement-l": replace(_FULL, motion="unrefined"),
    "supplement-m": replace(_FULL, motion="unwarped"),
    "supplement-n": replace(_FULL, motion="concat"),
}
