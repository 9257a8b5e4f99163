"""The doctor's report."""

import io

from mien.doctor import report
from mien.doctor.finding import Finding

OK = Finding("packages", "numpy", "2.0")
NOTE = Finding("extras", "train", "missing torch", "note", "For the `train` extra: pip install 'mien[train]'")
BROKEN = Finding("packages", "pillow", "not installed", "broken", "Install it: pip install 'pillow>=10'")


def written(*findings: Finding, markdown: bool = False) -> tuple[int, str]:
    """Return the exit code and the text of a report."""
    stream = io.StringIO()
    return report.write_report(findings, stream, markdown=markdown), stream.getvalue()


def test_exit_code_is_0_if_everything_works() -> None:
    """The last line says that the plain install works."""
    code, text = written(OK)
    assert code == 0
    assert text.endswith("The plain install works.\n")


def test_exit_code_is_0_if_something_optional_is_missing() -> None:
    """A missing extra is listed with the exact install command."""
    code, text = written(OK, NOTE)
    assert code == 0
    assert "\n- For the `train` extra: pip install 'mien[train]'\n" in text


def test_exit_code_is_1_if_something_is_broken() -> None:
    """Remedies for the plain install come before optional ones."""
    code, text = written(NOTE, BROKEN)
    assert code == 1
    assert "1 of 2 findings keep the plain install" in text
    assert text.index("pip install 'pillow") < text.index("- For the `train`")


def test_markdown_has_a_table_per_section() -> None:
    """Vertical bars in a value do not break the table."""
    _, text = written(OK, Finding("packages", "odd", "a|b\nc"), NOTE, markdown=True)
    assert text.count("### ") == 2
    assert "| ok | odd | a\\|b c |" in text


def test_findings_are_written_as_they_arrive() -> None:
    """Each line is written before the next check begins."""
    stream = io.StringIO()
    seen: list[bool] = []

    def findings():  # type: ignore[no-untyped-def]
        yield OK
        seen.append("numpy" in stream.getvalue())
        yield NOTE

    report.write_report(findings(), stream, markdown=False)
    assert seen == [True]
