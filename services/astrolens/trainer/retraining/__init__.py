"""Retraining: jobs of the trainer's service, and the process that runs one: data, fine-tuning, challenger, gates."""
