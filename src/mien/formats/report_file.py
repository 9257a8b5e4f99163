"""metrics.json of a report of `mien evaluate`, for readers to whom it matters which model file it is on."""

from pathlib import Path
from typing import Any

from mien.artifacts import file_sha256, read_json
from mien.errors import ArtifactError
from mien.runtime.nested import find_dict


def read_report_on(report: Path, model: Path) -> dict[str, Any]:
    """Return the content of a report's metrics.json, if the report is on this model file, byte for byte.

    Args:
        report: folder written by `mien evaluate`.
        model: the model file.

    Raises:
        ArtifactError: it is no report, cannot be read, or is on another model file.
    """
    advice = f"Run `mien evaluate` on {model.name}"
    metrics = read_json(report / "metrics.json", what="report", advice=advice)
    measured, sha256 = find_dict(metrics, "model"), file_sha256(model)
    if measured.get("sha256") != sha256:
        raise ArtifactError(
            f"{report} is a report on another model file than {model.name}, {measured.get('file')!r:.80}: it measured SHA-256 "
            f"{str(measured.get('sha256'))[:12]}, this is {sha256[:12]}. {advice}"
        )
    return metrics
