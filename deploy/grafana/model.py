"""Which model answers, does it keep up, and does it still fit the sky?"""

from typing import Final

from deploy.grafana.panels import Board, Query, Row, lines, number, quantiles, rows

_BY_MODEL: Final = "sum by (model_digest, calibration_id) (increase(astrolens_analyzed_by_model_total[15m]))"

BOARD: Final = Board(
    name="model",
    title="model",
    description="The model server: identity, throughput, batches, queue; and the drift of what it says.",
    rows=[
        Row(
            "Which model answers?",
            [
                rows(
                    "Models that are loaded",
                    "Every model server and what it answers with.",
                    "astrolens_model_info",
                    hidden=("service",),
                ),
                number(
                    "Models at work",
                    "Models and calibrations that judged images in the last 15 minutes. More than one outside a "
                    "roll-out: see the runbook.",
                    f"count({_BY_MODEL} > 0)",
                    steps={2.0: "red"},
                ),
                lines(
                    "Judged by",
                    "Images in 15 minutes, by model digest and calibration revision.",
                    Query(_BY_MODEL, "{{model_digest}} {{calibration_id}}"),
                    stacked=True,
                ),
            ],
            height=7,
        ),
        Row(
            "Does it keep up?",
            [
                lines(
                    "Images",
                    "Images a second that came to the model server, and that left it.",
                    Query('sum(rate(astrolens_received_total{stage="model"}[$__rate_interval]))', "received"),
                    Query(
                        'sum by (outcome) (rate(astrolens_settled_total{stage="model"}[$__rate_interval]))',
                        "{{outcome}}",
                    ),
                    unit="reqps",
                ),
                lines(
                    "Queue",
                    "Images that wait for a batch; 1,024 are taken.",
                    Query("sum by (instance) (astrolens_model_queued)", "{{instance}}"),
                    steps={900.0: "red"},
                ),
                lines(
                    "Requests refused",
                    "Requests a second that found the queue full. Analyzers try them again.",
                    Query(
                        "sum by (instance) (rate(astrolens_model_queue_refusals_total[$__rate_interval]))",
                        "{{instance}}",
                    ),
                    unit="reqps",
                ),
                lines(
                    "Batches",
                    "Images a batch, on average: full batches (32) are the cheapest.",
                    Query(
                        'sum(rate(astrolens_batch_size_sum{stage="model"}[$__rate_interval])) / '
                        'sum(rate(astrolens_batch_size_count{stage="model"}[$__rate_interval]))',
                        "images",
                    ),
                ),
                lines(
                    "Steps of a batch",
                    "Seconds a batch spends in each step, 95th percentile.",
                    quantiles("astrolens_engine_seconds", "step")[1],
                    unit="s",
                ),
                lines(
                    "Where the time goes",
                    "Seconds of work a second, by step: the sum cannot exceed the worker threads.",
                    Query("sum by (step) (rate(astrolens_engine_seconds_sum[$__rate_interval]))", "{{step}}"),
                    stacked=True,
                ),
            ],
        ),
        Row(
            "Does it still fit the sky?",
            [
                lines(
                    "Drift, by detector",
                    "Distance of recent p-values from uniform, the worst calibration of each detector. `combined` is "
                    "what verdicts use; one detector alone tells what changed.",
                    Query("max by (detector) (astrolens_drift_ks)", "{{detector}}"),
                    most=1,
                    steps={0.12: "orange", 0.2: "red"},
                ),
                lines(
                    "Drift, by calibration",
                    "The same, of the combined p-value, by the calibration that judged.",
                    Query('max by (calibration) (astrolens_drift_ks{detector="combined"})', "{{calibration}}"),
                    most=1,
                    steps={0.12: "orange", 0.2: "red"},
                ),
                lines(
                    "Images behind the drift",
                    "How many recent images it is measured on; the alarm wants 200.",
                    Query("max by (calibration) (astrolens_drift_images)", "{{calibration}}"),
                ),
            ],
        ),
        Row(
            "Does it change?",
            [
                lines(
                    "Swaps",
                    "Changes of the model that serves, in a day: promoted, rolled back, or refused by a model server.",
                    Query("sum by (outcome) (increase(astrolens_model_swaps_total[1d]))", "{{outcome}}"),
                ),
                number(
                    "Refused now",
                    "Model servers that do not serve the promoted model: see the runbook.",
                    "sum(astrolens_model_refused)",
                    steps={1.0: "red"},
                ),
                lines(
                    "Comparison in shadow",
                    "Images of the comparison that is under way: wanted, compared, and with another verdict.",
                    Query("max(astrolens_shadow_wanted)", "wanted"),
                    Query("max(astrolens_shadow_compared)", "compared"),
                    Query("max by (change) (astrolens_shadow_different)", "{{change}}"),
                ),
                lines(
                    "Comparisons",
                    "Comparisons in shadow that ended in a day.",
                    Query("sum by (outcome) (increase(astrolens_shadow_ended_total[1d]))", "{{outcome}}"),
                ),
            ],
        ),
        Row(
            "Does it learn from answers?",
            [
                lines(
                    "Retraining runs",
                    "Runs that ended in a day, by how; challengers that a gate refused are told apart.",
                    Query("sum by (state) (increase(astrolens_training_runs_total[1d]))", "{{state}}"),
                    Query("sum(increase(astrolens_training_refused_total[1d]))", "refused by a gate"),
                ),
                lines(
                    "Run under way",
                    "Share of the open run that is done.",
                    Query("max(astrolens_training_progress)", "done"),
                    most=1,
                ),
                lines(
                    "Silence of the run",
                    "Seconds since the open run last said how far it is. It waits while the stream needs the cores.",
                    Query(
                        "max((time() - astrolens_training_progressed_timestamp_seconds) * astrolens_training_open)",
                        "silent",
                    ),
                    unit="s",
                    steps={21600.0: "red"},
                ),
                lines(
                    "Processes of runs",
                    "Processes that were started in a day; more than one a run were killed, or their trainer was.",
                    Query("sum(increase(astrolens_training_processes_total[1d]))", "processes"),
                ),
                lines(
                    "Accuracy",
                    "Of the last run's champion and challenger, on the same images that neither was trained on.",
                    Query("max by (bundle) (astrolens_training_accuracy)", "{{bundle}}"),
                    most=1,
                ),
                lines(
                    "Processor time of runs",
                    "Seconds in a day that retraining took, at the lowest priority.",
                    Query("sum(increase(astrolens_training_cpu_seconds_total[1d]))", "all runs"),
                    unit="s",
                ),
            ],
        ),
        Row(
            "What does it hold?",
            [
                lines(
                    "Similarity index",
                    "Images that `similar` knows, and analyses whose embedding it had to leave out.",
                    Query("sum by (instance) (astrolens_model_indexed)", "{{instance}}"),
                    Query("sum by (instance) (astrolens_model_unusable_embeddings_total)", "{{instance}}, left out"),
                ),
                lines(
                    "Memory",
                    "Resident memory of the model servers.",
                    Query('process_resident_memory_bytes{service="model-server"}', "{{instance}}"),
                    unit="bytes",
                ),
            ],
            a_line=2,
        ),
    ],
)
