"""Rules, gates and their records: the only place that knows Great Expectations."""
