"""Is everything well, how fast is it, where does it wait, and what went wrong?"""

from typing import Final

from deploy.grafana.panels import BASE, Board, Query, Row, heat, lines, number, quantiles

_FEW: Final = {1.0: "orange", 100.0: "red"}
_UP: Final = {BASE: "red", 1.0: "green"}
_SLOW: Final = {10.0: "orange", 60.0: "red"}

BOARD: Final = Board(
    name="pipeline",
    title="pipeline",
    description="From arrival to alert: health, latency, backlog, failures, and the books that must balance.",
    rows=[
        Row(
            "Is it well?",
            [
                number(
                    "Services that answer",
                    "Instances that Prometheus reaches, by service. Zero: see its log.",
                    'sum by (service) (up{job="astrolens"})',
                    legend="{{service}}",
                    steps=_UP,
                ),
                number(
                    "Arrival to alert, p95",
                    "Nineteen of twenty alerts of the last hour were out this soon after their image arrived.",
                    'histogram_quantile(0.95, sum by (le) (rate(astrolens_latency_seconds_bucket{stage="alert"}[1h])))',
                    unit="s",
                    steps=_SLOW,
                ),
                number(
                    "In flight",
                    "Arrivals not settled yet and images not analysed yet, from the books.",
                    "max(astrolens:in_flight)",
                ),
                number(
                    "Books unexplained",
                    "Received less everything that became of it. Anything but zero for ten minutes is a loss: see the "
                    "runbook.",
                    "min(abs(astrolens:books_unexplained))",
                    steps={1.0: "red"},
                ),
                number(
                    "Dead letters open",
                    "Records that wait for a person on the System page.",
                    "max(astrolens_dead_letters_open)",
                    steps=_FEW,
                ),
                number(
                    "Oldest unpublished event",
                    "How long an event has been waiting in its document for the broker.",
                    "max(astrolens_outbox_oldest_seconds)",
                    unit="s",
                    steps=_SLOW,
                ),
            ],
            a_line=6,
            height=5,
        ),
        Row(
            "How fast is it?",
            [
                lines(
                    "Since arrival",
                    "Seconds from the arrival of an image to the end of each stage: median and 95th percentile. "
                    "`fetch` is there for images that came as an address.",
                    *quantiles("astrolens_latency_seconds", "stage"),
                    unit="s",
                ),
                lines(
                    "In each stage",
                    "Seconds since the stage before: where the time since arrival goes.",
                    *quantiles("astrolens_stage_seconds", "stage"),
                    unit="s",
                ),
                heat(
                    "Arrival to verdict",
                    "How many images a second took how long until their analysis was written.",
                    'sum by (le) (rate(astrolens_latency_seconds_bucket{stage="analysis"}[$__rate_interval]))',
                    unit="s",
                ),
                lines(
                    "Arrivals settled",
                    "What became of arrivals, images a second.",
                    Query(
                        'sum by (outcome) (rate(astrolens_settled_total{stage="ingest"}[$__rate_interval]))',
                        "{{outcome}}",
                    ),
                    unit="reqps",
                    stacked=True,
                ),
                lines(
                    "Analysed",
                    "Verdicts a second.",
                    Query("sum by (verdict) (rate(astrolens_analyzed_total[$__rate_interval]))", "{{verdict}}"),
                    unit="reqps",
                    stacked=True,
                ),
                lines(
                    "Events",
                    "Events a second that the broker acknowledged, and those that the outbox had to publish later.",
                    Query("sum by (service) (rate(astrolens_published_total[$__rate_interval]))", "{{service}}"),
                    Query("sum by (service) (rate(astrolens_relayed_total[$__rate_interval]))", "{{service}} later"),
                    unit="reqps",
                ),
            ],
        ),
        Row(
            "Where does it wait?",
            [
                lines(
                    "In topics",
                    "Records that wait for their reader. Growing while the reader works: add readers.",
                    Query("sum by (topic) (astrolens_lag)", "{{topic}}"),
                ),
                lines(
                    "In outboxes",
                    "Documents with unpublished events; some in passing are normal, a growing number is a broker that "
                    "is away.",
                    Query("max by (collection) (astrolens_outbox_pending)", "{{collection}}"),
                ),
                lines(
                    "For a decoder, for the model",
                    "Images that wait for a decoding child and for a batch of the model server.",
                    Query("sum(astrolens_sandbox_waiting)", "decoders"),
                    Query("sum(astrolens_model_queued)", "model"),
                ),
                lines(
                    "Decoding",
                    "Seconds that a child takes for one image.",
                    *quantiles("astrolens_sandbox_seconds", "service"),
                    unit="s",
                ),
                lines(
                    "Handlers",
                    "Seconds a batch, 95th percentile.",
                    quantiles("astrolens_handler_seconds", "stage")[1],
                    unit="s",
                ),
                lines(
                    "Batches",
                    "Records a batch, on average: large ones are a backlog being worked off.",
                    Query(
                        "sum by (stage) (rate(astrolens_batch_size_sum[$__rate_interval])) / "
                        "sum by (stage) (rate(astrolens_batch_size_count[$__rate_interval]))",
                        "{{stage}}",
                    ),
                ),
            ],
        ),
        Row(
            "What went wrong?",
            [
                lines(
                    "Refused",
                    "Arrivals rejected or dead-lettered since the ingestor started, by reason.",
                    Query("sum by (reason) (astrolens_refused_total)", "{{reason}}"),
                ),
                lines(
                    "Dead letters",
                    "Records diverted since their reader started, by topic and error.",
                    Query("sum by (stage, error) (astrolens_dead_letters_total)", "{{stage}} {{error}}"),
                ),
                lines(
                    "Tried again",
                    "Batches a second that found a store, the broker or the model server away.",
                    Query("sum by (stage) (rate(astrolens_retries_total[$__rate_interval]))", "{{stage}}"),
                    unit="reqps",
                ),
                lines(
                    "Decoders lost",
                    "Decoding children that hung (timeout), died, or sent nonsense (malformed), in the last hour.",
                    Query("sum by (cause) (increase(astrolens_sandbox_deaths_total[1h]))", "{{cause}}"),
                ),
                lines(
                    "Decoders up",
                    "Decoding children that run. They come up with the first image.",
                    Query("sum(astrolens_sandbox_children)", "children"),
                ),
                lines(
                    "Store calls that failed",
                    "Calls a second that found the record store or the image store away.",
                    Query(
                        "sum by (store, call) (rate(astrolens_store_errors_total[$__rate_interval]))",
                        "{{store}} {{call}}",
                    ),
                    unit="reqps",
                ),
            ],
        ),
        Row(
            "Do the books balance?",
            [
                lines(
                    "Arrivals",
                    "All arrivals by outcome, from the record store: restarts do not reset it.",
                    Query("max by (outcome) (astrolens_receipts)", "{{outcome}}"),
                    stacked=True,
                ),
                lines(
                    "Accepted images",
                    "All accepted images by state, from the record store.",
                    Query("max by (state) (astrolens_images)", "{{state}}"),
                    stacked=True,
                ),
                lines(
                    "Unexplained",
                    "Received less duplicates, rejected, dead-lettered, analysed and in flight. Passing values are "
                    "batches between two writes.",
                    Query("astrolens:books_unexplained", "{{instance}}"),
                ),
            ],
        ),
        Row(
            "What does it cost?",
            [
                lines(
                    "Record store",
                    "Seconds a call, 95th percentile.",
                    quantiles("astrolens_store_seconds", "call", selector='{store="records"}')[1],
                    unit="s",
                ),
                lines(
                    "Image store",
                    "Seconds a call, 95th percentile.",
                    quantiles("astrolens_store_seconds", "call", selector='{store="images"}')[1],
                    unit="s",
                ),
                lines(
                    "Processor",
                    "Cores in use, by service. Decoding children are not among them.",
                    Query(
                        'sum by (service) (rate(process_cpu_seconds_total{job="astrolens"}[$__rate_interval]))',
                        "{{service}}",
                    ),
                    stacked=True,
                ),
                lines(
                    "Memory",
                    "Resident memory of the largest instance.",
                    Query('max by (service) (process_resident_memory_bytes{job="astrolens"})', "{{service}}"),
                    unit="bytes",
                ),
            ],
            a_line=4,
        ),
    ],
)
