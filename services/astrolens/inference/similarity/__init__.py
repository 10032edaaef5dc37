"""Similar images: an index of embeddings in memory, its snapshots, and its catch-up from the record store."""
