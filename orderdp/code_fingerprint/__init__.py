"""Fingerprints of code: which of the package's source decides a result, read from its text.

Nothing is imported, so the Snakefile can know every name and fingerprint without paying for torch.
"""

from __future__ import annotations

from orderdp.code_fingerprint.checksums import code_checksums, reporting_checksum
from orderdp.code_fingerprint.registries import accepted, facts, needs, options, registry, reported

__all__ = ["accepted", "code_checksums", "facts", "needs", "options", "registry", "reported", "reporting_checksum"]
