"""Planning: what jobs cost, how they are bundled, what would run and why."""
