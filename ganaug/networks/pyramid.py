"""Generators and discriminators of images made of blocks, one for each size from about 4 pixels up."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from ganaug.networks.layers import ProjectionHead
from ganaug.networks.r3gan import resolutions

# Called with a level, and the channels before and after it.
MakeBlock = Callable[[int, int, int], nn.Module]
Wrap = Callable[[nn.Module], nn.Module]

# Of a training that grows, the part in which it does.
GROWING_PART = 0.6
# Samples whose standard deviation a discriminator sees together.
GROUP_SIZE = 4


class Pyramid(nn.Module):
    """Levels of growing size, of which those above `growth` are not there yet.

    Level 0 is the coarsest, and always there. With a growth of 1.5 level 1 is there too, and level 2 with
    half its weight.
    """

    growth: Tensor

    def __init__(self, shape: tuple[int, ...], base_channels: int) -> None:
        super().__init__()
        levels = resolutions(shape, base_channels)[::-1]
        self.channels: list[int] = [channels for channels, _ in levels]
        self.sides: list[tuple[int, int]] = [(height, width) for _, (height, width) in levels]
        self.n_levels: int = len(levels)
        self.grows = False
        self.register_buffer("growth", torch.tensor(float(self.n_levels - 1)))

    def grow(self, progress: float) -> None:
        """Set the growth for a part of the training: each level fades in, then stays as it is for as long."""
        if not self.grows:
            return
        last = self.n_levels - 1
        whole, part = divmod(last * min(1.0, progress / GROWING_PART), 1)
        self.growth.fill_(min(last, whole + max(0.0, 2 * part - 1)))

    def shares(self) -> list[float]:
        """Return the weight of each level."""
        growth = float(self.growth)
        return [1.0, *(min(1.0, max(0.0, growth - level)) for level in range(self.n_levels - 1))]


class PyramidGenerator(Pyramid):
    """Blocks that turn coarse maps into finer ones, each with a layer that adds to the image.

    The image is the sum over all levels, enlarged (Karras et al., "Analyzing and improving the image quality
    of StyleGAN", CVPR 2020, figure 7).
    """

    def __init__(self, shape: tuple[int, ...], base_channels: int, make_block: MakeBlock) -> None:
        super().__init__(shape, base_channels)
        before = [self.channels[0], *self.channels]
        self.blocks: nn.ModuleList = nn.ModuleList(
            make_block(level, before[level], after) for level, after in enumerate(self.channels)
        )
        self.to_images: nn.ModuleList = nn.ModuleList(nn.Conv2d(n, shape[0], 1) for n in self.channels)

    def image(self, maps: Tensor, conditions: Sequence[Tensor]) -> Tensor:
        """Return raw images (n, C, H, W) for coarsest maps, and the condition of each level (n, k)."""
        maps = self.blocks[0](maps, conditions[0])
        image: Tensor = self.to_images[0](maps)
        for level, share in enumerate(self.shares()[1:], 1):
            sides = self.sides[level]
            image = F.interpolate(image, size=sides, mode="bilinear")
            if share:
                maps = F.interpolate(maps, size=sides, mode="nearest")
                maps = self.blocks[level](maps, conditions[level])
                image = image + share * self.to_images[level](maps)
        return image


class PyramidDiscriminator(Pyramid):
    """Blocks that turn fine maps into coarser ones, to which the image adds at each level; a projection head.

    The head also sees how much samples differ from each other (Karras et al., "Progressive growing of GANs",
    ICLR 2018, section 3).
    """

    def __init__(
        self,
        shape: tuple[int, ...],
        n_classes: int,
        base_channels: int,
        make_block: MakeBlock,
        wrap: Wrap = lambda layer: layer,
    ) -> None:
        super().__init__(shape, base_channels)
        self.from_images: nn.ModuleList = nn.ModuleList(
            wrap(nn.Conv2d(shape[0], n, 1)) for n in self.channels
        )
        self.blocks: nn.ModuleList = nn.ModuleList(
            make_block(level, self.channels[level], self.channels[level - 1])
            for level in range(1, self.n_levels)
        )
        last = self.channels[0]
        self.last: nn.Sequential = nn.Sequential(
            wrap(nn.Conv2d(last + 1, last, 3, 1, 1)),
            nn.LeakyReLU(0.2),
            nn.Flatten(),
            wrap(nn.Linear(last * math.prod(self.sides[0]), last)),
            nn.LeakyReLU(0.2),
        )
        self.head: ProjectionHead = ProjectionHead(last, n_classes)

    def forward(self, images: Tensor, labels: Tensor) -> Tensor:
        """Return a logit for each of the images (n, C, H, W) with labels (n,)."""
        shares = self.shares()
        maps: Tensor | None = None
        for level in range(self.n_levels - 1, -1, -1):
            if shares[level] == 0:
                continue
            sides = self.sides[level]
            seen = F.leaky_relu(self.from_images[level](F.adaptive_avg_pool2d(images, sides)), 0.2)
            if maps is not None:
                above = self.blocks[level](maps)
                seen = seen + shares[level + 1] * F.adaptive_avg_pool2d(above, sides)
            maps = seen
        assert maps is not None  # noqa: S101 - for the type checker: the first level is always there
        return self.head(self.last(torch.cat([maps, batch_deviation(maps)], dim=1)), labels)


def batch_deviation(maps: Tensor) -> Tensor:
    """Return the mean standard deviation of maps (n, channels, H, W) over groups of samples, (n, 1, H, W).

    Groups are of samples that follow each other, and none holds both of a batch's halves, which may be real
    and generated samples.
    """
    n = len(maps)
    size = math.gcd(max(1, n // 2), GROUP_SIZE) if n % 2 == 0 else 1
    groups = maps.unflatten(0, (n // size, size))
    deviation = (groups.var(dim=1, correction=0) + 1e-8).sqrt().mean(dim=(1, 2, 3))
    return deviation.repeat_interleave(size)[:, None, None, None].expand(-1, 1, *maps.shape[2:])
