"""Faults put in on purpose into a finished project: `make faults` runs them all, the tests a part of them."""
