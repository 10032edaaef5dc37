"""What was found, can it be believed, and did it reach people?"""

from typing import Final

from deploy.grafana.panels import BASE, Board, Query, Row, choice, heat, lines, number

_RECALL: Final = {BASE: "red", 0.01: "orange", 0.2: "green"}
_DRIFTED: Final = {0.12: "orange", 0.2: "red"}
_NEAR_MISSES: Final = 'astrolens_analyzed_total{survey=~"$survey", verdict="near_miss"}'
_SIMULATED: Final = '{survey=~"simulated-.*"}'
_ODDITIES: Final = "max by (oddity, verdict) (astrolens_simulated_oddities)"
_FOUND: Final = 'max by (oddity, verdict) (astrolens_simulated_oddities{verdict="anomaly"})'
_FLAGGED: Final = 'max by (survey, verdict) (astrolens_verdicts{survey=~"simulated-.*", verdict="anomaly"})'
_JUDGED: Final = f"max by (survey, verdict) (astrolens_verdicts{_SIMULATED})"

BOARD: Final = Board(
    name="science",
    title="science",
    description="Verdicts, alerts and labels; whether p-values can be believed; what the simulated truth says.",
    variables=[choice("survey", "Survey", "label_values(astrolens_analyzed_total, survey)")],
    rows=[
        Row(
            "What was found?",
            [
                number(
                    "Anomalies today",
                    "Images that were called anomalies in the last 24 hours.",
                    'sum(increase(astrolens_analyzed_total{survey=~"$survey", verdict="anomaly"}[24h]))',
                    decimals=0,
                ),
                number(
                    "Near misses today",
                    "Images whose p-value was at most three times the budget in the last 24 hours.",
                    f"sum(increase({_NEAR_MISSES}[24h]))",
                    decimals=0,
                ),
                number(
                    "Alerts today",
                    "Alerts raised in the last 24 hours, tests of the simulated sky included.",
                    'sum(increase(astrolens_alerts_total{alert_type="initial"}[24h]))',
                    decimals=0,
                ),
                number(
                    "Answers of people",
                    "Images with a label, from the record store.",
                    "max by (answer) (astrolens_labels)",
                    legend="{{answer}}",
                ),
            ],
            a_line=4,
            height=5,
        ),
        Row(
            "Where is it found?",
            [
                lines(
                    "Share of anomalies",
                    "Anomalies among analysed images, by survey. The budget (default 1 %) is what ordinary images "
                    "alone would give; far above it, look at the drift before you look at the sky.",
                    Query(
                        'sum by (survey) (rate(astrolens_analyzed_total{survey=~"$survey", verdict="anomaly"}[30m])) / '
                        'sum by (survey) (rate(astrolens_analyzed_total{survey=~"$survey"}[30m]))',
                        "{{survey}}",
                    ),
                    unit="percentunit",
                ),
                lines(
                    "Near misses",
                    "Near misses an hour, by survey.",
                    Query(
                        f"sum by (survey) (increase({_NEAR_MISSES}[1h]))",
                        "{{survey}}",
                    ),
                ),
                lines(
                    "Alerts",
                    "Alerts an hour, by survey and type. Retractions come with another model or calibration.",
                    Query(
                        'sum by (survey, alert_type) (increase(astrolens_alerts_total{survey=~"$survey"}[1h]))',
                        "{{survey}} {{alert_type}}",
                    ),
                    stacked=True,
                ),
                lines(
                    "Images in the archive",
                    "All analysed images by survey, from the record store.",
                    Query(
                        'sum by (survey) (max by (survey, verdict) (astrolens_verdicts{survey=~"$survey"}))',
                        "{{survey}}",
                    ),
                    stacked=True,
                ),
                lines(
                    "Morphology",
                    "Share of each predicted class. A class that swallows the others is another instrument, or a "
                    "broken stretch.",
                    Query(
                        'sum by (predicted_class) (rate(astrolens_analyzed_total{survey=~"$survey"}[30m])) / '
                        'on () group_left () sum(rate(astrolens_analyzed_total{survey=~"$survey"}[30m]))',
                        "{{predicted_class}}",
                    ),
                    unit="percentunit",
                    stacked=True,
                ),
                lines(
                    "Labels",
                    "Images by a person's answer, from the record store.",
                    Query("max by (answer) (astrolens_labels)", "{{answer}}"),
                ),
                lines(
                    "From answers to a new order",
                    "95 % of the passes of the interest ranking store the new order within so many seconds; and how "
                    "many are learned an hour.",
                    Query(
                        "histogram_quantile(0.95, sum by (le) (rate(astrolens_ranking_seconds_bucket[15m])))",
                        "95 %",
                    ),
                    Query("sum(increase(astrolens_rankings_learned_total[1h]))", "rankings an hour"),
                ),
            ],
        ),
        Row(
            "What measures each sky?",
            [
                lines(
                    "Surveys",
                    "Surveys by what calibrates them: the bundle (own), their survey model (ready), or the pooled "
                    "calibration, with alerts held (learning, does-not-fit).",
                    Query("max by (state) (astrolens_surveys)", "{{state}}"),
                    stacked=True,
                ),
                lines(
                    "Analysed by",
                    "Images an hour by whose ordinary images they are measured against.",
                    Query(
                        "sum by (calibration_fit) (increase(astrolens_analyzed_by_fit_total[1h]))",
                        "{{calibration_fit}}",
                    ),
                    stacked=True,
                ),
                lines(
                    "Held and judged again",
                    "An hour: anomalies that raise no alert because their calibration promises nothing; earlier images "
                    "analysed again because another calibration serves; survey models fitted, and fits that failed.",
                    Query("sum(increase(astrolens_anomalies_held_total[1h]))", "held"),
                    Query("sum(increase(astrolens_survey_images_rejudged_total[1h]))", "judged again"),
                    Query("sum by (outcome) (increase(astrolens_survey_model_fits_total[1h]))", "fits {{outcome}}"),
                ),
            ],
        ),
        Row(
            "Can the verdicts be believed?",
            [
                lines(
                    "Drift",
                    "Distance of the last 500 p-values from uniform (Kolmogorov-Smirnov), by calibration: chance alone "
                    "stays below 0.08 with 500 images, below 0.12 with 200. Oddities in the stream add their share.",
                    Query('max by (calibration) (astrolens_drift_ks{detector="combined"})', "{{calibration}}"),
                    most=1,
                    steps=_DRIFTED,
                ),
                lines(
                    "Drift allowed for",
                    "Standard deviations by which the ordinary images of a survey have moved, and that its verdicts "
                    "allow for. A burst of oddities moves nothing.",
                    Query("max by (survey) (astrolens_calibration_drift_allowed)", "{{survey}}"),
                ),
                heat(
                    "p-values",
                    "How the p-values of the stream are spread. Above 0.1 all bands are as wide and must look alike.",
                    "sum by (le) (rate(astrolens_p_value_bucket[$__rate_interval]))",
                    unit="short",
                ),
                lines(
                    "Small p-values",
                    "Share of p-values of at most 0.1, by calibration: 0.1 when all is well. More: ordinary images "
                    "look strange. Less: strange ones would look ordinary.",
                    Query(
                        'sum by (calibration) (rate(astrolens_p_value_bucket{le="0.1"}[30m])) / '
                        "sum by (calibration) (rate(astrolens_p_value_count[30m]))",
                        "{{calibration}}",
                    ),
                    unit="percentunit",
                ),
            ],
        ),
        Row(
            "What does the simulated sky's truth say?",
            [
                number(
                    "Oddities found",
                    "Share of the simulated sky's oddities that were called anomalies. Chance alone would find the "
                    "share that the budget allows of ordinary images, 1 % by default.",
                    f"sum({_FOUND}) / sum({_ODDITIES})",
                    unit="percentunit",
                    steps=_RECALL,
                ),
                number(
                    "False alarms per 1,000",
                    "Ordinary simulated images that were called anomalies, per thousand; the budget is "
                    "ASTROLENS_FALSE_ALARMS_PER_1000.",
                    f"1000 * (sum({_FLAGGED}) - sum({_FOUND})) / (sum({_JUDGED}) - sum({_ODDITIES}))",
                    decimals=1,
                ),
                lines(
                    "Found, by kind",
                    "Share of each kind of oddity that was called an anomaly, since the archive began.",
                    Query(f"sum by (oddity) ({_FOUND}) / sum by (oddity) ({_ODDITIES})", "{{oddity}}"),
                    unit="percentunit",
                    most=1,
                ),
            ],
        ),
        Row(
            "Did it reach people?",
            [
                lines(
                    "Delivered",
                    "Alerts an hour, by channel and what became of them.",
                    Query(
                        "sum by (channel, outcome) (increase(astrolens_deliveries_total[1h]))",
                        "{{channel}} {{outcome}}",
                    ),
                ),
                lines(
                    "Waiting for a channel",
                    "Alerts that were raised and not delivered yet.",
                    Query("sum by (channel) (astrolens_deliveries_waiting)", "{{channel}}"),
                ),
                lines(
                    "Oldest waiting",
                    "Age of the oldest alert that waits for a channel.",
                    Query("max by (channel) (astrolens_delivery_oldest_seconds)", "{{channel}}"),
                    unit="s",
                    steps={300.0: "orange", 900.0: "red"},
                ),
            ],
        ),
    ],
)
