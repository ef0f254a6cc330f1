"""What `ConditionalGAN.restore` does: check its input, have a `Restorer` fill it, and keep the rest."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from torch import Tensor

from ganaug.data.column_data import iter_columns
from ganaug.data.containers import as_container, channels_first, concat, import_pandas, is_dataframe, take
from ganaug.data.labels import check_labels, label_indices
from ganaug.data.table_values import TableValues
from ganaug.data.tables import TableCodec
from ganaug.model.fitting import draw_seed
from ganaug.model.restorer import Restorer


def why_not_restore(gan: Any) -> str | None:
    """Return why a fitted `gan` can't restore samples of its kind, if it can't."""
    codec = gan.codec_
    if codec.name == "features":
        return "`restore` takes images and tables, and this model makes features."
    if any(member.encoder is None for member in gan.members_):
        return "`restore` needs an architecture with an encoder, such as 'warping', 'instance' or 'tabular'."
    if codec.is_reduced:
        height, width = codec.full_shape[1:]
        return (
            f"`restore` takes images of the size of the networks, and these see images of {height} x {width}"
            f" at {codec.shape[1]} x {codec.shape[2]}: fit on images of 64 pixels a side or less."
        )
    return None


def restore_samples(
    gan: Any, X: Any, mask: Any, y: Any, n_draws: int | None, random_state: int | np.random.RandomState | None
) -> Any:
    """Return what `ConditionalGAN.restore` does."""
    integer = isinstance(n_draws, int | np.integer) and not isinstance(n_draws, bool)
    if n_draws is not None and not (integer and n_draws >= 1):
        raise ValueError(f"`n_draws` must be an int from 1 up or None, got {n_draws!r}.")
    X, codec = as_container(X), gan.codec_
    cells = None if mask is None else _as_mask(mask, X, table=codec.name == "table")
    if isinstance(codec, TableCodec):
        codec.check(X)
        missing = missing_cells(X)
        cells = missing if cells is None else missing | cells
    elif cells is not None:
        X = _blank(X, cells)
    codec.check(X)
    classes = None
    if y is not None and len(X):
        classes = torch.from_numpy(label_indices(check_labels(y, len(X)), gan.classes_, "y"))
    damaged = torch.arange(len(X))
    if cells is not None:
        damaged = torch.from_numpy(np.flatnonzero(cells.any(axis=tuple(range(1, cells.ndim)))))
    rng = torch.Generator().manual_seed(draw_seed(random_state))
    results = [X] * (n_draws or 1)
    if len(damaged):
        place, restored = _restored(gan, X, cells, classes, damaged, n_draws, rng)
        results = [paste(X, rows, place, cells) for rows in restored]
    if n_draws is None:
        return results[0]
    if is_dataframe(X):
        return results
    return torch.stack(results) if isinstance(X, Tensor) else np.stack(results)


def _restored(
    gan: Any,
    X: Any,
    cells: np.ndarray | None,
    classes: Tensor | None,
    damaged: Tensor,
    n_draws: int | None,
    rng: torch.Generator,
) -> tuple[Tensor, list[Any]]:
    """Return the indices of damaged samples, in some order, and for each draw samples that lack nothing."""
    codec, restorer = gan.codec_, _restorer(gan)
    places: list[Tensor] = []
    draws: list[list[Any]] = [[] for _ in range(n_draws or 1)]
    for part in damaged.split(codec.chunk_size):
        rows = take(X, part)
        own = None if cells is None else cells[part.numpy()]
        if isinstance(restorer.space, TableValues):
            encoded = codec.encode(rows, strict=False)
            known = restorer.space.known(encoded) & ~restorer.space.spread(own)
        else:
            encoded = codec.encode(rows)
            known = torch.ones(encoded.flatten(1).shape, dtype=torch.bool)
            if own is not None:
                own = torch.from_numpy(own) if isinstance(X, Tensor) else own
                known = ~channels_first(own).flatten(1)
        labels = None if classes is None else classes[part]
        for block, found in restorer(restorer.space.values(encoded), known, labels, n_draws, rng):
            places.append(part[block])
            for draw, made in zip(draws, found, strict=True):
                draw.append(codec.decode(made))
    return torch.cat(places), [concat(blocks) for blocks in draws]


def _restorer(gan: Any) -> Restorer:
    """Return the restorer of a fitted GAN: the first call makes it."""
    restorer: Restorer | None = getattr(gan, "_restorer", None)
    if restorer is None or restorer.members is not gan.members_:
        restorer = gan._restorer = Restorer(gan.members_, gan.codec_, len(gan.classes_))
    return restorer


def _as_mask(mask: Any, X: Any, *, table: bool) -> np.ndarray:
    """Return a mask as bools of the shape of `X`."""
    values = mask.detach().cpu().numpy() if isinstance(mask, Tensor) else np.asarray(mask)
    shape = tuple(X.shape)
    sides = shape[2:] if isinstance(X, Tensor) and len(shape) == 4 else shape[1:3]
    of_pixels = not table and values.shape == (*shape[:1], *sides)
    if values.dtype.kind not in "biu" or not (of_pixels or values.shape == shape):
        also = "" if table or shape[1:] == sides else f" or {(*shape[:1], *sides)}"
        raise ValueError(
            f"`mask` must hold bools, True where a value is to be filled, of shape {shape}{also}, got"
            f" {values.dtype} of shape {values.shape}."
        )
    if values.ndim < len(shape):
        values = np.expand_dims(values, 1 if isinstance(X, Tensor) else 3)
    return np.array(np.broadcast_to(values != 0, shape))


def missing_cells(X: Any) -> np.ndarray:
    """Return which values of a table are NaN, None, pandas.NA or NaT, (n, n_columns), bool."""
    return np.stack([data.missing for data in iter_columns(X)], axis=1)


def _blank(X: Any, cells: np.ndarray) -> Any:
    """Return images with 0 where they are damaged: what is there may be NaN."""
    if isinstance(X, Tensor):
        return X.masked_fill(torch.from_numpy(cells), 0)
    return np.where(cells, X.dtype.type(0), X)


def paste(X: Any, restored: Any, place: Tensor, cells: np.ndarray | None) -> Any:
    """Return samples with values of those `restored` (n, ...), in some `cells`; None: in all.

    `place` are the indices in `X` of what was restored.
    """
    own = np.ones((len(place), *X.shape[1:]), bool) if cells is None else cells[place.numpy()]
    if isinstance(X, Tensor):
        result = X.clone()
        result[place] = torch.where(torch.from_numpy(own), restored, X[place])
        return result
    if not is_dataframe(X):
        result = X.copy()
        result[place.numpy()] = np.where(own, restored, X[place.numpy()])
        return result
    result = X.copy()
    for i in np.flatnonzero(own.any(axis=0)).tolist():
        result.isetitem(i, _paste_column(X.iloc[:, i], restored.iloc[own[:, i], i], place[own[:, i]].numpy()))
    return result


def _paste_column(column: Any, restored: Any, place: np.ndarray) -> Any:
    categories = getattr(column.dtype, "categories", None)
    if categories is not None and not restored.dropna().isin(categories).all():
        raise ValueError(
            f"Column {column.name!r} of `X` must have the categories {restored.dtype.categories.tolist()}, as"
            f" in fit, got {categories.tolist()}."
        )
    values = column.to_numpy(dtype=object).copy()
    values[place] = restored.to_numpy(dtype=object)
    filled = import_pandas().Series(values, index=column.index, name=column.name, dtype=object)
    return filled.astype(column.dtype)
