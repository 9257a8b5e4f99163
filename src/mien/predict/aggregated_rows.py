"""`--aggregate` of `mien predict`: what it requires, and the writer that turns rows into aggregated ones."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from mien.errors import ArtifactError
from mien.formats.onnx_model import ModelInfo
from mien.inference.aggregation import Aggregator, aggregate_columns
from mien.inference.baseline import measure_names
from mien.inference.results import FacePrediction, flat_columns
from mien.predict.options import PredictOptions
from mien.predict.prediction_files import RowWriter, SizeWh, open_prediction_file


def require_aggregate_fits(options: PredictOptions, *, n_images: int) -> None:
    """Check the options that go with aggregated rows.

    Raises:
        ArtifactError: there is no file for them, they cannot be computed, or an image has no second or track.
    """
    if options.aggregate is None:
        return
    by = ",".join(options.aggregate)
    if options.out is None or options.layout is not None:
        raise ArtifactError(
            f"--aggregate {by} is for files of mien's own format: add --out, without --format"
        )
    if options.rule.top is not None:
        raise ArtifactError(
            f"--aggregate {by} needs the probabilities of all classes for their means: leave out --top"
        )
    if options.sets.coverage is not None:
        raise ArtifactError(
            f"--aggregate {by} has no place for the sets of --coverage: leave out one of them"
        )
    if options.aggregate != ("file",) and n_images:
        raise ArtifactError(
            f"--aggregate {by} is for videos and cameras, but {n_images:,} of the sources "
            f"{'is an image' if n_images == 1 else 'are images'}: predict images on their own, with --aggregate file"
        )


class AggregatingWriter:
    """Aggregates the rows it receives, and writes each aggregated row as soon as it is complete."""

    def __init__(self, writer: Any, by: Sequence[str], columns: Sequence[str]) -> None:
        """Write to an open file.

        Args:
            writer: of that file, with a method ``write_values``.
            by: see `mien.inference.aggregation.parse_by`.
            columns: see `mien.inference.aggregation.aggregate_columns`.
        """
        self._writer, self._columns, self._aggregator = writer, columns, Aggregator(by)

    def write(self, row: FacePrediction, _size_wh: SizeWh = None, /) -> None:
        """Take one row."""
        self._write_complete(self._aggregator.add(row))

    def close(self) -> None:
        """Write what remains, after the last row."""
        self._write_complete(self._aggregator.finish())

    def _write_complete(self, rows: list[dict[str, Any]]) -> None:
        for row in rows:
            self._writer.write_values(dict.fromkeys(self._columns) | row)


@contextmanager
def open_output(
    out: Path, options: PredictOptions, classes: Sequence[str], info: ModelInfo
) -> Iterator[RowWriter]:
    """Yield a writer of rows to the output file, which holds these or, with `--aggregate`, those they are aggregated to.

    Args:
        out: the file.
        options: of the command.
        classes: the expressions that can be predicted.
        info: the model's metadata.

    Raises:
        ArtifactError: as in `open_prediction_file`.
    """
    measures = measure_names(classes, info)
    has_change = options.baseline is not None
    columns: tuple[str, ...] = ()
    if options.aggregate is not None:
        columns = aggregate_columns(options.aggregate, measures, has_change=has_change)
    elif has_change:
        columns = flat_columns(classes, info.annotations, measures)
    with open_prediction_file(
        out, classes, info.annotations, force=options.force, layout=options.layout, columns=columns
    ) as writer:
        if options.aggregate is None:
            yield writer
            return
        aggregating = AggregatingWriter(writer, options.aggregate, columns)
        yield aggregating
        aggregating.close()
