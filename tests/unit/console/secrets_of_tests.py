"""Secrets of the console's tests."""

TOKEN = "a-long-secret-token"
PASSWORD = "correct horse battery"
SESSION_KEY = b"k" * 32
