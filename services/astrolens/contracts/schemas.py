"""Generate the content of `schemas/` from the models: JSON Schema, Avro, AsyncAPI, and examples.

`make schemas` writes them; a contract test fails where the committed files differ.
"""

import json
from collections.abc import Mapping
from types import MappingProxyType
from typing import Any, Final

from pydantic import BaseModel

from astrolens.contracts import alerts, crossmatch, events, example_documents, models, records, status, survey_models
from astrolens.contracts.asyncapi import asyncapi_document

ID_BASE: Final = "urn:astrolens:schemas"
"""URNs, not URLs: a schema can be used without fetching anything."""

MODELS: Final[Mapping[str, type[BaseModel]]] = MappingProxyType(
    {
        "alerts/alert.v1": alerts.Alert,
        "alerts/heartbeat.v1": alerts.Heartbeat,
        "events/image-submitted.v1": events.ImageSubmitted,
        "events/image-ingested.v1": events.ImageIngested,
        "events/image-analyzed.v1": events.ImageAnalyzed,
        "events/candidate-matched.v1": events.CandidateMatched,
        "events/image-enriched.v1": events.ImageEnriched,
        "events/label-recorded.v1": events.LabelRecorded,
        "events/calibration-revised.v1": events.CalibrationRevised,
        "events/model-promoted.v1": events.ModelPromoted,
        "records/receipt": records.Receipt,
        "records/image": records.ImageRecord,
        "records/alert": records.AlertRecord,
        "records/dead-letter": records.DeadLetter,
        "records/service-status": status.ServiceStatus,
        "records/source-status": status.SourceStatus,
        "records/books": status.Books,
        "records/survey-model": survey_models.SurveyModelRecord,
        "records/crossmatch": crossmatch.CrossmatchRecord,
        "records/model": models.ModelRecord,
        "records/promotion": models.PromotionRecord,
        "records/shadow": models.ShadowRecord,
    }
)
"""All models that leave a process, by the name of their file without `.schema.json`."""

ALERT_AVSC: Final = "alerts/alert.v1.avsc"
ASYNCAPI: Final = "asyncapi.json"


def json_schema(name: str) -> dict[str, Any]:
    """The JSON Schema (2020-12) of one of `MODELS`, as serialized.

    Fields with a default are not required, because older writers omit them.
    """
    schema = MODELS[name].model_json_schema(mode="serialization")
    return {"$schema": "https://json-schema.org/draft/2020-12/schema", "$id": f"{ID_BASE}:{name}", **schema}


def schema_file(model: type[BaseModel]) -> str:
    """Path of a model's JSON Schema inside `schemas/`.

    Raises:
        LookupError: The model has no schema.
    """
    for name, known in MODELS.items():
        if known is model:
            return f"{name}.schema.json"
    raise LookupError(
        f"{model.__name__} is not in schemas.MODELS: add it there, and an example to example_documents.py"
    )


def documents() -> dict[str, str]:
    """The generated files: text by path inside `schemas/`."""
    texts = {f"{name}.schema.json": _text(json_schema(name)) for name in MODELS}
    texts[ALERT_AVSC] = _text(alerts.ALERT_AVRO_SCHEMA)
    texts[ASYNCAPI] = _text(asyncapi_document(schema_file=schema_file, alert_avsc=ALERT_AVSC))
    for name, example in example_documents.by_name().items():
        texts[f"examples/{name}.json"] = _text(example.model_dump(mode="json"))
    return texts


def _text(value: Any) -> str:
    return json.dumps(value, indent=2, ensure_ascii=False, allow_nan=False) + "\n"
