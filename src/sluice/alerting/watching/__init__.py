"""Rules that need memory, judged of the lake's tables: what they remember lies there, and survives any death."""
