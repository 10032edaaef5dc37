"""What REST answers to the command line in its tests."""

from typing import Any


def alert(n: int) -> dict[str, Any]:
    return {
        "alert_id": f"{n}",
        "raised_at": f"2026-03-01T20:00:0{n}.000000Z",
        "p_value": 0.001,
        "p_value_words": {"figure": "p = 0.001", "meaning": "", "calibration": ""},
        "survey": "sdss",
        "class": "spiral",
        "alert_type": "initial",
        "updated_at": None,
        "update_reason": None,
        "image_url": f"/image/{n}",
    }
