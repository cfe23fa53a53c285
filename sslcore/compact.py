"""metrics.parquet: what metrics.jsonl says, as a table, once the run has ended."""

from collections.abc import Iterable
from typing import TYPE_CHECKING

import numpy as np

from sslcore.experiment import Run
from sslcore.files import as_float, is_number, logged_rows, replacing

if TYPE_CHECKING:
    import pyarrow  # costs a run's start a tenth of a second

COMPACTED = b"metrics.jsonl bytes"  # in metrics.parquet: how long the file was that it was made of


def write(run: Run) -> None:
    """Write the numbers of metrics.jsonl, once it is complete, as a table that is read ten times as fast.

    The table names the size of the file that it was made of: with one of another size, it is out of date.
    """
    import pyarrow
    from pyarrow import parquet

    try:
        content = run.metrics_file.read_bytes()
    except FileNotFoundError:
        return
    rows = logged_rows(content)
    names = dict.fromkeys(name for row in rows for name, value in row.items() if is_number(value))
    numbers = {name: [value if is_number(value := row.get(name)) else None for row in rows] for name in names}
    table = pyarrow.table(numbers).replace_schema_metadata({COMPACTED: str(len(content))})
    by_byte = {field.name: "BYTE_STREAM_SPLIT" for field in table.schema if field.type == pyarrow.float64()}
    with replacing(run.compact_file) as temporary:  # no dictionaries: hardly a measured number comes twice
        parquet.write_table(
            table, temporary, compression="lz4", use_dictionary=False, column_encoding=by_byte, write_page_checksum=True
        )


def read(run: Run, names: Iterable[str]) -> "pyarrow.Table | None":
    """Those columns that metrics.parquet has as numbers; None where it is not what metrics.jsonl says now, or cannot be read."""
    from pyarrow import ArrowException, parquet, types

    try:
        with parquet.ParquetFile(run.compact_file, page_checksum_verification=True) as file:
            schema = file.schema_arrow
            if int(schema.metadata[COMPACTED]) != run.metrics_file.stat().st_size:
                return None
            kinds = {name: schema.field(name).type for name in names if name in schema.names}
            numbers = [name for name, kind in kinds.items() if types.is_integer(kind) or types.is_floating(kind)]
            return file.read(numbers, use_threads=False)  # threads take longer to start than such a table takes to read
    except (OSError, ArrowException, LookupError, TypeError, ValueError):  # missing, or foreign
        return None


def columns(run: Run, names: Iterable[str]) -> dict[str, np.ndarray]:
    """Those columns of what a run has logged, (n,) each, NaN where a row lacks the number."""
    names = list(names)
    table = read(run, names)
    if table is None:
        rows = run.metrics()
        return {name: np.array([as_float(row.get(name)) for row in rows], float) for name in names}
    missing = np.full(table.num_rows, np.nan)
    return {name: table[name].to_numpy() if name in table.column_names else missing for name in names}
