"""Reads the package's own source text: which names are registered, which sources decide a result.

Nothing is imported, so the Snakefile can know all names and fingerprints without paying for torch.
"""

from __future__ import annotations

from orderdp.sources.deciding import (
    coreset_digests,
    diagnosis_digests,
    digests,
    proxy_digests,
    reporting_digest,
    study_digests,
)
from orderdp.sources.registered import facts, options, registry, reported

__all__ = [
    "coreset_digests", "diagnosis_digests", "digests", "facts", "options", "proxy_digests", "registry", "reported",
    "reporting_digest", "study_digests",
]  # fmt: skip
