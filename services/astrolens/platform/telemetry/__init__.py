"""What a service reports of itself: logs, traces, and the metrics that several services share."""
