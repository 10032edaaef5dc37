"""The record store and the image store: one port each, one behaviour suite each, an adapter an engine."""
