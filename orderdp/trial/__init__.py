"""A trial: whether pruning is worth it on data of one's own, found by training on them with the workflow."""
