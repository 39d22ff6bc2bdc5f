"""Devices that do not exist, with seeded faults, and history from files."""
