"""A trial: whether pruning is worth it on data of one's own, found by training on them with the workflow; and what runs
learned about single samples.

Not in `orderdp.reporting`, whose every byte is in the fingerprints of the paper's tables and figures.
"""

from pathlib import Path

TEMPLATES = Path(__file__).with_name("templates")
