"""Where events come from: the only place that knows Kafka clients."""
