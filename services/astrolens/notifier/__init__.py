"""Alerts: their life cycle, the public topics, and people's channels."""
