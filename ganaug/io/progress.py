"""progress_bar: how far a long piece of work is, on terminals."""

from __future__ import annotations

import sys
from typing import Any

from tqdm.auto import tqdm


class NoBar:
    """Takes what is told to a bar, and shows nothing."""

    n: int = 0

    def update(self, n: int = 1) -> None:
        """Do nothing."""

    def set_postfix(self, *arguments: Any, **options: Any) -> None:
        """Do nothing."""

    def close(self) -> None:
        """Do nothing."""

    def __enter__(self) -> NoBar:
        return self

    def __exit__(self, *exc: object) -> None:
        pass


def progress_bar(*, shown: bool, **options: Any) -> Any:
    """Return a bar of tqdm if it is to be shown and there is a terminal, and otherwise nothing that draws.

    Then tqdm is left alone: each of its bars, also a disabled one, takes a lock that it shares with forked
    processes. One that is killed at that moment keeps it, and the others wait for ever.
    """
    return tqdm(**options) if shown and sys.stderr.isatty() else NoBar()
