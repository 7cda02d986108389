"""Starting jobs: on free GPUs, in processes that several jobs share, and what is said when one fails."""
