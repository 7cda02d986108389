"""The training engine: from a run spec to a run's files. `engine.py` decides results; `run.py` joins them to
folders."""
