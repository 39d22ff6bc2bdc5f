"""Pure transforms: DataFrame in, DataFrame or a named result of several out. No Delta, Kafka, settings or clock."""
