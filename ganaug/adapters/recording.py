"""Recording: how a data set makes an item, found by noting what it calls its transforms with."""

from __future__ import annotations

import copy
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from functools import partial
from typing import Any, NamedTuple

import numpy as np
from torch import Tensor
from torch.utils.data import Subset

from ganaug.adapters.forms import at, image_places, replaced, same_image
from ganaug.data.containers import is_image

# Attributes of data sets: torchvision's, which others have taken over.
HOOKS = ("transform", "transforms", "target_transform")
MISSING = object()


class Call(NamedTuple):
    """A call of a transform: what it was called with, (args, kwargs), and what it returned."""

    name: str
    function: Callable[..., Any]
    given: Any
    returned: Any


@dataclass
class Template:
    """How the items of a class are made from an image that is in the form of the data set's own.

    Attributes
    ----------
    item : tuple, list or dict
        A real item, without its image.
    image_place, label_place : tuple
        Where in an item they are.
    call : Call or None
        How the data set called its transform for that item: without the image, which lies at `given_place`
        in what it was given, and at `returned_place` in what it returns.
    """

    item: Any
    image_place: tuple[Any, ...]
    label_place: tuple[Any, ...]
    call: Call | None = None
    given_place: tuple[Any, ...] = ()
    returned_place: tuple[Any, ...] = ()

    @property
    def label(self) -> Any:
        """The label of the item."""
        return at(self.item, self.label_place)

    def image(self, image: Any) -> Any:
        """Return an image as it is after the transform."""
        if self.call is None:
            return image
        given = self.call.given
        # Transforms may change what they get in place; one image alone is made for this call.
        given = given if given == ((None,), {}) else copy.deepcopy(given)
        args, kwargs = replaced(given, self.given_place, image)
        return at(self.call.function(*args, **kwargs), self.returned_place)

    def make(self, image: Any) -> Any:
        """Return an item with this image."""
        label = self.label
        label = label.clone() if isinstance(label, Tensor) else copy.deepcopy(label)
        item = replaced(self.item, self.image_place, self.image(image))
        return replaced(item, self.label_place, label)


class Recording:
    """While it is open as a context manager, a data set's transforms note what they are called with.

    For that time other callables, which call them, take their place in the data set.
    """

    def __init__(self, dataset: Any) -> None:
        self._dataset, self._base = dataset, dataset
        self._indices = np.arange(len(dataset))
        # A Subset that makes its items itself has a transform of its own.
        while isinstance(self._base, Subset) and type(self._base).__getitem__ is Subset.__getitem__:
            self._indices = np.asarray(self._base.indices)[self._indices]
            self._base = self._base.dataset
        self._calls: list[Call] = []
        self._undo: list[tuple[str, Any, Any]] = []
        self._rows: Any = None

    @property
    def has_transform(self) -> bool:
        """Whether the data set has a transform of images, which it may have called before."""
        return any(name != "target_transform" for name, _, _ in self._undo)

    def __enter__(self) -> Recording:
        if _has_row_transform(self._base):
            row_format = self._base.format
            transform = partial(_transform_row, row_format["format_kwargs"]["transform"])
            recorder = _Recorder("transform", transform, self._calls)
            self._rows = copy.copy(self._base)
            self._rows.set_format(
                "custom",
                transform=lambda rows: _as_rows(recorder({key: values[0] for key, values in rows.items()})),
                columns=row_format["columns"],
                output_all_columns=row_format["output_all_columns"],
                new_fingerprint="ganaug",  # without one, `datasets` warns that it can't hash a lambda
            )
            return self
        own = getattr(self._base, "__dict__", {})
        for name in HOOKS:
            with suppress(Exception):  # a property may raise, or may not be set: then items are as they are
                function = getattr(self._base, name)
                before = own.get(name, MISSING)
                if callable(function):
                    setattr(self._base, name, _Recorder(name, function, self._calls))
                    self._undo.append((name, before, function))
        return self

    def __exit__(self, *exc_info: object) -> None:
        self._rows = None
        while self._undo:
            name, before, function = self._undo.pop()
            if before is MISSING and name in getattr(self._base, "__dict__", {}):
                delattr(self._base, name)  # the class has it
            else:
                setattr(self._base, name, function if before is MISSING else before)

    def read(self, index: int) -> tuple[Template, Any, Any, Any]:
        """Return how item `index` is made, its image before and after the transform, and its first label.

        That label is the one before the ``target_transform``, as far as it can be known.

        Raises
        ------
        ValueError
            If an item is not of one image and one label, or it can't be found out how it is made.
        """
        self._calls.clear()
        item = self._dataset[index] if self._rows is None else self._rows[int(self._indices[index])]
        calls, self._calls[:] = self._calls.copy(), []
        image_place, label_place = _places(item, index)
        image, label = at(item, image_place), at(item, label_place)
        template = Template(replaced(item, image_place, None), image_place, label_place)
        raw = image
        images_made = [call for call in calls if call.name != "target_transform"]
        for call in reversed(images_made):
            found = next(
                (p for p in _entries(call.returned) if same_image(at(call.returned, p), image)), None
            )
            if found is not None:
                template.given_place = _given_place(call, index)
                raw = at(call.given, template.given_place)
                template.call = call._replace(
                    given=replaced(call.given, template.given_place, None), returned=None
                )
                template.returned_place = found
                break
        if images_made and template.call is None:
            raise ValueError(
                f"The image of item {index} of `dataset` is not what its `{images_made[-1].name}` returned:"
                " do the rest in the transform too, so that synthetic images get it."
            )
        for call in calls:
            args = call.given[0]
            if call.name == "target_transform" and args:
                label = args[0]
            elif call.name == "transforms" and len(args) == 2:
                label = args[1]
        return template, raw, image, label


class _Recorder:
    """Take the place of a callable, and note its calls."""

    def __init__(self, name: str, function: Callable[..., Any], calls: list[Call]) -> None:
        self._name, self._function, self._calls = name, function, calls

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        given: Any = (args, kwargs)
        for place in image_places(given):  # the transform may change its image in place
            image = at(given, place)
            if isinstance(image, Tensor | np.ndarray):
                given = replaced(given, place, copy.deepcopy(image))
        returned = self._function(*args, **kwargs)
        self._calls.append(Call(self._name, self._function, given, returned))
        return returned

    def __getattr__(self, name: str) -> Any:
        return getattr(self._function, name)

    @property  # type: ignore[misc]
    def __class__(self) -> Any:  # data sets may ask what kind of transform they have
        return type(self._function)


def _places(item: Any, index: int) -> tuple[tuple[Any, ...], tuple[Any, ...]]:
    """Return where in an item the image is, and where the label."""
    if isinstance(item, tuple | list) and len(item) == 2:
        return (0,), (1,)
    got = type(item).__name__
    if isinstance(item, Mapping):
        images = [key for key in item if is_image(item[key])]
        others = [key for key in item if key not in images]
        if len(images) == len(others) == 1:
            return (images[0],), (others[0],)
        got = f"{got} of {list(item)}"
    elif isinstance(item, tuple | list):
        got = f"{got} of {len(item)}"
    raise ValueError(
        f"`dataset` must hold (image, label), got {got} for item {index}. Synthetic items have no more than"
        " that; a dict may hold them too, one image and one label."
    )


def _entries(returned: Any) -> list[tuple[Any, ...]]:
    """Return where the image may be in what a transform returned: that itself, or an entry of it."""
    if isinstance(returned, Mapping):
        return [(key,) for key in returned]
    return [(), *((i,) for i in range(len(returned)))] if isinstance(returned, tuple | list) else [()]


def _given_place(call: Call, index: int) -> tuple[Any, ...]:
    """Return where the image is in what a transform was given."""
    places = list(image_places(call.given))
    if len(places) != 1:
        args, kwargs = call.given
        got = ", ".join(type(value).__name__ for value in (*args, *kwargs.values()))
        raise ValueError(
            f"The `{call.name}` of `dataset` must get one image, a PIL image, an ndarray or a Tensor, got"
            f" {len(places)} for item {index}, in ({got})."
        )
    return places[0]


def _has_row_transform(base: Any) -> bool:
    """Return whether this is a data set of the package `datasets`, with a transform of rows."""
    with suppress(Exception):
        return base.format["type"] == "custom" and callable(base.with_transform)
    return False


def _as_rows(row: Mapping[str, Any]) -> dict[str, list[Any]]:
    return {key: [value] for key, value in row.items()}


def _transform_row(transform: Callable[..., Any], row: Mapping[str, Any]) -> dict[str, Any]:
    """Return a row, transformed by a function that takes and returns columns."""
    return {key: values[0] for key, values in transform(_as_rows(row)).items()}
