"""What the transforms for albumentations share: a label, targets that they refuse, and random numbers."""

from __future__ import annotations

import random
from collections.abc import Mapping
from typing import Any

import numpy as np
import torch
from torch.utils.data import get_worker_info

from ganaug.adapters.layouts import label_column
from ganaug.data.labels import label_indices


class Hooks:
    """What albumentations and albumentationsx call; each has a name of its own for it.

    In a class of its own, as albumentationsx takes no transform that defines the other's.
    """

    argument_names: tuple[str, ...]
    _choose: Any
    _check_targets: Any
    _draw: Any

    def get_params_dependent_on_data(self, params: dict[str, Any], data: dict[str, Any]) -> dict[str, Any]:
        """Return what chooses an image."""
        return self._choose(data, self._draw(2))

    def get_transform_init_args_names(self) -> tuple[str, ...]:
        """Return the parameters that `to_dict` writes; albumentations finds them by itself since 2.0.6."""
        return self.argument_names

    def sample_parameters(self, params: Any, data: dict[str, Any], targets: Any, sampling: Any) -> Any:
        """Return what chooses an image, drawn as albumentationsx draws: there, workers differ."""
        from albumentations.core.transform_params import SampledParams

        return SampledParams(self._choose(data, sampling.random_generator.random(2).tolist()))

    def apply_in_invocation(self, invocation: Any, /, *args: Any, **data: Any) -> Any:
        """Return the data with another image, or the same: what a pipeline of albumentationsx calls."""
        self._check_targets(data)
        return super().apply_in_invocation(invocation, *args, **data)  # type: ignore[misc]


class LabelledTransform(Hooks):
    """A transform that asks for the label of the image, and draws anew in each worker and epoch.

    Attributes
    ----------
    refused : tuple of str
        Targets that can't come with the image.
    followed : tuple of str
        Targets that can, and under additional names, too.
    """

    random_generator: np.random.Generator
    label_key: str
    p: float
    refused: tuple[str, ...]
    followed: tuple[str, ...] = ()
    _more_refused: frozenset[str] = frozenset()
    _seeded = False
    _worker_seed: int | None = None

    @property
    def targets_as_params(self) -> list[str]:
        """The label."""
        return [self.label_key]

    def __call__(self, *args: Any, force_apply: bool = False, **data: Any) -> Any:
        """Return the data with another image, or the same."""
        self._check_targets(data)
        return super().__call__(*args, force_apply=force_apply, **data)  # type: ignore[misc]

    def _check_targets(self, data: Mapping[str, Any]) -> None:
        refused = {*self.refused, *self._more_refused}
        unsupported = sorted(name for name in refused if data.get(name) is not None)
        if unsupported:
            takes = ", ".join(f"`{name}`" for name in ("image", *self.followed))
            raise ValueError(
                f"A synthetic image has no {unsupported[0]!r}: {type(self).__name__} takes {takes} and"
                f" `{self.label_key}`."
            )

    def add_targets(self, additional_targets: dict[str, str]) -> None:
        """Note what else a pipeline passes, to refuse it: two images would be replaced by the same one."""
        super().add_targets(additional_targets)  # type: ignore[misc]
        others = {name for name, kind in additional_targets.items() if kind not in self.followed}
        self._more_refused = self._more_refused | others

    def set_random_seed(self, seed: int | None) -> None:
        """Draw from a seed from now on; None: from torch's global random state."""
        super().set_random_seed(seed)  # type: ignore[misc]
        self._seeded, self._worker_seed = seed is not None, None

    def set_random_state(
        self, random_generator: np.random.Generator, py_random: random.Random, **options: Any
    ) -> None:
        """Draw from `random_generator` from now on."""
        super().set_random_state(random_generator, py_random, **options)  # type: ignore[misc]
        self._seeded, self._worker_seed = True, None

    def should_apply(self, force_apply: bool = False) -> bool:
        """Return whether to replace the image at hand."""
        return force_apply or self._draw(1)[0] < self.p

    def _draw(self, n: int) -> list[float]:
        """Return `n` random numbers in [0, 1)."""
        if not self._seeded:
            return torch.rand(n, dtype=torch.float64).tolist()
        rng = self.random_generator
        worker = get_worker_info()
        if worker is not None and worker.seed != self._worker_seed:
            # All workers start with the same generator, and with the same again in the next epoch.
            rng = np.random.default_rng((int(rng.integers(2**63)), worker.seed))
            self.random_generator, self._worker_seed = rng, worker.seed
        return rng.random(n).tolist()

    def _class_index(self, data: Mapping[str, Any], classes: np.ndarray) -> int:
        """Return the place of the image's label among `classes`."""
        indices = label_indices(label_column(data[self.label_key]), classes, self.label_key)
        if len(indices) != 1:
            raise ValueError(f"`{self.label_key}` must be one label, got {len(indices)}.")
        return int(indices[0])


def check_digest(path: Any, digest: str | None, found: str) -> None:
    """Raise ValueError if a file, or a model, is another than the one with this digest."""
    if digest not in (None, found):
        raise ValueError(
            f"{path} is another file than the one this transform was made with: `digest` must be"
            f" {found!r} or None, got {digest!r}."
        )
