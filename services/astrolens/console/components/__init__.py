"""Custom elements of the console's pages."""
