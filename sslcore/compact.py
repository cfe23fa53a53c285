"""metrics.parquet: what metrics.jsonl says, as a table, once the run has ended."""

from typing import Any

from sslcore.experiment import Run
from sslcore.files import logged_rows, replacing

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
    names = dict.fromkeys(name for row in rows for name, value in row.items() if _is_number(value))
    numbers = {name: [value if _is_number(value := row.get(name)) else None for row in rows] for name in names}
    table = pyarrow.table({name: pyarrow.array(column, None if all(isinstance(v, (int, type(None))) for v in column) else pyarrow.float64()) for name, column in numbers.items()})
    with replacing(run.compact_file) as temporary:
        parquet.write_table(table.replace_schema_metadata({COMPACTED: str(len(content))}), temporary, compression="zstd")


def is_current(run: Run) -> bool:
    """Whether metrics.parquet holds what metrics.jsonl says now."""
    from pyarrow import ArrowException, parquet

    try:
        return int(parquet.read_schema(run.compact_file).metadata[COMPACTED]) == run.metrics_file.stat().st_size
    except (OSError, ArrowException, LookupError, TypeError, ValueError):  # missing, or foreign
        return False


def _is_number(value: Any) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool)
