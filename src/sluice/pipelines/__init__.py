"""Wiring: read, transform, gate, write; one module per layer."""
