"""The floating-point precisions that a user can ask for; standard library only."""

from typing import Literal

Precision = Literal["auto", "fp32", "bf16", "fp16"]
