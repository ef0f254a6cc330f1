"""write_hdf5: writes samples to a file, block by block, so that a run can be killed and resumed."""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any, Protocol

import h5py
import numpy as np
from tqdm.auto import tqdm

from ganaug.data.protocol import ConditionalGenerator, check_generator
from ganaug.io import blocks
from ganaug.io.blocks import BlockPlan, check_options, check_seed, count_samples, model_digest
from ganaug.io.disk import locked, preallocate, rename_new, sync
from ganaug.io.hdf5 import CHECKSUM, checksum
from ganaug.io.hdf5_layout import (
    SampleWeight,
    as_text,
    check_free_space,
    check_last_block,
    check_partial,
    check_schema_fits,
    compress,
    is_complete,
    lay_out,
    sample_dataset,
    schema_space,
    start_writeback,
    sync_hdf5,
    write_schema,
)
from ganaug.io.journal import (
    Journal,
    WriterState,
    check_place,
    check_same_run,
    check_target,
    damaged_journal,
    left_over,
    remove_left_over,
    sidecar_paths,
    target_exists,
)
from ganaug.io.records import DataFrameSchema

# A kill costs the work of so long; to sync more often would slow writing down.
SYNC_SECONDS = 10.0


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
        `path`.

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
    path = Path(path)
    check_target(path, overwrite, resume)
    check_generator(gan)
    check_options(layout, compression, block_size)
    block_size = blocks.fitting_block_size(gan, int(block_size))
    per_class = count_samples(getattr(counts, "to_add", counts), gan.classes_, block_size)
    check_seed(random_state)
    plan = BlockPlan(gan, per_class, real, layout, block_size)
    run = {
        "counts": per_class.tolist(),
        "real": plan.real_digest(),
        "model": model_digest(gan),
        "classes": [str(label) for label in as_text(np.asarray(gan.classes_))],
        "weighted": sample_weight is not None,
        "layout": layout,
        "block_size": block_size,
    }
    with locked(path):
        state = left_over(path, overwrite, resume)
        if random_state is None and state is not None:
            random_state = state.run["random_state"]
        run["random_state"] = None if random_state is None else int(random_state)
        if os.path.lexists(path) and not overwrite:
            if not is_complete(path, run, compression):
                raise target_exists(path)
            if state is None or state.run == run:
                remove_left_over(path)
            if verbose:
                print(f"{path} is already complete.", file=sys.stderr)
            return path
        if state is not None:
            check_same_run(run, state, path)
        elif random_state is None:
            run["random_state"] = int(np.random.SeedSequence().generate_state(1)[0])
        HDF5Writer(
            path,
            plan,
            state or WriterState(run),
            sample_weight=sample_weight,
            compression=compression,
            overwrite=overwrite,
            verbose=verbose,
        ).write()
    return path


class HDF5Writer:
    """Write the blocks of a plan to a partial file, which takes its place when it is whole.

    The order of the steps makes a kill harmless. First comes the journal: what has none is never ours. Then
    the space of the whole file is allocated, and all but the samples is written. Then follows block after
    block; the journal counts only blocks that have been synced to disk. The file is renamed last.
    """

    def __init__(
        self,
        path: Path,
        plan: BlockPlan,
        state: WriterState,
        *,
        sample_weight: SampleWeight | None,
        compression: str | None,
        overwrite: bool,
        verbose: bool,
    ) -> None:
        self.path, self.plan, self.state = path, plan, state
        self.sample_weight, self.compression = sample_weight, compression
        self.overwrite, self.verbose = overwrite, verbose
        self.partial, self.packed, _ = sidecar_paths(path)
        plan.seed = int(np.random.SeedSequence(state.run["random_state"]).generate_state(1)[0])
        self._made: list[Path] = []  # what may be deleted if nothing comes of it
        if not state.blocks:
            return
        if state.blocks > len(plan) or state.rows != plan.start(state.blocks):
            raise damaged_journal(path, f"{state.rows} rows in {state.blocks} blocks")
        try:
            plan.schema = None if state.columns is None else DataFrameSchema(state.columns)
        except (LookupError, TypeError, ValueError) as exc:
            raise damaged_journal(path, f"`columns`: {exc}") from exc

    def write(self) -> None:
        """Write the file, or what is missing of it."""
        resume = self.state.blocks > 0
        check_free_space(self.partial, self.plan, self.compression, resume=resume)
        try:
            with self._resume() if resume else self._start() as file:
                if resume:
                    self._keep_journal()
                else:
                    lay_out(file, self.plan, self.state.run, self.sample_weight)
                file.flush()
                preallocate(file.id.get_vfd_handle(), file.id.get_filesize(), file.filename)
                check_last_block(file, self.plan, self.state.blocks)
                self._write_blocks(file)
                sample_dataset(file).attrs.modify(CHECKSUM, np.uint64(self.state.checksum))
                write_schema(file, self.plan)
                self._note(file)
            self._finish()
        except BaseException:
            # With blocks in its journal, the partial file may be hours of work, for `resume` to continue.
            for made in reversed(self._made):
                made.unlink(missing_ok=True)
            raise

    def _start(self) -> h5py.File:
        """Return a new partial file, in the place of what an earlier run left."""
        if self.partial.exists():
            with suppress(ValueError):
                self._open().close()
        remove_left_over(self.path)
        self._keep_journal()
        self._made.append(self.journal.path)
        file = h5py.File(self.partial, "x")
        self._made.append(self.partial)
        return file

    def _resume(self) -> h5py.File:
        """Return the partial file of the run that was stopped."""
        file = self._open()
        try:
            check_partial(file, self.plan, self.state.columns)
        except ValueError as exc:
            file.close()
            raise self._damaged(exc) from exc
        return file

    def _open(self) -> h5py.File:
        try:
            return h5py.File(self.partial, "r+")
        except BlockingIOError as exc:
            raise BlockingIOError(f"{self.partial} is being written by another run.") from exc
        except OSError as exc:
            raise self._damaged(exc) from exc

    def _damaged(self, why: Exception) -> ValueError:
        return ValueError(
            f"{self.partial} is damaged: pass overwrite=True (--overwrite) to start anew. ({why})"
        )

    def _keep_journal(self) -> None:
        self.journal = Journal(sidecar_paths(self.path).journal, self.state, schema_space(self.plan))

    def _note(self, file: h5py.File) -> None:
        """Have the journal count what was written, once that is durable."""
        sync_hdf5(file)
        self.state.columns = None if self.plan.schema is None else self.plan.schema.schema
        self.journal.write(self.state)
        self._made.clear()

    def _finish(self) -> None:
        """Give the file its name. What has taken that name during the run is not replaced unasked."""
        done = self.partial
        if self.compression is not None:
            done = self.packed
            done.unlink(missing_ok=True)  # half of it, left by a kill
            compress(self.partial, done, self.compression)
        try:
            if self.overwrite:
                check_place(self.path)
                sync(done)
                done.replace(self.path)
                sync(self.path.parent)
            else:
                rename_new(done, self.path)
        except FileExistsError as exc:
            self.packed.unlink(missing_ok=True)
            raise FileExistsError(
                f"{self.path} turned up while it was written: what was written stays in {self.partial}. Move"
                f" {self.path} away and pass resume=True (--resume). ({exc})"
            ) from exc
        remove_left_over(self.path)

    def _write_blocks(self, file: h5py.File) -> None:
        """Write the blocks that are missing, and keep `state` and the journal up to date."""
        plan, state, dataset = self.plan, self.state, sample_dataset(file)
        first, synced = state.blocks, time.monotonic()
        with tqdm(
            desc="writing",
            initial=plan.start(first),
            total=plan.n_samples,
            disable=None if self.verbose else True,
        ) as bar:
            for block in filter(plan.length, range(first, len(plan))):
                samples = plan.make(block)
                check_schema_fits(file, plan)
                dataset[plan.start(block) : plan.start(block + 1)] = samples
                state.checksum = (state.checksum + checksum(samples)) % 2**64
                state.blocks, state.rows = block + 1, plan.start(block + 1)
                start_writeback(file)
                bar.update(len(samples))
                if time.monotonic() - synced >= SYNC_SECONDS:
                    self._note(file)
                    synced = time.monotonic()
