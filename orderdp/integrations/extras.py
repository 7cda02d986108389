"""What is said where an optional library is not installed."""

from __future__ import annotations


def missing(extra: str, error: ModuleNotFoundError) -> ModuleNotFoundError:
    """The error to raise for a library that an extra of ours installs; one that is missing inside that library stays as
    it is.

    Args:
        extra: name of the extra and of the library.
        error: what its import raised.
    """
    if (error.name or "").split(".")[0] != extra:
        return error
    return ModuleNotFoundError(
        f"orderdp.integrations.{extra} needs {extra}. Install it: pip install 'orderdp[{extra}]'", name=extra
    )
