"""What torchrun tells each of the processes that it starts.

Read here, as commands ask for it before they check their paths, and so before they import torch.
"""

from __future__ import annotations

import os
from typing import NamedTuple


class Launched(NamedTuple):
    """One of several processes that torchrun started.

    Attributes
    ----------
    rank : int
        Of the process, from 0.
    world_size : int
        How many there are, on all machines.
    local_rank : int
        Of the process among those of its machine: the number of its GPU.
    """

    rank: int
    world_size: int
    local_rank: int


def launched() -> Launched | None:
    """Return which one of torchrun's processes this is; None if it is none of several."""
    if "TORCHELASTIC_RUN_ID" not in os.environ or int(os.environ["WORLD_SIZE"]) == 1:
        return None
    return Launched(*(int(os.environ[name]) for name in ("RANK", "WORLD_SIZE", "LOCAL_RANK")))
