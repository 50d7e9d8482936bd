"""SQL by Athena itself, through PyAthena.

Input    a connection (`connect`) that knows database, workgroup and where results go.
Output   see `query.Query`: the frame that DuckDB would give; times aware, in UTC, to the
         millisecond; whole numbers Int64, as a null may be among them.
Raises   LakeError with Athena's reason.
Source   AWS, Athena user guide, "Data types in Athena".

Statements are Athena's dialect already. Athena lists the objects of a partition by itself: while a
day is being merged a table shows rows twice (decision 0031); the views do not.
"""

from typing import TYPE_CHECKING, Any

from mlops_bikeshare.domain import aws_errors
from mlops_bikeshare.domain.errors import LakeError

if TYPE_CHECKING:
    import pandas as pd

_DTYPES = {
    **dict.fromkeys(("tinyint", "smallint", "integer", "bigint"), "Int64"),
    **dict.fromkeys(("float", "double"), "float64"),
    **dict.fromkeys(("varchar", "char"), "str"),
}


def connect(
    region: str,
    *,
    database: str,
    workgroup: str,
    results: str,
    profile: str | None = None,
    url: str | None = None,
    poll_s: float = 0.25,
) -> Any:
    """A PyAthena connection; `results` is an s3:// folder, `profile` one of ~/.aws/config.

    `url` is for tests on the wire.
    """
    from boto3.session import Session
    from botocore.config import Config
    from pyathena import connect as opened

    local: dict[str, Any] = {"profile_name": profile} if profile else {}
    if url:
        dummy = Session(aws_access_key_id="local", aws_secret_access_key="local")  # noqa: S106
        local = {"session": dummy, "endpoint_url": url, "config": Config(proxies={})}
    return opened(
        region_name=region,
        schema_name=database,
        work_group=workgroup,
        s3_staging_dir=results,
        poll_interval=poll_s,
        **local,
    )


class AthenaQuery:
    """Queries one database."""

    def __init__(self, connection: Any) -> None:
        self._connection = connection

    def run(self, sql: str) -> "pd.DataFrame":
        """The rows; LakeError if the statement fails."""
        from botocore.exceptions import BotoCoreError, ClientError
        from pyathena.error import Error

        cursor = self._connection.cursor()
        try:
            cursor.execute(sql)
            rows, told = cursor.fetchall(), cursor.description or []
        except (Error, BotoCoreError, ClientError) as error:
            what = f"query failed: {_said(error)} ({self._where()})"
            raise LakeError(f"{what}; the statement was: {sql}") from error
        finally:
            cursor.close()
        return _frame(rows, [(column[0], column[1]) for column in told])

    def _where(self) -> str:
        """What a wrong setting may be behind."""
        asked = self._connection
        read = f"region {asked.region_name}, database {asked.schema_name}"
        return f"{read}, workgroup {asked.work_group}"


def _said(error: Exception) -> str:
    """PyAthena wraps what AWS answered."""
    cause = error.__cause__ or error
    if "bytes scanned limit" in str(error).lower():
        return f"{error}; narrow it by city and date, or raise the limit of the workgroup"
    return f"{error}; {todo}" if (todo := aws_errors.remedy(cause)) else str(error)


def _frame(rows: list[tuple[Any, ...]], columns: list[tuple[str, str]]) -> "pd.DataFrame":
    import pandas as pd

    values = list(zip(*rows, strict=True)) or [()] * len(columns)
    return pd.DataFrame(
        {name: _column(list(v), kind) for (name, kind), v in zip(columns, values, strict=True)}
    )


def _column(values: list[Any], kind: str) -> "pd.Series[Any]":
    import pandas as pd

    plain = kind.partition("(")[0]
    if plain == "timestamp":
        return pd.Series(pd.to_datetime(pd.Series(values, dtype="object"), utc=True)).dt.as_unit(
            "ms"
        )
    dtype = _DTYPES.get(plain, "object")
    return pd.Series(values, dtype=dtype)
