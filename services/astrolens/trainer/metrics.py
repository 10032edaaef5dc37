"""Metrics of the trainer."""

from prometheus_client import Counter, Gauge, Histogram

from astrolens.contracts.training_runs import OPEN_STATES, RunState, TrainingRunRecord
from astrolens.platform.telemetry.metrics import Metrics


class TrainerMetrics:
    """How often rankings are learned, and how long a pass takes."""

    def __init__(self, shared: Metrics) -> None:
        self.rankings_learned = Counter(
            "astrolens_rankings_learned", "Interest rankings that were learned and stored.", registry=shared.registry
        )
        self.ranking_seconds = Histogram(
            "astrolens_ranking_seconds",
            "Seconds from the beginning of a pass to its stored rankings.",
            buckets=(0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0),
            registry=shared.registry,
        )


class TrainingMetrics:
    """What became of retraining runs, and what the last one found."""

    def __init__(self, shared: Metrics) -> None:
        registry = shared.registry
        self._runs = Counter(
            "astrolens_training_runs", "Retraining runs that ended, by their state.", ("state",), registry=registry
        )
        for state in RunState:
            if state not in OPEN_STATES:
                self._runs.labels(state.value)  # a rate needs the zero before the first one
        self._refused = Counter("astrolens_training_refused", "Challengers that a gate refused.", registry=registry)
        self._accuracy = Gauge(
            "astrolens_training_accuracy",
            "Accuracy of the last run's champion and challenger on its benchmark.",
            ("bundle",),
            registry=registry,
        )
        self._cpu = Counter(
            "astrolens_training_cpu_seconds", "Processor time of retraining runs that ended.", registry=registry
        )
        self._open = Gauge(
            "astrolens_training_open", "1 while a retraining run is queued or running here, else 0.", registry=registry
        )
        self._share = Gauge(
            "astrolens_training_progress", "Share of the open run that is done, 0 to 1.", registry=registry
        )
        self._progressed = Gauge(
            "astrolens_training_progressed_timestamp_seconds",
            "When the open run last said how far it is, or was asked for; Unix time, 0 without a run.",
            registry=registry,
        )
        self._processes = Counter(
            "astrolens_training_processes", "Processes that were started for retraining runs.", registry=registry
        )

    def follow(self, run: TrainingRunRecord | None) -> None:
        """Say how far the open run is; None: there is none."""
        self._open.set(0 if run is None else 1)
        self._share.set(0 if run is None else run.progress)
        self._progressed.set(0 if run is None else (run.progressed_at or run.requested_at).timestamp())

    def started(self) -> None:
        """Count a process."""
        self._processes.inc()

    def finished(self, run: TrainingRunRecord) -> None:
        """Count a run that ended."""
        self._runs.labels(run.state.value).inc()
        self._cpu.inc(run.cpu_s or 0.0)
        if run.gates is not None and not run.gates.passed:
            self._refused.inc()
        for name, figures in (("champion", run.before), ("challenger", run.after)):
            if figures is not None and figures.accuracy is not None:
                self._accuracy.labels(name).set(figures.accuracy)
