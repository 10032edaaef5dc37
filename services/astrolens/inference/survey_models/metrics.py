"""Metrics of survey models."""

from collections import Counter as Counts
from collections.abc import Iterable

from prometheus_client import Counter, Gauge

from astrolens.contracts.survey_models import SurveyModelRecord, SurveyState
from astrolens.platform.telemetry.metrics import Metrics


class SurveyModelMetrics:
    """States of surveys, fits, and images judged again."""

    def __init__(self, shared: Metrics) -> None:
        registry = shared.registry
        self.surveys = Gauge(
            "astrolens_surveys",
            "Surveys by what calibrates them: own, learning, does-not-fit, ready.",
            ["state"],
            registry=registry,
        )
        self.fits = Counter(
            "astrolens_survey_model_fits", "Survey models fitted, and fits that failed.", ["outcome"], registry=registry
        )
        for outcome in ("fitted", "failed"):
            self.fits.labels(outcome)
        self.rejudged = Counter(
            "astrolens_survey_images_rejudged",
            "Analyses requested because another calibration serves their survey.",
            registry=registry,
        )

        self.shift = Gauge(
            "astrolens_calibration_drift_allowed",
            "Drift that verdicts of a survey of the bundle allow for, standard deviations; 0: none.",
            ["survey"],
            registry=registry,
        )
        self.set_states(())

    def set_states(self, records: Iterable[SurveyModelRecord]) -> None:
        """Show how many surveys are in each state, and the drift that verdicts of the bundle's surveys allow for."""
        records = tuple(records)
        for record in records:
            if record.known:  # Few: whoever uploads images may name surveys without limit.
                self.shift.labels(record.survey).set(record.adjustment.shift if record.adjustment else 0.0)
        counts = Counts(record.state for record in records)
        for state in SurveyState:
            self.surveys.labels(state.value).set(counts[state])
