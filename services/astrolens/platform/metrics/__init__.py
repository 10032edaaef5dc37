"""Every metric, declared once with its meaning: what all services have, and a class for what one of them has.

One registry a process, made by the service, never global. A label has few values, known from the code or the settings;
what people name freely goes through `Few`.
"""

from astrolens.platform.metrics.alerts import AlertMetrics
from astrolens.platform.metrics.analysis import AnalysisMetrics
from astrolens.platform.metrics.archives import ArchiveMetrics
from astrolens.platform.metrics.books import BooksMetrics
from astrolens.platform.metrics.ingest import IngestMetrics
from astrolens.platform.metrics.labels import Few
from astrolens.platform.metrics.model import ModelMetrics
from astrolens.platform.metrics.shared import Metrics, Stage, StoreMetrics

__all__ = [
    "AlertMetrics",
    "AnalysisMetrics",
    "ArchiveMetrics",
    "BooksMetrics",
    "Few",
    "IngestMetrics",
    "Metrics",
    "ModelMetrics",
    "Stage",
    "StoreMetrics",
]
