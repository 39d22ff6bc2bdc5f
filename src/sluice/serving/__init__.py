"""Reading the lake without Spark: queries and the lake as Python objects."""
