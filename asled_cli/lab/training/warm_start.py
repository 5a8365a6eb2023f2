"""Initialisation of a deep network from a shallow one that was trained at a fraction of the cost.

Residual blocks are stacked on trained ones as in Net2Net (Chen et al., ICLR 2016, "deeper" with identity
layers): the network computes the same as before, and training continues from there.
"""

from dataclasses import asdict
from itertools import zip_longest
from typing import Any

import torch
from torch import nn

from asled_cli.nets.asled_fast.result_fusion import ResultFusion
from asled_cli.nets.blocks import ResidualBlock
from asled_cli.nets.memory import ReferenceMemory


def are_set_alike(shallow: Any, deep: Any) -> bool:
    """Return whether two networks have one type and config, except for the sizes of `copy_deepened`.

    Weights of other settings (a temperature, another input) may have the same sizes and mean something else.
    The search strategy of the matching may differ, because no weight depends on it.
    """
    own, other = (asdict(network.config) for network in (shallow, deep))
    free = {"search"}
    free |= set() if own.get("fusion_radius") else {"fusion_radius", "fusion_channels"}
    free |= set() if own.get("memory") else {"memory"}
    settings = [name for name in own if name not in free and not name.endswith("_blocks")]
    return type(shallow) is type(deep) and all(own[name] == other[name] for name in settings)


@torch.no_grad()
def copy_deepened(shallow: nn.Module, deep: nn.Module) -> None:
    """Copy the weights of `shallow` into `deep`, the same network with as many residual blocks or more.

    Blocks that `shallow` lacks follow its own and start as the identity: both networks compute the same. If
    `shallow` lacks a `ResultFusion` or a `ReferenceMemory`, those of `deep` keep their weights.
    Raises ValueError if the two differ in anything else, or `deep` has fewer blocks.
    """
    for own, other in _pairs(shallow, deep):
        if own is None and isinstance(other, ResidualBlock):
            nn.init.zeros_(other.second.weight)
            if other.second.bias is not None:
                nn.init.zeros_(other.second.bias)
        elif own is None and isinstance(other, ResultFusion | ReferenceMemory):
            pass
        elif own is None or other is None or type(own) is not type(other):
            raise ValueError(f"{_name(other)} does not match {_name(own)}.")
        else:
            copy_deepened(own, other)
    values = dict(shallow.named_parameters(recurse=False))
    for name, parameter in deep.named_parameters(recurse=False):
        if name not in values or values[name].shape != parameter.shape:
            raise ValueError(f"{name} of {_name(deep)} is of another size.")
        parameter.copy_(values[name])


def _pairs(shallow: nn.Module, deep: nn.Module) -> list[tuple[nn.Module | None, nn.Module | None]]:
    """Return matching children: residual blocks in their order, and all others in theirs."""
    return [
        pair
        for blocks in (True, False)
        for pair in zip_longest(_children(shallow, blocks), _children(deep, blocks))
    ]


def _children(module: nn.Module, blocks: bool) -> list[nn.Module]:
    """Return the residual blocks directly in `module`, or all other children."""
    return [child for child in module.children() if isinstance(child, ResidualBlock) == blocks]


def _name(module: nn.Module | None) -> str:
    return "nothing" if module is None else type(module).__name__
