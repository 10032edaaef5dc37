"""Inference: the model server (gRPC) and the analyzer (the event side), two processes of one room."""
