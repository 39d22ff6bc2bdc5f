"""Gold in a database for programs that ask one: which rows changed, and the stores they are written to."""
