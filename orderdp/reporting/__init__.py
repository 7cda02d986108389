"""From finished runs to tables, figures, claims and the report."""
