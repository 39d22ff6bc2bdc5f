"""The Kafka broker that `sluice up` runs on this machine."""
