"""write_hdf5: writes samples to a file, block by block, so that a run can be killed and resumed."""

from __future__ import annotations

import os
import time
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any, Protocol

import h5py
import numpy as np
from tqdm.auto import tqdm

from ganaug.data.labels import expand_counts
from ganaug.data.protocol import ConditionalGenerator, check_generator
from ganaug.io.blocks import BlockPlan
from ganaug.io.disk import preallocate
from ganaug.io.hdf5 import CHECKSUM, checksum
from ganaug.io.hdf5_layout import (
    COMPRESSIONS,
    SampleWeight,
    check_free_space,
    check_schema_fits,
    compress,
    lay_out,
    sample_dataset,
    write_schema,
)
from ganaug.io.journal import WriterState, check_same_run, read_journal, sidecar_paths, write_journal
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
    records how many blocks are durable.

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
        How many samples, about, are made and written at once.
    resume : bool, default=False
        Continue a stopped run with the same arguments, if there is one.
    overwrite : bool, default=False
        Replace an existing file, or what a stopped run left.
    verbose : bool, default=False
        Show a progress bar, on terminals only.

    Returns
    -------
    Path
        `path`.

    Raises
    ------
    FileExistsError
        If `path` exists and `overwrite` is False, or a stopped run left a partial file and both `resume`
        and `overwrite` are False.
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
    _check_options(layout, compression, block_size)
    per_class = expand_counts(getattr(counts, "to_add", counts), gan.classes_)
    _check_seed(random_state)
    plan = BlockPlan(gan, per_class, real, layout, int(block_size))
    if plan.n_samples == 0:
        raise ValueError(
            "`counts` must ask for a sample at least where `real` holds none, got no samples at all."
        )
    run = {
        "counts": per_class.tolist(),
        "real": plan.real_digest(),
        "model": _model_digest(gan),
        "classes": [str(label) for label in gan.classes_],
        "weighted": sample_weight is not None,
        "layout": layout,
        "block_size": int(block_size),
    }
    state = read_journal(path) if resume else None
    if random_state is None:
        random_state = _draw_seed() if state is None else state.run.get("random_state")
    run["random_state"] = None if random_state is None else int(random_state)
    if state is None:
        state = WriterState(run)
    else:
        check_same_run(run, state, sidecar_paths(path)[1])
    writer = HDF5Writer(
        path, plan, state, sample_weight=sample_weight, compression=compression, verbose=verbose
    )
    writer.write()
    return path


def _check_options(layout: str, compression: str | None, block_size: Any) -> None:
    for name, value, allowed in (
        ("layout", layout, ("nhwc", "nchw")),
        ("compression", compression, (None, *COMPRESSIONS)),
    ):
        if value not in allowed:
            raise ValueError(f"`{name}` must be one of {list(allowed)}, got {value!r}.")
    if not isinstance(block_size, int | np.integer) or isinstance(block_size, bool) or block_size < 1:
        raise ValueError(f"`block_size` must be an int of at least 1, got {block_size!r}.")


def _check_seed(random_state: Any) -> None:
    is_int = isinstance(random_state, int | np.integer) and not isinstance(random_state, bool)
    if random_state is not None and not (is_int and 0 <= random_state < 2**63):
        raise ValueError(f"`random_state` must be an int from 0 to 2**63 - 1 or None, got {random_state!r}.")


def _draw_seed() -> int:
    return int(np.random.SeedSequence().generate_state(1)[0])


def _model_digest(gan: Any) -> str:
    """Return the digest of a model, or of the one in a gate; an empty string if there is none."""
    while not hasattr(gan, "digest") and hasattr(gan, "gan_"):
        gan = gan.gan_
    try:
        return gan.digest() if hasattr(gan, "digest") else ""
    except ValueError:  # the model can't be saved
        return ""


def check_target(path: Path, overwrite: bool, resume: bool) -> None:
    """Raise OSError if no file can be written at `path`, or if what is there may not be replaced."""
    if path.exists() and not overwrite:
        raise FileExistsError(f"{path} exists: pass overwrite=True (--overwrite) to replace it.")
    if path.is_dir():
        raise FileExistsError(f"{path} is a folder: name a file.")
    if not path.parent.is_dir():
        raise FileNotFoundError(f"{path.parent} is not a folder: make it first.")
    state = None if resume or overwrite else read_journal(path)
    if state is not None:
        raise FileExistsError(
            f"{sidecar_paths(path)[0]} is of a run that was stopped after {state.rows} rows: pass resume=True"
            " (--resume) to go on, or overwrite=True (--overwrite) to start anew."
        )


class HDF5Writer:
    """Write the blocks of a plan to a partial file, which takes its place when it is whole.

    The order of the steps makes a kill harmless. First the space of the whole file is allocated, and all
    but the samples is written. Then follows block after block; the journal counts only blocks that have
    been synced to disk. The file is renamed last.
    """

    def __init__(
        self,
        path: Path,
        plan: BlockPlan,
        state: WriterState,
        *,
        sample_weight: SampleWeight | None,
        compression: str | None,
        verbose: bool,
    ) -> None:
        self.path, self.plan, self.state = path, plan, state
        self.sample_weight, self.compression, self.verbose = sample_weight, compression, verbose
        self.partial, self.journal = sidecar_paths(path)
        plan.seed = int(np.random.SeedSequence(state.run.get("random_state")).generate_state(1)[0])
        if state.blocks:
            plan.schema = None if state.columns is None else DataFrameSchema(state.columns)

    def write(self) -> None:
        """Write the file, or what is missing of it."""
        resume = self.state.blocks > 0
        check_free_space(self.partial, self.plan, self.compression, resume=resume)
        file = self._open(resume)
        if not resume:
            self.journal.unlink(missing_ok=True)  # only now: before, it may be that of a running writer
        try:
            with file:
                if not resume:
                    lay_out(file, self.plan, self.state.run, self.sample_weight)
                file.flush()
                preallocate(file.id.get_vfd_handle(), file.id.get_filesize(), file.filename)
                self._check_last_block(file)
                self._write_blocks(file)
                sample_dataset(file).attrs.modify(CHECKSUM, np.uint64(self.state.checksum))
                write_schema(file, self.plan)
                _sync(file)
            if self.compression is not None:
                compress(self.partial, self.compression)
            self.partial.replace(self.path)
            self.journal.unlink(missing_ok=True)
        except BaseException:
            # With a journal, the partial file may be hours of work, for `resume` to continue.
            if not self.journal.exists():
                self.partial.unlink(missing_ok=True)
            raise

    def _open(self, resume: bool) -> h5py.File:
        if self.partial.exists():
            try:
                file = h5py.File(self.partial, "r+")
                if resume:
                    return file
                file.close()
            except BlockingIOError as exc:  # mode "w" would empty the file before it finds it locked
                raise BlockingIOError(f"{self.partial} is being written by another run.") from exc
            except OSError as exc:
                if resume:
                    raise ValueError(
                        f"{self.partial} is damaged: pass overwrite=True (--overwrite) to start anew. ({exc})"
                    ) from exc
        return h5py.File(self.partial, "w")

    def _check_last_block(self, file: h5py.File) -> None:
        """Raise ValueError if the generator makes the last block written otherwise now."""
        done = self.state.blocks
        if not done:
            return
        written = sample_dataset(file)[self.plan.start(done - 1) : self.plan.start(done)]
        # Byte by byte: NaN is not equal to itself.
        if written.tobytes() != self.plan.make(done - 1).tobytes():
            raise ValueError(
                f"`gan` makes other samples now than those in {file.filename}: resume with the model,"
                " versions, device and number of threads of the run that was stopped, or pass"
                " overwrite=True (--overwrite) to start anew."
            )

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
                _start_writeback(file)
                bar.update(len(samples))
                if time.monotonic() - synced >= SYNC_SECONDS:
                    _sync(file)
                    state.columns = None if plan.schema is None else plan.schema.schema
                    write_journal(self.journal, state)
                    synced = time.monotonic()


def _start_writeback(file: h5py.File) -> None:
    """Let the system store what was written while the next block is made, and keep no copy in memory."""
    if hasattr(os, "posix_fadvise"):
        with suppress(OSError):  # it is advice
            os.posix_fadvise(file.id.get_vfd_handle(), 0, 0, os.POSIX_FADV_DONTNEED)


def _sync(file: h5py.File) -> None:
    file.flush()
    os.fsync(file.id.get_vfd_handle())
