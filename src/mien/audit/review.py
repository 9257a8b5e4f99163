"""review.html: one self-contained page on which a person decides about the worst faces, and exports the corrections."""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from markupsafe import Markup

from mien.artifacts import json_sha256
from mien.audit.findings import DROP, REASONS, Finding, jpeg_uri
from mien.drawing.html_page import open_templates
from mien.formats.pack.selection import FaceSelection
from mien.runtime.language import Language

_TEMPLATE = "review.html.j2"
# Inside a script element, these would end it or begin a comment.
_ESCAPES = {ord("<"): "\\u003c", ord(">"): "\\u003e", ord("&"): "\\u0026"}


def write_review(
    path: Path,
    findings: Sequence[Finding],
    faces: FaceSelection,
    *,
    classes: Sequence[str],
    record: dict[str, Any],
    language: Language,
) -> None:
    """Write the page.

    Args:
        path: path of review.html.
        findings: the faces to show, worst first.
        faces: all audited faces, for the images.
        classes: the classes of the pack, in order.
        record: the content of audit.json.
        language: of the page. What it exports stays in English.
    """
    shown = []
    for one in findings:
        entry = one._asdict() | {"image": jpeg_uri(faces, one.face)}
        entry["sentences"] = [language.text(detail) for detail in one.details]
        if "landmarks" in one.reasons:
            split = faces.splits[int(faces.pack_numbers[one.face])]
            entry["points"] = split.landmarks[faces.rows[one.face]].round(4).tolist()
        shown.append(entry)
    data = {
        # Decisions are stored in the browser under this name, so that closing the page loses nothing.
        "id": json_sha256([record["pack"]["content_sha256"], [one[:4] for one in findings]])[:16],
        "classes": list(classes),
        "names": {name: language.class_name(name) for name in classes},
        "drop": DROP,
        "reasons": {reason: language.text(meaning) for reason, meaning in REASONS.items()},
        "findings": shown,
    }
    text = json.dumps(data, allow_nan=False).translate(_ESCAPES)
    template = open_templates(Path(__file__).parent, language).get_template(_TEMPLATE)
    page = template.render(data=Markup(text), record=record)  # noqa: S704 - escaped above
    path.write_text(page, encoding="utf-8")
