"""BlockPlan: the samples of a file in blocks, each of which can be made at any time, and always the same."""

from __future__ import annotations

import hashlib
import itertools
import math
from collections.abc import Iterable
from typing import Any

import numpy as np
from torch import Tensor

from ganaug.data.containers import as_container, is_dataframe, take
from ganaug.data.labels import check_labels, expand_counts, label_indices
from ganaug.data.protocol import ConditionalGenerator, modality_of
from ganaug.io.hdf5 import LAYOUTS, checksum
from ganaug.io.records import DataFrameSchema

# Large images are made in smaller blocks: of no more bytes, but at least one image.
BLOCK_BYTES = 2**27
COMPRESSIONS = ("gzip", "lzf")


def digest_of(blocks: Iterable[np.ndarray], labels: np.ndarray) -> str:
    """Return a text that differs between two sets of samples, in blocks, and their class indices."""
    samples = sum(map(checksum, blocks)) % 2**64
    return f"{len(labels)} rows {samples:016x} {hashlib.sha256(labels.tobytes()).hexdigest()[:16]}"


def count_samples(counts: Any, classes: np.ndarray, block_size: int) -> np.ndarray:
    """Return how many samples to make of each class.

    Raises
    ------
    ValueError
        If they are no such numbers, or too many to be counted in blocks of this size.
    """
    per_class = expand_counts(counts, classes)
    total = sum(per_class.tolist())
    most = min(math.isqrt(2**61 * block_size), 2**60)  # the product of samples and blocks is an int64
    if total > most:
        raise ValueError(
            f"`counts` must ask for at most {most} samples in all where `block_size` is {block_size}, got"
            f" {total}."
        )
    return per_class


def check_options(layout: str, compression: str | None, block_size: Any) -> None:
    """Raise ValueError unless the options of a file are among those there are."""
    for name, value, allowed in (
        ("layout", layout, ("nhwc", "nchw")),
        ("compression", compression, (None, *COMPRESSIONS)),
    ):
        if value not in allowed:
            raise ValueError(f"`{name}` must be one of {list(allowed)}, got {value!r}.")
    if not isinstance(block_size, int | np.integer) or isinstance(block_size, bool) or block_size < 1:
        raise ValueError(f"`block_size` must be an int of at least 1, got {block_size!r}.")


def fitting_block_size(gan: Any, block_size: int) -> int:
    """Return how many samples to make at once: fewer than `block_size` where a model makes large images."""
    while not hasattr(gan, "codec_") and hasattr(gan, "gan_"):
        gan = gan.gan_
    codec: Any = getattr(gan, "codec_", None)
    if not getattr(codec, "is_reduced", False):
        return block_size
    image = math.prod(codec.full_shape) * np.dtype(codec.dtype).itemsize
    return max(1, min(block_size, BLOCK_BYTES // image))


def check_seed(random_state: Any) -> None:
    """Raise ValueError unless `random_state` is a seed that a file can hold, or None."""
    is_int = isinstance(random_state, int | np.integer) and not isinstance(random_state, bool)
    if random_state is not None and not (is_int and 0 <= random_state < 2**63):
        raise ValueError(f"`random_state` must be an int from 0 to 2**63 - 1 or None, got {random_state!r}.")


def model_digest(gan: Any) -> str:
    """Return the digest of a model, or of the one in a gate; an empty string if there is none."""
    while not hasattr(gan, "digest") and hasattr(gan, "gan_"):
        gan = gan.gan_
    try:
        return gan.digest() if hasattr(gan, "digest") else ""
    except ValueError:  # the model can't be saved
        return ""


class BlockPlan:
    """The samples of a file in blocks: first the real ones, then synthetic ones, their classes mixed evenly.

    The randomness of a block depends on `seed` and its number only. So the blocks of a data set may be shared
    out to several files: what is said here of samples is of those in this file.

    Parameters
    ----------
    gan : ConditionalGenerator
    counts : ndarray of shape (n_classes,)
        Synthetic samples of each class.
    real : (X, y), or None
    layout : {"nhwc", "nchw"}
        Of images. The attribute is "table" or "series" once such samples have been made.
    block_size : int
        Synthetic blocks hold so many samples or fewer.
    shard : (int, int), default=(0, 1)
        Which part of the blocks the file holds, from 0, and of how many parts.

    Attributes
    ----------
    seed : int
        To be set before a synthetic block is made.
    schema : DataFrameSchema, or None
        Of a DataFrame, once samples have been made.
    n_samples, n_real : int
        How many the file holds, and how many of them are real: the first ones.
    """

    def __init__(
        self,
        gan: ConditionalGenerator,
        counts: np.ndarray,
        real: tuple[Any, Any] | None,
        layout: str,
        block_size: int,
        shard: tuple[int, int] = (0, 1),
    ) -> None:
        self.layout: str = layout
        self.gan = gan
        self.counts = counts
        self.block_size = block_size
        self.seed = 0
        self.schema: DataFrameSchema | None = None
        self.real_X: Any = None
        self.real_labels: np.ndarray = np.empty(0, np.int64)
        if real is not None:
            X, y = real
            self.real_X = as_container(X)
            self.real_labels = label_indices(
                check_labels(y, len(X), "real[1]", "real[0]"), gan.classes_, "real[1]"
            )
        n_synthetic = int(counts.sum())
        if len(self.real_labels) + n_synthetic == 0:
            raise ValueError(
                "`counts` must ask for a sample at least where `real` holds none, got no samples at all."
            )
        self.n_real_blocks: int = -(-len(self.real_labels) // block_size)
        self.n_synthetic_blocks: int = -(-n_synthetic // block_size)
        # Each class that gets any has a phase of its own, so that rare ones don't all fall into the
        # same block.
        self._phase = np.zeros_like(counts)
        present = np.flatnonzero(counts)
        self._phase[present] = np.arange(len(present)) * self.n_synthetic_blocks // max(1, len(present))
        self._template: tuple[int, np.ndarray] | None = None
        self._first, self._last = self._share(*shard)
        self.n_samples: int = self._place(self._last) - self._place(self._first)
        bounds = (min(self._place(block), len(self.real_labels)) for block in (self._first, self._last))
        self._real = slice(*bounds)
        self.n_real: int = self._real.stop - self._real.start

    def _share(self, index: int, n_shards: int) -> tuple[int, int]:
        """Return the first block of a shard, and the one after its last.

        Raises
        ------
        ValueError
            If one of the shards would hold no sample.
        """
        n_blocks = self.n_real_blocks + self.n_synthetic_blocks
        bounds = [n_blocks * i // n_shards for i in range(n_shards + 1)]
        if any(self._place(a) == self._place(b) for a, b in itertools.pairwise(bounds)):
            raise ValueError(
                f"`shard` must be one of at most {n_blocks}, the number of blocks of {self.block_size}"
                f" samples, got {n_shards}: write fewer shards, or pass a lower `block_size`."
            )
        return bounds[index], bounds[index + 1]

    def __len__(self) -> int:
        return self._last - self._first

    @property
    def key(self) -> str:
        """The name of the samples in a file, once some have been made."""
        return LAYOUTS[self.layout]

    @property
    def n_synthetic_per_class(self) -> np.ndarray:
        """How many synthetic samples of each class the file holds."""
        first, last = (max(0, block - self.n_real_blocks) for block in (self._first, self._last))
        return self._count_before(last) - self._count_before(first)

    def _place(self, block: int) -> int:
        """Return the place in the whole data set of the first sample of a block."""
        if block < self.n_real_blocks:
            return block * self.block_size
        return len(self.real_labels) + int(self._count_before(block - self.n_real_blocks).sum())

    def start(self, block: int) -> int:
        """Return the place in the file of the first sample of a block."""
        return self._place(self._first + block) - self._place(self._first)

    def length(self, block: int) -> int:
        """Return the number of samples in a block; 0 is possible where classes get a sample or two each."""
        return self.start(block + 1) - self.start(block)

    def labels(self, block: int) -> np.ndarray:
        """Return the class indices of a block."""
        return self._labels(self._first + block)

    def whole_labels(self) -> tuple[np.ndarray, slice]:
        """Return the class indices of the whole data set, and which of them are of this file."""
        n_blocks = self.n_real_blocks + self.n_synthetic_blocks
        labels = np.concatenate([self._labels(number) for number in range(n_blocks)])
        return labels, slice(self._place(self._first), self._place(self._last))

    def _labels(self, number: int) -> np.ndarray:
        if number < self.n_real_blocks:
            return self.real_labels[number * self.block_size : (number + 1) * self.block_size]
        block = number - self.n_real_blocks
        counts = self._count_before(block + 1) - self._count_before(block)
        labels = np.repeat(np.arange(len(self.counts)), counts)
        return np.random.default_rng([self.seed, block]).permutation(labels)

    def make(self, block: int) -> np.ndarray:
        """Return the samples of a block as a file stores them."""
        if self._template is not None and self._template[0] == block:
            (_, samples), self._template = self._template, None
            return samples
        number = self._first + block
        if number < self.n_real_blocks:
            return self._real_block(number)
        seed = int(np.random.SeedSequence([self.seed, number - self.n_real_blocks]).generate_state(1)[0])
        return self._to_stored(self.gan.sample(self.gan.classes_[self.labels(block)], random_state=seed))

    def _real_block(self, number: int) -> np.ndarray:
        own = slice(number * self.block_size, (number + 1) * self.block_size)
        return self._to_stored(take(self.real_X, own))

    def template(self) -> np.ndarray:
        """Return the first synthetic block, or else the first real one; `make` reuses it once."""
        if self._template is None:
            n_real_blocks = max(0, self.n_real_blocks - self._first)
            first = n_real_blocks if n_real_blocks < len(self) else 0
            block = next(block for block in range(first, len(self)) if self.length(block))
            self._template = block, self.make(block)
        return self._template[1]

    def real_digest(self) -> str:
        """Return a text that differs between two sets of real samples, all of them."""
        return digest_of(map(self._real_block, range(self.n_real_blocks)), self.real_labels)

    def own_real_digest(self) -> str:
        """Return the same of the real samples in this file."""
        blocks = map(self._real_block, range(self._first, min(self._last, self.n_real_blocks)))
        return digest_of(blocks, self.real_labels[self._real])

    def _count_before(self, block: int) -> np.ndarray:
        """Return the number of samples of each class before a synthetic block."""
        return (self.counts * block + self._phase) // max(self.n_synthetic_blocks, 1)

    def _to_stored(self, samples: Any) -> np.ndarray:
        """Return samples in the layout of the file; those of a table or series set `layout` and `schema`."""
        if modality_of(samples, self.gan) == "series":
            self.layout = "series"
        elif is_dataframe(samples) or samples.ndim == 2:
            self.layout = "table"
        if is_dataframe(samples):
            if self.schema is None:
                self.schema = DataFrameSchema.of(samples)
            return self.schema.to_records(samples)
        if isinstance(samples, Tensor):
            samples = samples.permute(0, 2, 3, 1).numpy() if samples.ndim == 4 else samples.numpy()
        elif samples.dtype.kind not in "biuf":
            raise ValueError(
                f"`gan` must make samples of numbers to be stored in a file, got dtype {samples.dtype}: fit"
                " it on a DataFrame."
            )
        if self.layout == "nchw":
            return samples[:, None] if samples.ndim == 3 else samples.transpose(0, 3, 1, 2)
        return samples
