"""Parquet files read one row group at a time, with damage reported in one line."""

from functools import lru_cache
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from mien.errors import DatasetError

# A row group is read at once: much more than this is no set of face images.
MAX_GROUP_BYTES = 4 * 1024**3


def read_schema(path: Path) -> pa.Schema:
    """Return the schema of a Parquet file.

    Raises:
        DatasetError: it cannot be read, or a row group is larger than `MAX_GROUP_BYTES`.
    """
    try:
        with pq.ParquetFile(path) as file:
            groups = [file.metadata.row_group(index) for index in range(file.num_row_groups)]
            largest = max((group.total_byte_size for group in groups), default=0)
            schema = file.schema_arrow
    except (OSError, pa.ArrowException) as error:
        raise DatasetError(f"`{path}` cannot be read as Parquet: {error}; copy it again") from None
    if largest > MAX_GROUP_BYTES:
        raise DatasetError(
            f"`{path}` must have row groups of at most {MAX_GROUP_BYTES / 1e9:.1f} GB, one has {largest / 1e9:.1f} GB: "
            "write it again with fewer rows in a group"
        )
    return schema


@lru_cache(maxsize=1)
def read_group(path: Path, group: int, columns: tuple[str, ...]) -> pa.Table:
    """Return columns of a row group; the last one is remembered, since rows come in order.

    Raises:
        DatasetError: the file is damaged.
    """
    try:
        with pq.ParquetFile(path) as file:
            return file.read_row_group(group, columns=list(columns))
    except (OSError, pa.ArrowException) as error:
        raise DatasetError(f"`{path}` cannot be read: {error}; copy it again") from None
