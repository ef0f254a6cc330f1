"""write_hdf5: writes samples to a file, block by block, so that a run can be killed and resumed."""

from __future__ import annotations

import os
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Protocol

import numpy as np

from ganaug.data.protocol import ConditionalGenerator, check_generator
from ganaug.io import blocks
from ganaug.io.blocks import BlockPlan, check_options, check_seed, count_samples, model_digest
from ganaug.io.disk import locked
from ganaug.io.hdf5_layout import SampleWeight, as_text, is_complete
from ganaug.io.hdf5_writer import HDF5Writer
from ganaug.io.journal import (
    WriterState,
    check_place,
    check_same_run,
    check_target,
    left_over,
    remove_left_over,
    shard_path,
    target_exists,
)
from ganaug.io.shards import check_shard, join_shards


class Counts(Protocol):
    """An object that says how many samples to add to each class, such as a `Recommendation`."""

    to_add: Mapping[Any, int]


def write_hdf5(
    gan: ConditionalGenerator,
    path: str | Path,
    counts: int | Mapping[Any, int] | Counts,
    *,
    real: tuple[Any, Any] | None = None,
    sample_weight: SampleWeight | None = None,
    random_state: int | None = None,
    layout: str = "nhwc",
    compression: str | None = None,
    block_size: int = 1024,
    shard: tuple[int, int] | None = None,
    resume: bool = False,
    overwrite: bool = False,
    verbose: bool = False,
) -> Path:
    """Write a synthetic data set of any size, in the format of `ganaug.io.hdf5`.

    Samples are made in blocks, the classes mixed evenly over them. The randomness of a block depends on
    the seed and its number only. So a run that is resumed ends with the file that an undisturbed run
    writes: the same bits with the same generator, type of device, versions and number of threads.

    Until the file is whole it is beside `path` as ``NAME.partial``. Every ten seconds ``NAME.journal``
    records how many blocks are durable. A lock on ``.NAME.lock`` keeps other runs away.

    Parameters
    ----------
    gan : ConditionalGenerator
        A fitted `ConditionalGAN`, or anything with ``classes_`` and ``sample``. It is called for one block
        after another, so a `QualityGate` finds duplicates within a block.
    path : path
        The file to write.
    counts : int, dict of label to int, or Recommendation
        Synthetic samples of each class, or of the classes named. Others get none.
    real : (X, y), optional
        Real samples of the same kind and their labels, to stand first in the file. Default: none.
    sample_weight : callable, optional
        ``sample_weight(labels, synthetic) -> weights``, called with original labels and a mask, such as that
        of a `Recommendation`. The weights are written too, as ``weights``. Default: no weights.
    random_state : int, optional
        The same seed writes the same samples. None draws a seed. The file holds it as attribute ``seed``.
    layout : {"nhwc", "nchw"}, default="nhwc"
        Images are written as ``images`` (N, H, W, C), or as ``imgs`` (N, C, H, W), which BigGAN's loaders
        read. A table is written as ``rows`` in either case.
    compression : {"gzip", "lzf"}, optional
        Applied when all samples are written, which takes the space of a second file for a while.
        Generated images hardly shrink. Default: none.
    block_size : int, default=1024
        How many samples, about, are made and written at once; of images above 64 pixels a side, no more
        than fit into 128 MiB.
    shard : (int, int), optional
        Write only this part of the data set, ``(index, number)`` with an index from 0: so several processes,
        of one machine or of many with a common disk, write it together. All need the same other arguments, a
        `random_state` among them. Part 1 of 4 of "pets.h5" is ``pets-00001-of-00004.h5``. The process that
        completes the parts writes "pets.h5", which joins them; move all together. Their samples are those of
        one file, in the same order. Not for DataFrames. Default: one file.
    resume : bool, default=False
        Continue a stopped run with the same arguments, if there is one. If the file is there already, as
        a run with these arguments writes it, it is left as it is.
    overwrite : bool, default=False
        Replace an existing HDF5 file, or what a stopped run left. Nothing else is replaced.
    verbose : bool, default=False
        Show a progress bar, on terminals only; and say so if the file is already complete.

    Returns
    -------
    Path
        `path`, or that of the shard.

    Raises
    ------
    BlockingIOError
        If another run writes this file.
    FileExistsError
        If `path` exists and `overwrite` is False, or a stopped run left a partial file and both `resume`
        and `overwrite` are False. If there is something else than an HDF5 file at `path`, or something
        that no run has left at the names beside it. If a file turns up at `path` during the run and
        `overwrite` is False; what was written stays, for `resume`.
    OSError
        If there is too little space for the file, or with `compression` for a second one.
    ValueError
        If a parameter is not of the kind described. If `counts` names an unknown class, or there are
        neither synthetic nor real samples. If real samples are not of the kind of synthetic ones. If the
        run to resume had other arguments, or its generator made other samples.

    Examples
    --------
    >>> import tempfile
    >>> import numpy as np
    >>> from ganaug import ConditionalGAN, as_arrays, write_hdf5
    >>> X = np.random.default_rng(0).integers(0, 256, (20, 8, 8), np.uint8)
    >>> gan = ConditionalGAN(steps=1).fit(X, ["cat", "dog"] * 10)
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     path = write_hdf5(gan, folder + "/pets.h5", {"cat": 3, "dog": 1}, random_state=0)
    ...     X, y = as_arrays(path)
    >>> X.shape, sorted(y.tolist())
    ((4, 8, 8), ['cat', 'cat', 'cat', 'dog'])
    """
    whole = Path(path)
    index, n_shards = check_shard(shard, random_state)
    path = whole if shard is None else _shard_target(whole, index, n_shards, overwrite or resume)
    check_target(path, overwrite, resume)
    check_generator(gan)
    check_options(layout, compression, block_size)
    block_size = blocks.fitting_block_size(gan, int(block_size))
    per_class = count_samples(getattr(counts, "to_add", counts), gan.classes_, block_size)
    check_seed(random_state)
    plan = BlockPlan(gan, per_class, real, layout, block_size, (index, n_shards))
    run = {
        "counts": per_class.tolist(),
        "real": plan.real_digest(),
        "model": model_digest(gan),
        "classes": [str(label) for label in as_text(np.asarray(gan.classes_))],
        "weighted": sample_weight is not None,
        "layout": layout,
        "block_size": block_size,
        "shard": None if shard is None else [index, n_shards],
    }
    options: Any = {"sample_weight": sample_weight, "compression": compression, "verbose": verbose}
    with locked(path):
        state = left_over(path, overwrite, resume)
        if random_state is None and state is not None:
            random_state = state.run["random_state"]
        run["random_state"] = None if random_state is None else int(random_state)
        if os.path.lexists(path) and not overwrite:
            if not is_complete(path, plan, run, compression):
                raise target_exists(path)
            if state is None or state.run == run:
                remove_left_over(path)
            if verbose:
                print(f"{path} is already complete.", file=sys.stderr)
        else:
            if state is not None:
                check_same_run(run, state, path)
            elif random_state is None:
                run["random_state"] = int(np.random.SeedSequence().generate_state(1)[0])
            HDF5Writer(path, plan, state or WriterState(run), overwrite=overwrite, **options).write()
    if shard is not None and join_shards(whole, run, overwrite=overwrite) and verbose:
        print(f"{whole} joins all {n_shards} shards.", file=sys.stderr)
    return path


def _shard_target(whole: Path, index: int, n_shards: int, may_exist: bool) -> Path:
    """Return where a shard is written; raise OSError if the file that joins all can't be."""
    check_place(whole)
    if os.path.lexists(whole) and not may_exist:
        raise target_exists(whole)
    return shard_path(whole, index, n_shards)
