"""The real engines without Docker: Kafka, MinIO, a MongoDB-wire server and Prometheus as plain processes.

`python -m deploy.stack up` installs what is missing (pinned, cached), starts it, waits until it is healthy and writes
an env file that points AstroLens at it; `down` ends exactly these processes. For machines without a container engine.
"""
