"""The life of a service: start, tasks, periodic work, health, heartbeat, condition, shutdown."""
