"""Which model file a report is on."""

import json
from pathlib import Path

import pytest

from mien.artifacts import file_sha256
from mien.errors import ArtifactError
from mien.formats.report_file import read_report_on


def test_only_a_report_on_this_very_file_is_read(tmp_path: Path) -> None:
    """Whatever the file is called by now."""
    model, report = tmp_path / "a.onnx", tmp_path / "report"
    model.write_bytes(b"weights")
    report.mkdir()
    with pytest.raises(ArtifactError, match=r"report is not a report: it has no metrics\.json"):
        read_report_on(report, model)
    content = {"model": {"file": "b.onnx", "sha256": file_sha256(model)}, "n_faces": 3}
    (report / "metrics.json").write_text(json.dumps(content))
    assert read_report_on(report, model) == content
    model.write_bytes(b"other weights")
    expected = (
        r"on another model file than a\.onnx, 'b\.onnx': it measured SHA-256 \w{12}, this is \w{12}\. Run"
    )
    with pytest.raises(ArtifactError, match=expected):
        read_report_on(report, model)
    for damaged in ({}, {"model": None}, {"model": [1]}):
        (report / "metrics.json").write_text(json.dumps(damaged))
        with pytest.raises(ArtifactError, match="another model file"):
            read_report_on(report, model)
