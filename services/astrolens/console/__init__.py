"""The console: pages for people and the REST API for everything else."""
