"""What readers of the lake use: SQL and frames without Spark, ready-made queries. Writes nothing."""
