"""Metrics of the console: tallies of the record store, which survive every restart, where counters do not."""

from prometheus_client import Gauge

from astrolens.platform.telemetry.metrics import Metrics


class BooksMetrics:
    """The books. Every console shows the same ones, so sum within one instance, never over several.

    received = duplicates + rejected + dead-lettered + analysed + in flight, where what is in flight are the receipts
    that are still `received` and the images that are still `ingested`: the two gauges below are counted apart from
    each other, so that the sum can be wrong, and an alerting rule compares.
    """

    def __init__(self, shared: Metrics) -> None:
        self.shared = shared
        registry = shared.registry
        self.receipts = Gauge("astrolens_receipts", "Arrivals, by outcome.", ["outcome"], registry=registry)
        self.images = Gauge("astrolens_images", "Accepted images, by state.", ["state"], registry=registry)
        self.verdicts = Gauge(
            "astrolens_verdicts", "Analysed images, by survey and verdict.", ["survey", "verdict"], registry=registry
        )
        self.labels = Gauge(
            "astrolens_labels", "Images that a person answered, by answer.", ["answer"], registry=registry
        )
        self.dead_letters_open = Gauge(
            "astrolens_dead_letters_open", "Dead letters that wait for a person.", registry=registry
        )
        self.oddities = Gauge(
            "astrolens_simulated_oddities",
            "Analysed images of the simulated sky that hold an oddity, by kind and verdict: the known truth.",
            ["oddity", "verdict"],
            registry=registry,
        )
