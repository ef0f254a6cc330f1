"""Flow: where the pixels of varied images come from, so that masks, boxes and key points go with them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from ganaug.data.working_size import VALUES_AT_ONCE, enlarge

# A side of a box is followed at so many points: a straight line does not stay straight.
POINTS_PER_SIDE = 4
# Each step halves the distance to where a point goes, or nearly so.
STEPS = 30


class Flow:
    """The flow along which `ConditionalGAN.vary` warped images, for what else lies on these images.

    ``gan.vary(X, y, return_flow=True)`` returns it beside the varied images.

    Parameters
    ----------
    fields : sequence of N Tensors of shape (2, h, w)
        For each pixel where its value comes from, relative to it: x, then y, in half sides. They are
        enlarged bilinearly to the size of the images.
    sides : (int, int)
        Height and width of the images, in pixels.
    mirrored : bool
        Whether an image goes on beyond its edges mirrored; otherwise its edge pixels are repeated.

    Examples
    --------
    >>> import numpy as np
    >>> from ganaug import ConditionalGAN
    >>> rng = np.random.default_rng(0)
    >>> X, y = rng.random((20, 16, 16), np.float32), np.arange(20) % 2
    >>> gan = ConditionalGAN(steps=2, random_state=0).fit(X, y)
    >>> varied, flow = gan.vary(X, y, random_state=0, return_flow=True)
    >>> flow.warp_masks(X > 0.5).shape
    (20, 16, 16)
    >>> flow.warp_points(np.full((20, 1, 2), 8.0)).shape, flow.warp_boxes([np.zeros((0, 4))] * 20)[0].shape
    ((20, 1, 2), (0, 4))
    """

    def __init__(self, fields: Sequence[Tensor], sides: tuple[int, int], *, mirrored: bool) -> None:
        self.sides = sides
        self.mirrored = mirrored
        if len({field.shape for field in fields}) > 1:  # of several architectures
            fields = [enlarge(field[None], sides)[0] for field in fields]
        self.fields: Tensor = torch.stack(list(fields)) if len(fields) else torch.empty(0, 2, *sides)

    def __len__(self) -> int:
        return len(self.fields)

    def __getitem__(self, which: slice) -> Flow:
        """Return the flow of some of the images."""
        return Flow(list(self.fields[which]), self.sides, mirrored=self.mirrored)

    def warp_masks(self, masks: Any) -> Any:
        """Return masks, warped as the images were: each pixel has the value of one of the given mask.

        Parameters
        ----------
        masks : ndarray or Tensor of shape (N, H, W) or (N, K, H, W)
            One mask, or K, of each image; of any dtype.

        Returns
        -------
        masks : as given
            A new array.

        Raises
        ------
        ValueError
            If there is not one for each image, or they are of another size.
        """
        n, shape = len(self), tuple(getattr(masks, "shape", ()))
        if len(shape) not in (3, 4) or (shape[0], *shape[-2:]) != (n, *self.sides):
            sides = ", ".join(map(str, self.sides))
            raise ValueError(
                f"`masks` must be an array or a Tensor of shape ({n}, {sides}) or ({n}, K, {sides}), got"
                f" {shape if shape else type(masks).__name__}."
            )
        out: Any = torch.empty_like(masks) if isinstance(masks, Tensor) else np.empty_like(masks)
        step = max(1, VALUES_AT_ONCE // (2 * self.sides[0] * self.sides[1]))
        for i in range(0, n, step):
            own = slice(i, i + step)
            sources = self._source_pixels(own)[:, None]
            values = masks[own].reshape(len(sources), -1, sources.shape[2])
            if isinstance(values, Tensor):
                taken: Any = values.take_along_dim(sources.to(values.device), 2)
            else:
                taken = np.take_along_axis(values, sources.numpy(), 2)
            out[own] = taken.reshape(masks[own].shape)
        return out

    def warp_points(self, points: Any) -> Any:
        """Return where points of the images lie after these were warped, (x, y) in pixels.

        A point whose surroundings have left the image lies outside of it, or at its edge.

        Parameters
        ----------
        points : ndarray or Tensor of shape (N, P, 2), or sequence of N such of shapes (P, 2)
            The middle of the pixel in the upper left corner is (0, 0), as of torchvision's key points.

        Returns
        -------
        points : as given
            Integers are rounded. A sequence becomes a list.
        """
        return self._each(points, "points", 2, lambda field, own: self._follow(field, own + 0.5) - 0.5)

    def warp_boxes(self, boxes: Any) -> Any:
        """Return the boxes of what was in boxes before the images were warped, cut off at the edges.

        A new box is the smallest one around points on the sides of the old one, after these were warped.

        Parameters
        ----------
        boxes : ndarray or Tensor of shape (N, P, 4), or sequence of N such of shapes (P, 4)
            x and y of two opposite corners, in pixels: (0, 0, W, H) is the whole image.

        Returns
        -------
        boxes : as given
            Upper left corner first. Integers are rounded. A sequence becomes a list.
        """
        return self._each(boxes, "boxes", 4, self._box_around)

    def _each(self, items: Any, name: str, size: int, change: Any) -> Any:
        """Return ``change(field, item)`` for the points or boxes of each image."""
        together = isinstance(items, np.ndarray | Tensor)
        shapes = [tuple(getattr(item, "shape", ())) for item in items]
        if len(shapes) != len(self) or any(len(own) != 2 or own[1] != size for own in shapes):
            raise ValueError(
                f"`{name}` must be an array or a Tensor for each of {len(self)} images, (P, {size}), got"
                f" shape{'' if together else 's'} {tuple(items.shape) if together else shapes[:5]}."
            )
        changed = []
        for field, item in zip(self.fields, items, strict=True):
            values = item if isinstance(item, Tensor) else torch.from_numpy(np.ascontiguousarray(item))
            new = change(field, values.to("cpu", torch.float32))
            new = new if values.dtype.is_floating_point else new.round()
            new = new.to(values.device, values.dtype)
            changed.append(new if isinstance(item, Tensor) else new.numpy())
        if not together:
            return changed
        if not changed:
            return items
        return torch.stack(changed) if isinstance(items, Tensor) else np.stack(changed)

    def _box_around(self, field: Tensor, boxes: Tensor) -> Tensor:
        """Return the boxes (p, 4) around warped ones."""
        low, high = boxes.unflatten(1, (2, 2)).aminmax(dim=1)
        along = torch.linspace(0, 1, POINTS_PER_SIDE + 1)
        ends = torch.zeros_like(along)
        sides = [(along, ends), (along, ends + 1), (ends, along), (ends + 1, along)]
        unit = torch.cat([torch.stack(side, dim=1) for side in sides])
        points = low[:, None] + unit * (high - low)[:, None]
        moved = self._follow(field, points.flatten(0, 1)).view_as(points)
        height, width = self.sides
        moved = torch.minimum(moved.clamp(min=0), torch.tensor([width, height]))
        return torch.cat(moved.aminmax(dim=1), dim=1)

    def _source_pixels(self, which: slice) -> Tensor:
        """Return from which pixel of an image, a flat index, each one of a warped image comes: (n, H * W)."""
        fields = enlarge(self.fields[which], self.sides)
        height, width = self.sides
        x = torch.arange(width) + 0.5 + fields[:, 0] * (width / 2)
        y = torch.arange(height)[:, None] + 0.5 + fields[:, 1] * (height / 2)
        if self.mirrored:
            x, y = (size - (size - place.abs()).abs() for place, size in ((x, width), (y, height)))
        column, row = x.floor().clamp(0, width - 1), y.floor().clamp(0, height - 1)
        return (row.long() * width + column.long()).flatten(1)

    def _follow(self, field: Tensor, points: Tensor) -> Tensor:
        """Return where points (p, 2) are after an image was warped along a field; (0, 0) is its corner.

        The field says where a pixel comes from, and a point goes the other way. We begin at the pixel of
        the field that comes from nearest to the point, and go on as far as the error says, by halves.
        """
        half = torch.tensor([self.sides[1] / 2, self.sides[0] / 2])
        wanted = points / half - 1
        height, width = field.shape[1:]
        x, y = ((torch.arange(size) * 2 + 1) / size - 1 for size in (width, height))
        middles = torch.stack(torch.meshgrid(x, y, indexing="xy"), dim=-1).flatten(0, 1)
        place = middles[torch.cdist(wanted, middles + field.flatten(1).T).argmin(1)]
        best, least = place, torch.full((len(place), 1), torch.inf)
        for _ in range(STEPS):
            grid = place[None, None]
            moved = F.grid_sample(field[None], grid, padding_mode="border", align_corners=False)
            error = place + moved[0, :, 0].T - wanted
            size = error.norm(dim=1, keepdim=True)
            best, least = torch.where(size < least, place, best), torch.minimum(size, least)
            place = place - error / 2
        return (best + 1) * half
