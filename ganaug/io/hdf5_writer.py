"""HDF5Writer: writes the blocks of a plan to a file that is whole or not there."""

from __future__ import annotations

import time
from contextlib import suppress
from pathlib import Path

import h5py
import numpy as np

from ganaug.io.blocks import BlockPlan
from ganaug.io.disk import preallocate, rename_new, sync
from ganaug.io.hdf5 import CHECKSUM, checksum
from ganaug.io.hdf5_layout import (
    SampleWeight,
    check_free_space,
    check_last_block,
    check_partial,
    check_schema_fits,
    compress,
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
    damaged_journal,
    remove_left_over,
    sidecar_paths,
)
from ganaug.io.progress import progress_bar
from ganaug.io.records import DataFrameSchema

# A kill costs the work of so long; to sync more often would slow writing down.
SYNC_SECONDS = 10.0


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
        self.path = path
        self.plan = plan
        self.state = state
        self.sample_weight = sample_weight
        self.compression = compression
        self.overwrite = overwrite
        self.verbose = verbose
        self.partial: Path = sidecar_paths(path).partial
        self.packed: Path = sidecar_paths(path).packed
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
        self.journal: Journal = Journal(sidecar_paths(self.path).journal, self.state, schema_space(self.plan))

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
        total = plan.n_samples
        with progress_bar(shown=self.verbose, desc="writing", initial=plan.start(first), total=total) as bar:
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
