"""Processes: those that train one GAN together, each with its part of every batch.

Each draws the random numbers of the whole batch, and works on its part. Gradients are averaged after each
backward pass, in one call, as StyleGAN2-ADA does; torch's DistributedDataParallel does not take gradients of
gradients, which the penalties need. What depends on a batch as a whole sees the whole batch: batch norm, the
distances between projections, the monitor. So the weights are those of one process, up to rounding.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any, TypeVar

import torch
from torch import Tensor, distributed, nn
from torch.nn import functional as F
from torch.nn.modules.batchnorm import _BatchNorm

from ganaug.training.global_batch_norm import GlobalBatchNorm
from ganaug.training.launch import launched

T = TypeVar("T")


class Processes:
    """The processes of torch's default group, or one alone.

    Parameters
    ----------
    rank, size : int
        Of this process, from 0; and how many there are.
    """

    def __init__(self, rank: int = 0, size: int = 1) -> None:
        self.rank = rank
        self.size = size

    @property
    def is_first(self) -> bool:
        """Whether this is the process that writes files."""
        return self.rank == 0

    def own(self, batch: Tensor) -> Tensor:
        """Return this process's part of a whole batch."""
        n = len(batch) // self.size
        return batch[self.rank * n : (self.rank + 1) * n]

    def own_halves(self, halves: Tensor) -> Tensor:
        """Return this process's part of each of two batches, one after the other."""
        return halves if self.size == 1 else torch.cat([self.own(half) for half in halves.chunk(2)])

    def gather(self, part: Tensor, *, alike: bool = False) -> Tensor:
        """Return the parts of all processes as one batch; differentiable.

        Parameters
        ----------
        part : Tensor of shape (n, ...)
        alike : bool, default=False
            Whether all processes compute the same of the whole batch. Its gradient is then known without
            another call; of that gradient there is none.
        """
        return part if self.size == 1 else _Gather.apply(part, self, alike)

    def add_up(self, tensor: Tensor) -> Tensor:
        """Replace a tensor by its sum over all processes, and return it."""
        with _saying_who_ended():
            distributed.all_reduce(tensor)
        return tensor

    def change(
        self, function: Callable[[Tensor, torch.Generator], Tensor], halves: Tensor, rng: torch.Generator
    ) -> Tensor:
        """Return this process's part of two batches after a random change of each sample.

        As many random numbers are drawn as for the whole batches, and each sample gets its own.

        Parameters
        ----------
        function : callable
            Returns changed samples (n, ...).
        halves : Tensor of shape (2 * n, ...)
            This process's part of the one batch, and then of the other.
        rng : torch.Generator
        """
        if self.size == 1:
            return function(halves, rng)
        halves = halves.unflatten(0, (2, -1))
        n = halves.shape[1]
        around = n * self.rank, n * (self.size - 1 - self.rank)
        whole = F.pad(halves, (*[0] * (2 * (halves.dim() - 2)), *around))
        return self.own_halves(function(whole.flatten(0, 1), rng))

    def average_gradients(self, parameters: Iterable[nn.Parameter], loss: Tensor) -> Tensor:
        """Average the gradients of parameters over all processes, and return the average loss."""
        loss = loss.detach()
        if self.size == 1:
            return loss
        gradients = [parameter.grad for parameter in parameters if parameter.grad is not None]
        flat = torch.cat([loss.reshape(1), *(gradient.flatten() for gradient in gradients)])
        sizes = [1, *(gradient.numel() for gradient in gradients)]
        loss, *averages = (self.add_up(flat) / self.size).split(sizes)
        for gradient, average in zip(gradients, averages, strict=True):
            gradient.copy_(average.view_as(gradient))
        return loss[0]

    def synchronize(self, module: nn.Module) -> None:
        """Have each batch norm of a module work on whole batches, in place."""
        for part in module.modules() if self.size > 1 else ():
            if isinstance(part, _BatchNorm):
                part.__class__ = GlobalBatchNorm
                part.processes = self  # type: ignore[assignment]  # not a module

    def check_batch_size(self, batch_size: int) -> None:
        """Raise ValueError unless a batch can be shared out evenly."""
        if batch_size % self.size:
            raise ValueError(
                f"`batch_size` must be a multiple of the {self.size} processes that train together, got"
                f" {batch_size}."
            )

    def from_first(self, value: T) -> T:
        """Return the value that the first process has."""
        if self.size == 1:
            return value
        values = [value]
        distributed.broadcast_object_list(values)
        return values[0]

    def check_alike(self, fingerprint: Mapping[str, str]) -> None:
        """Raise ValueError, in all processes, unless each has the same of everything.

        Parameters
        ----------
        fingerprint : dict of str
            What must be the same, by the names of parameters.
        """
        if self.size == 1:
            return
        everyone: list[Any] = [None] * self.size
        distributed.all_gather_object(everyone, dict(fingerprint))
        for rank, other in enumerate(everyone):
            for name, value in everyone[0].items():
                if other.get(name) != value:
                    raise ValueError(
                        f"`{name}` must be the same in all processes that train together: process 0 has"
                        f" {value}, process {rank} has {other.get(name)}."
                    )


@contextmanager
def _saying_who_ended() -> Iterator[None]:
    """Raise RuntimeError with a message for the user if another process has ended meanwhile."""
    try:
        yield
    except RuntimeError as exc:
        raise RuntimeError(
            f"Process {distributed.get_rank()} lost those that it trains with: one of them has ended, and has"
            f" said why. Start all anew; with a checkpoint they go on from there. ({exc})"
        ) from exc


class _Gather(torch.autograd.Function):
    """The parts of all processes, one after the other; differentiable as often as the penalties need it."""

    @staticmethod
    def forward(context: Any, part: Tensor, processes: Processes, alike: bool) -> Tensor:
        context.processes, context.alike = processes, alike
        part = part.contiguous()
        whole = part.new_empty(processes.size * len(part), *part.shape[1:])
        with _saying_who_ended():
            distributed.all_gather(list(whole.chunk(processes.size)), part)
        return whole

    @staticmethod
    def backward(context: Any, gradient: Tensor) -> Any:
        processes = context.processes
        if context.alike:
            return processes.size * processes.own(gradient), None, None
        return processes.own(_Sum.apply(gradient, processes)), None, None


class _Sum(torch.autograd.Function):
    """The sum of a tensor over all processes; differentiable as often as the penalties need it."""

    @staticmethod
    def forward(context: Any, tensor: Tensor, processes: Processes) -> Tensor:
        context.processes = processes
        return processes.add_up(tensor.clone(memory_format=torch.contiguous_format))

    @staticmethod
    def backward(context: Any, gradient: Tensor) -> Any:
        return _Sum.apply(gradient, context.processes), None


@contextmanager
def training_processes(together: bool, device: torch.device) -> Iterator[Processes]:
    """Yield the processes that train together: those of torch's group, which is made if torchrun started us.

    Parameters
    ----------
    together : bool
        If False, this process is alone, whatever others there are.
    device : torch.device
        Which decides how they exchange tensors: by NCCL or gloo.

    Raises
    ------
    ValueError
        If `together` is True, and there is no group, nor torchrun.
    """
    if not together:
        yield Processes()
        return
    made = not (distributed.is_available() and distributed.is_initialized())
    if made:
        if launched() is None:
            raise ValueError(
                "`distributed` must be False in a process that was started alone, got True: start several by"
                " torchrun --nproc-per-node N, or call torch.distributed.init_process_group first."
            )
        if device.type == "cuda":
            torch.cuda.set_device(device)  # objects are exchanged through the current one
        distributed.init_process_group("nccl" if device.type == "cuda" else "gloo")
    try:
        yield Processes(distributed.get_rank(), distributed.get_world_size())
    finally:
        if made:
            distributed.destroy_process_group()


def find_device(name: str) -> torch.device:
    """Return a device of this machine; of several processes, each has a GPU of its own.

    Raises
    ------
    ValueError
        If this machine has no device of that name.
    """
    process = launched()
    try:
        if name == "auto":
            has_mps = torch.backends.mps.is_available()
            name = "cuda" if torch.cuda.is_available() else "mps" if has_mps else "cpu"
        if name == "cuda":
            device = torch.device("cuda", 0 if process is None else process.local_rank)
        else:
            device = torch.device(name)
        torch.empty(0, device=device)
    except Exception as exc:  # torch raises another type for each device that is missing
        raise _no_device(name) from exc
    if device.type == "meta":  # it holds no numbers
        raise _no_device(name)
    return device


def _no_device(name: str) -> ValueError:
    found = ["cpu", *(f"cuda:{i}" for i in range(torch.cuda.device_count()))]
    found += ["mps"] if torch.backends.mps.is_available() else []
    return ValueError(
        f"`device` must be 'auto' or a device of this machine, got {name!r}; PyTorch finds"
        f" {', '.join(found)}."
    )
