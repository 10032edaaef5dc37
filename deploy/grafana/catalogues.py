"""Do the archives on the net answer, and how fresh is what they send?"""

from typing import Final

from deploy.grafana.panels import BASE, Board, Query, Row, lines, number, quantiles

BOARD: Final = Board(
    name="catalogues",
    title="catalogues",
    description="Archives and catalogues on the net, by host: requests, latency, limits, outages; and the sources.",
    rows=[
        Row(
            "Do they answer?",
            [
                number(
                    "Requests that succeed",
                    "Share of the last half hour's requests that were answered, by host.",
                    'sum by (host) (rate(astrolens_archive_requests_total{outcome="ok"}[30m])) / '
                    "sum by (host) (rate(astrolens_archive_requests_total[30m]))",
                    unit="percentunit",
                    legend="{{host}}",
                    steps={BASE: "red", 0.5: "orange", 0.9: "green"},
                ),
                number(
                    "Left alone",
                    "1 while a host in trouble is left alone; it is tried again by itself.",
                    "max by (host) (astrolens_archive_left_alone)",
                    legend="{{host}}",
                    steps={1.0: "red"},
                ),
                number(
                    "Sources that deliver",
                    "1 for each source that runs, idles or is paused by back-pressure; 0 for one that cannot.",
                    'max by (source) (astrolens_source_state{state=~"running|idle|paused|finished"})',
                    legend="{{source}}",
                    steps={BASE: "red", 1.0: "green"},
                ),
            ],
            height=5,
        ),
        Row(
            "How well do they answer?",
            [
                lines(
                    "Requests",
                    "Requests a second, by host and outcome: `ok`, or what failed.",
                    Query(
                        "sum by (host, outcome) (rate(astrolens_archive_requests_total[$__rate_interval]))",
                        "{{host}} {{outcome}}",
                    ),
                    unit="reqps",
                    stacked=True,
                ),
                lines(
                    "Latency",
                    "Seconds a request, median and 95th percentile, failed ones included.",
                    *quantiles("astrolens_archive_seconds", "host"),
                    unit="s",
                ),
                lines(
                    "Waiting for our own rate limit",
                    "Seconds a second that requests waited for their turn: near 1 the pace is ours, not the host's.",
                    Query("sum by (host) (rate(astrolens_archive_paced_seconds_total[$__rate_interval]))", "{{host}}"),
                ),
            ],
        ),
        Row(
            "What do they send?",
            [
                lines(
                    "Age of observations",
                    "How long before its arrival an image was taken, where the source tells it: median and 95th "
                    "percentile. Archives are years behind, a survey's own stream minutes.",
                    *quantiles("astrolens_observation_age_seconds", "source"),
                    unit="s",
                ),
                lines(
                    "State of sources",
                    "The state that each source is in.",
                    Query("max by (source, state) (astrolens_source_state) == 1", "{{source}} {{state}}"),
                    most=1,
                ),
                lines(
                    "Fetching what came as an address",
                    "Seconds from the arrival of an address to its bytes.",
                    *quantiles("astrolens_latency_seconds", "stage", selector='{stage="fetch"}'),
                    unit="s",
                ),
            ],
        ),
    ],
)
