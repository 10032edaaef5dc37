"""The gRPC contract, generated from `proto/` by `make proto`; never edited."""
