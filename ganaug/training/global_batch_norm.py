"""GlobalBatchNorm: batch norm over the batches of all processes that train together."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor
from torch.nn.modules.batchnorm import _BatchNorm


class GlobalBatchNorm(_BatchNorm):
    """Batch norm over the batches of all processes.

    torch's own, SyncBatchNorm, takes no tensors on the CPU, nor has it gradients of gradients, which the
    penalties need.
    """

    processes: Any

    def _check_input_dim(self, input: Tensor) -> None:
        pass  # that of the class it was before has seen such inputs

    def forward(self, input: Tensor) -> Tensor:
        """Normalise (n, channels, ...)."""
        if not self.training:
            return super().forward(input)
        output, mean, variance = _Normalize.apply(input, self.weight, self.bias, self.eps, self.processes)
        self._update_running(mean, variance, input.numel() // input.shape[1])
        return output

    @torch.no_grad()
    def _update_running(self, mean: Tensor, variance: Tensor, n_values: int) -> None:
        if self.running_mean is None or self.running_var is None or self.num_batches_tracked is None:
            return
        self.num_batches_tracked.add_(1)
        share = 1 / float(self.num_batches_tracked) if self.momentum is None else self.momentum
        n = n_values * self.processes.size
        self.running_mean.lerp_(mean, share)
        self.running_var.lerp_(variance * n / (n - 1), share)


def _normalize(
    x: Tensor, weight: Tensor | None, bias: Tensor | None, eps: float, processes: Any
) -> tuple[Tensor, Tensor, Tensor]:
    """Return `x` normalised, and mean and variance of the whole batch, (channels,)."""
    axes, shape = _axes(x)
    own_mean = x.mean(axes)
    # Not torch.var_mean, which on the CPU takes longer than a convolution.
    centred = x - own_mean.view(shape)
    statistics = processes.gather(torch.stack([own_mean, centred.square().mean(axes)])[None])
    means, variances = statistics.unbind(1)
    mean = means.mean(0)
    variance = (variances + (means - mean).square()).mean(0)
    scale = (variance + eps).rsqrt()
    if weight is not None:
        scale = scale * weight
    shift = (own_mean - mean) * scale
    if bias is not None:
        shift = shift + bias
    return torch.addcmul(shift.view(shape), centred, scale.view(shape)), mean, variance


def _axes(x: Tensor) -> tuple[list[int], list[int]]:
    """Return all axes but that of channels, and the shape of what there is one of for each channel."""
    return [axis for axis in range(x.dim()) if axis != 1], [1, -1, *[1] * (x.dim() - 2)]


class _Normalize(torch.autograd.Function):
    """`_normalize`, with a gradient of few passes over the batch, as often differentiable as needed."""

    @staticmethod
    def forward(
        context: Any, x: Tensor, weight: Tensor | None, bias: Tensor | None, eps: float, processes: Any
    ) -> tuple[Tensor, Tensor, Tensor]:
        output, mean, variance = _normalize(x, weight, bias, eps, processes)
        context.save_for_backward(x, weight, bias, mean, (variance + eps).rsqrt())
        context.eps, context.processes = eps, processes
        context.mark_non_differentiable(mean, variance)
        return output, mean, variance

    @staticmethod
    def backward(context: Any, gradient: Tensor, *_: Any) -> Any:
        x, weight, bias, mean, deviation_inverse = context.saved_tensors
        if torch.is_grad_enabled():  # a gradient of the gradient will be asked for
            output = _normalize(x, weight, bias, context.eps, context.processes)[0]
            inputs = [tensor for tensor in (x, weight, bias) if tensor is not None and tensor.requires_grad]
            found = iter(torch.autograd.grad(output, inputs, gradient, create_graph=True))
            wanted = [tensor is not None and tensor.requires_grad for tensor in (x, weight, bias)]
            return *(next(found) if is_wanted else None for is_wanted in wanted), None, None
        axes, shape = _axes(x)
        for_bias = gradient.sum(axes)
        for_weight = ((gradient * x).sum(axes) - mean * for_bias) * deviation_inverse
        n = context.processes.size * x.numel() // x.shape[1]
        all_for_bias, all_for_weight = context.processes.add_up(torch.stack([for_bias, for_weight])) / n
        scale = deviation_inverse if weight is None else deviation_inverse * weight
        slope = -scale * deviation_inverse * all_for_weight
        for_x = torch.addcmul((-slope * mean - scale * all_for_bias).view(shape), x, slope.view(shape))
        for_x.addcmul_(gradient, scale.view(shape))
        return for_x, None if weight is None else for_weight, None if bias is None else for_bias, None, None
