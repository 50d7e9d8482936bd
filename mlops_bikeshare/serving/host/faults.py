"""Errors as boto3 expects them: a code, a message for people, and an HTTP status."""

from mlops_bikeshare.domain.errors import EndpointError


class ApiError(EndpointError):
    """An answer that boto3 turns into a ClientError with this code."""

    def __init__(self, code: str, message: str, *, status: int = 400) -> None:
        super().__init__(message)
        self.code = code
        self.status = status


def invalid(message: str) -> ApiError:
    """What the control plane calls a ValidationException."""
    return ApiError("ValidationException", message)


def not_found(kind: str, arn: str) -> ApiError:
    """The control plane's words for a missing resource; mlflow looks for `Could not find`."""
    return ApiError("ValidationException", f'Could not find {kind} "{arn}".')
