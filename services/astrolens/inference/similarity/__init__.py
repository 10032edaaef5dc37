"""Which images look alike: a FAISS index in memory, a log on disk, and the record store as the truth behind both."""
