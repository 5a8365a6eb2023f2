"""Made dual-lens clips with known truth, in one import: real video averaged, or a photo under hand shake."""

from asled_cli.lab.average import average_pair
from asled_cli.lab.degrade import LensLook, ToneCurve
from asled_cli.lab.made_pair import Faults, MadePair
from asled_cli.lab.rig import LensRig
from asled_cli.lab.shake import Depth, shake_pair
from asled_cli.lab.trajectory import Shake

__all__ = [
    "Depth", "Faults", "LensLook", "LensRig", "MadePair", "Shake", "ToneCurve", "average_pair", "shake_pair",
]  # fmt: skip
