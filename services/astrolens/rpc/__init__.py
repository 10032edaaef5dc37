"""The model server's gRPC contract: generated code (`v1`, by `make proto`, never edited) and its one client."""
