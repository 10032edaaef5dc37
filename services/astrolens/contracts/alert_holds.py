"""Which anomalies raise no alert because nothing is known yet of how often ordinary images of their survey look so."""

from astrolens.contracts.verdicts import Analysis


def alert_hold(analysis: Analysis) -> str | None:
    """Why an analysis raises no alert, as a sentence; None where it may.

    An alert promises a rate of false alarms. The pooled calibration cannot: on a survey that the bundle does not know
    it has flagged anything from no image to half of the ordinary ones. A survey model promises a budget of 5 %, and
    its smallest p-values rest on the few strangest images that it was fitted on: beyond all of them, 1/(n+1).
    Far more anomalies than a survey's own calibration explains may be another sky under its name.
    """
    survey, fit = analysis.calibration_survey, analysis.calibration_fit
    match fit:
        case "pooled":
            return (
                "no alert is raised until the survey has a survey model: the bundle does not know the survey, "
                "and its p-value, which is measured against other surveys, promises no rate of false alarms"
            )
        case "does-not-fit":
            return (
                "no alert is raised until the survey has a survey model of such images: they do not look like those "
                "that it was calibrated on, so that the p-value promises no rate of false alarms"
            )
        case "survey-model" if not analysis.p_value_at_most:
            return (
                f"an alert by the survey model of {survey} is raised only beyond all {analysis.calibration_images} "
                "of the survey's own images that an image is compared with"
            )
        case "own" if analysis.burst_survey is not None:
            return (
                "no alert is raised until recent images have been compared with those of the bundle: so many of "
                f"{analysis.burst_survey} are anomalies that its calibration may not fit them"
            )
    return None
