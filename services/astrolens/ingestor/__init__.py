"""Gets images from sources and people, decodes them once in a sandbox, and keeps the books of what came in."""
