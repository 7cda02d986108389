"""The items of the paper, and what the project adds: a module for each, found by its name."""
