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
            "What do the catalogues know?",
            [
                lines(
                    "Answers",
                    "What catalogues said of candidates' places, a second: only `none` of every required one makes a "
                    "possible discovery.",
                    Query(
                        "sum by (catalogue, status) (rate(astrolens_catalogue_matches_total[$__rate_interval]))",
                        "{{catalogue}} {{status}}",
                    ),
                    unit="reqps",
                    stacked=True,
                ),
                lines(
                    "Cross-matches",
                    "Published a second, by sum; late answers count again.",
                    Query("sum by (status) (rate(astrolens_crossmatches_total[$__rate_interval]))", "{{status}}"),
                    unit="reqps",
                    stacked=True,
                ),
                lines(
                    "Waiting for catalogues",
                    "Candidates whose catalogues are asked, or asked again; of many the first 1,000 are counted.",
                    Query("max(astrolens_crossmatches_waiting)", "waiting"),
                ),
                lines(
                    "Left alone",
                    "1 while a catalogue is not asked because it fails or its canaries are wrong.",
                    Query("max by (catalogue) (astrolens_catalogue_left_alone)", "{{catalogue}}"),
                    most=1,
                ),
            ],
        ),
        Row(
            "How do the catalogues fail?",
            [
                lines(
                    "Failures",
                    "Questions without an answer that can be believed, by what was wrong.",
                    Query(
                        "sum by (catalogue, code) (rate(astrolens_catalogue_failures_total[$__rate_interval]))",
                        "{{catalogue}} {{code}}",
                    ),
                    unit="reqps",
                    stacked=True,
                ),
                lines(
                    "Canaries",
                    "Tests on places with a known answer, by outcome: at the start, hourly, and after an outage.",
                    Query(
                        "sum by (catalogue, outcome) (increase(astrolens_catalogue_canaries_total[1h]))",
                        "{{catalogue}} {{outcome}}",
                    ),
                ),
                lines(
                    "Seconds a question",
                    "With the reading of the reply, median and 95th percentile.",
                    *quantiles("astrolens_catalogue_seconds", "catalogue"),
                    unit="s",
                ),
                lines(
                    "From the cache",
                    "Places a second by where the answer came from: the catalogue, the cache, or nowhere.",
                    Query(
                        "sum by (catalogue, outcome) (rate(astrolens_catalogue_answers_total[$__rate_interval]))",
                        "{{catalogue}} {{outcome}}",
                    ),
                    unit="reqps",
                    stacked=True,
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
