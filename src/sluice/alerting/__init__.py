"""Alerts: rules, signals that raise or clear them, their state, and their delivery. Needs no Spark."""
