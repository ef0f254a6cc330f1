"""Random patches of images, and stretches of series, by whose distribution training compares batches."""

from __future__ import annotations

import torch
from torch import Tensor

# A side of 1 is for colours, 3 and 5 are for edges and textures.
PATCH_SIZES, N_FILTERS, N_LOCATIONS = (1, 3, 5), 14, 64
# Steps of a filter of series, and how far apart they are.
STRETCHES = ((1, 1), (5, 1), (5, 2), (9, 4))


def filter_responses(images: Tensor, rng: torch.Generator) -> list[Tensor]:
    """Return the responses of random filters at random locations, the same in all images; differentiable.

    The filters are of 1, 3 and 5 pixels a side. Most differences between real and generated images are on
    this scale: in how sharp edges and how flat surfaces are (Elnekave & Weiss, "Generating natural images
    with direct patch distribution matching", ECCV 2022).

    Parameters
    ----------
    images : Tensor of shape (n, C, H, W)
    rng : torch.Generator
        On the CPU.

    Returns
    -------
    list of Tensor of shape (n_filters, n, n_locations)
    """
    n, channels, height, width = images.shape
    pixels = images.flatten(1).T.contiguous()  # a patch of all images is some whole rows of it
    responses = []
    for side in PATCH_SIZES:
        filters = torch.randn(N_FILTERS, channels * side * side, generator=rng)
        if side == 1 and channels == 1:
            filters = torch.ones(1, 1)  # a number has but one direction
        filters = filters / filters.norm(dim=1, keepdim=True)
        n_columns = width - side + 1
        locations = torch.randint((height - side + 1) * n_columns, (N_LOCATIONS,), generator=rng)
        corners = locations // n_columns * width + locations % n_columns
        channel, y, x = torch.arange(channels), torch.arange(side), torch.arange(side)
        offsets = (channel[:, None, None] * height + y[:, None]) * width + x
        # Only at these locations: a convolution over the image would take several times as long.
        rows = (offsets.flatten()[:, None] + corners).flatten().to(images.device)
        patches = pixels.index_select(0, rows).view(-1, N_LOCATIONS * n)
        response = filters.to(images.device) @ patches
        responses.append(response.view(-1, N_LOCATIONS, n).transpose(1, 2))
    return responses


def stretch_responses(series: Tensor, rng: torch.Generator) -> list[Tensor]:
    """Return the responses of random filters at random times, the same in all series; differentiable.

    The filters take 1, 5 or 9 steps, which lie 1, 2 or 4 apart: so they see how smooth a series is, and some
    of its shape. Dilated random filters are the features of Dempster et al., "ROCKET", 2020.

    Parameters
    ----------
    series : Tensor of shape (n, channels, length)
    rng : torch.Generator
        On the CPU.

    Returns
    -------
    list of Tensor of shape (n_filters, n, n_locations)
    """
    _, channels, length = series.shape
    responses = []
    for steps, dilation in STRETCHES:
        if (steps - 1) * dilation >= length:
            continue
        filters = torch.randn(N_FILTERS, channels * steps, generator=rng)
        filters = (filters / filters.norm(dim=1, keepdim=True)).to(series.device)
        starts = torch.randint(length - (steps - 1) * dilation, (N_LOCATIONS,), generator=rng)
        when = (starts[:, None] + dilation * torch.arange(steps)).to(series.device)
        stretches = series[:, :, when].transpose(1, 2).flatten(2)  # (n, n_locations, channels * steps)
        responses.append((stretches @ filters.T).permute(2, 0, 1))
    return responses
