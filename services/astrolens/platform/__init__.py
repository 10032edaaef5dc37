"""Plumbing without science: settings, event bus, outbox, stores, health, metrics, logs."""
