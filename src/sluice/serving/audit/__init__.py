"""Whether the books balance: invariants of the lake proved from its tables, with the coordinates where they do not."""
