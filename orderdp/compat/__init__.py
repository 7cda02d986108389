"""Names of version 0.1 that still work, each with a warning that says the new one. They go with version 0.3."""

from __future__ import annotations

import functools
import inspect
import warnings
from collections.abc import Callable, Mapping
from typing import Any, TypeVar, cast

Function = TypeVar("Function", bound=Callable[..., Any])
Values = Mapping[Any, Any]


def warn_renamed(old: str, new: str, stacklevel: int = 3) -> None:
    """Says that a name has changed; `stacklevel` as for `warnings.warn`, counted from here."""
    text = f"{old} is now {new}. The old name works until version 0.3."
    warnings.warn(text, DeprecationWarning, stacklevel=stacklevel)


def renamed_arguments(**names: str | tuple[str, Values]) -> Callable[[Function], Function]:
    """Lets a function take keyword arguments by their old names.

    Args:
        names: old name -> new name, or (new name, old value -> new value).

    Example:
        >>> @renamed_arguments(hardest="n_hard")
        ... def f(*, n_hard):
        ...     return n_hard
        >>> f(n_hard=3)
        3
    """

    def decorate(function: Function) -> Function:
        @functools.wraps(function)
        def call(*args: Any, **options: Any) -> Any:
            values: Values
            for old in [name for name in options if name in names]:
                given = names[old]
                new, values = (given, {}) if isinstance(given, str) else given
                warn_renamed(f"The argument '{old}' of {function.__qualname__.removesuffix('.__init__')}", f"'{new}'")
                value = options.pop(old)
                options[new] = values.get(value, value) if values else value
            if function.__name__ == "__init__" and inspect.unwrap(type(args[0]).__init__) is function:
                # What `Pruner` keeps of the call, for `repr` and `grow`.
                args[0]._arguments = (args[1:], dict(options))
            return function(*args, **options)

        return cast(Function, call)

    return decorate


def renamed_attribute(old: str, new: str) -> property:
    """An attribute that reads another one."""

    def read(self: Any) -> Any:
        warn_renamed(f"{type(self).__name__}.{old}", new)
        return getattr(self, new)

    return property(read, doc=f"Old name of `{new}`.")
