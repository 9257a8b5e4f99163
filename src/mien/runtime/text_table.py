"""Tables as plain text, Markdown and LaTeX. Every row has the same number of cells; the first is the header."""

from collections.abc import Sequence

# What LaTeX would take for a command, and characters that an 8-bit font lacks.
_LATEX = str.maketrans({
    "\\": r"\textbackslash{}", "~": r"\textasciitilde{}", "^": r"\textasciicircum{}",
    "±": r"$\pm$", "–": "--", **{character: f"\\{character}" for character in "&%$#_{}"},
})  # fmt: skip


def format_table(rows: Sequence[Sequence[str]]) -> list[str]:
    """Return the lines of a table with left-aligned columns.

    Example:
        >>> format_table([("name", "n"), ("a", "10")])
        ['name  n', 'a     10']
    """
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    return [
        "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip() for row in rows
    ]


def format_markdown_table(rows: Sequence[Sequence[str]]) -> str:
    r"""Return a table in GitHub's Markdown.

    Example:
        >>> print(format_markdown_table([("name", "n"), ("a|b", "10")]))
        | name | n |
        | --- | --- |
        | a\|b | 10 |
    """
    header, *others = [[cell.strip().replace("|", "\\|") for cell in row] for row in rows]
    return "\n".join(f"| {' | '.join(cells)} |" for cells in (header, ["---"] * len(header), *others))


def format_latex_table(rows: Sequence[Sequence[str]], *, caption: str) -> str:
    r"""Return a LaTeX table with the rules of the package booktabs. A cell that begins with spaces is indented.

    Example:
        >>> print(format_latex_table([("name", "n"), ("a_b", "10%")], caption="Faces."))
        % Needs \usepackage{booktabs}.
        \begin{table}
          \centering
          \caption{Faces.}
          \begin{tabular}{lr}
            \toprule
            name & n \\
            \midrule
            a\_b & 10\% \\
            \bottomrule
          \end{tabular}
        \end{table}
    """
    header, *others = (
        " & ".join(
            (r"\quad " if cell.startswith(" ") and cell.strip() else "")
            # At the beginning of a row, these would be taken for an argument of the row before.
            + ("{}" if column == 0 and cell.startswith(("[", "*")) else "")
            + cell.strip().translate(_LATEX)
            for column, cell in enumerate(row)
        )
        + r" \\"
        for row in rows
    )
    body = [r"\toprule", header, r"\midrule", *others, r"\bottomrule"]
    return "\n".join([
        r"% Needs \usepackage{booktabs}.",
        r"\begin{table}",
        r"  \centering",
        rf"  \caption{{{caption.translate(_LATEX)}}}",
        rf"  \begin{{tabular}}{{l{'r' * (len(rows[0]) - 1)}}}",
        *(f"    {line}" for line in body),
        r"  \end{tabular}",
        r"\end{table}",
    ])  # fmt: skip
