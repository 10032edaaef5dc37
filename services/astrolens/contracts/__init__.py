"""The data contracts between services: events, topics, ids, verdicts, stored documents, public alerts.

This package imports pydantic and the standard library only. `schemas/` is generated from here and a test diffs it.
"""
