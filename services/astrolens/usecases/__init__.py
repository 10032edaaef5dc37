"""What console, REST API and command line share: plain classes over the stores, without a web framework."""
