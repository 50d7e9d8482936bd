"""Pages of List operations: NameContains, StatusEquals, SortBy, SortOrder, MaxResults, NextToken.

Input    the request, the documents, and how a document becomes a summary.
Output   `{key: [summaries], "NextToken"?}`; newest first unless asked otherwise.
Raises   ApiError for a token that this host did not give.
"""

from collections.abc import Callable, Sequence
from typing import Any

from mlops_bikeshare.serving.host.faults import invalid

Document = dict[str, Any]


def page(
    request: Document,
    key: str,
    documents: Sequence[Document],
    summary: Callable[[Document], Document],
) -> Document:
    """One page of summaries."""
    name = f"{key[:-1]}Name"
    rows = [row for row in map(summary, documents) if _wanted(request, row, name)]
    by = name if request.get("SortBy") == "Name" else "CreationTime"
    ascending = request.get("SortOrder", "Descending") == "Ascending"
    rows.sort(key=lambda row: (row[by], row[name]), reverse=not ascending)
    token = str(request.get("NextToken") or "0")
    if not token.isdecimal():
        raise invalid("NextToken is not one of this host's")
    start, size = int(token), int(request.get("MaxResults") or 10)
    answer: Document = {key: rows[start : start + size]}
    if start + size < len(rows):
        answer["NextToken"] = str(start + size)
    return answer


def _wanted(request: Document, row: Document, name: str) -> bool:
    status = request.get("StatusEquals")
    contains = request.get("NameContains") or ""
    return contains.lower() in row[name].lower() and status in (None, row.get("EndpointStatus"))
