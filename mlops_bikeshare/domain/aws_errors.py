"""What AWS's refusals mean for a person.

Input    an exception of botocore, or of what wraps one (by shape and name: nothing is imported).
Output   `remedy`: what to do, None for what says enough by itself; `said`: AWS's own words.
Source   AWS, "Common errors" of the API references of S3, SageMaker, CloudWatch, Athena.
"""

from collections.abc import Mapping
from typing import Any

_NONE = (
    "no AWS credentials were found: set AWS_PROFILE, or sign in with `aws sso login`;"
    " a job needs its role"
)
_EXPIRED = "the AWS credentials have expired: sign in again (`aws sso login`), or renew the role"
_UNKNOWN = "AWS does not know these credentials: check AWS_PROFILE, or the keys in the environment"
_DENIED = "the role may not do that: ops/iam/calls.json lists what each job asks for"
_SKEWED = "this machine's clock is wrong: set it by NTP, AWS takes five minutes either way at most"
_BUSY = "AWS throttles this account; it was tried several times: run the same command later"
_REMEDIES: Mapping[str, str] = {
    **dict.fromkeys(("NoCredentialsError", "PartialCredentialsError", "ProfileNotFound"), _NONE),
    **dict.fromkeys(("TokenRetrievalError", "UnauthorizedSSOTokenError"), _EXPIRED),
    **dict.fromkeys(("SSOTokenLoadError", "CredentialRetrievalError"), _EXPIRED),
    **dict.fromkeys(("ExpiredToken", "ExpiredTokenException", "TokenRefreshRequired"), _EXPIRED),
    **dict.fromkeys(("InvalidClientTokenId", "UnrecognizedClientException"), _UNKNOWN),
    **dict.fromkeys(("InvalidAccessKeyId", "SignatureDoesNotMatch", "AuthFailure"), _UNKNOWN),
    **dict.fromkeys(("AccessDenied", "AccessDeniedException", "AuthorizationError"), _DENIED),
    **dict.fromkeys(("UnauthorizedOperation", "AuthorizationErrorException"), _DENIED),
    **dict.fromkeys(("RequestTimeTooSkewed", "RequestExpired", "RequestInTheFuture"), _SKEWED),
    **dict.fromkeys(("ThrottlingException", "Throttling", "TooManyRequestsException"), _BUSY),
}


def remedy(error: BaseException) -> str | None:
    """What a person can do about it, by the error's code, else by its kind."""
    code = code_of(error)
    if code in {"InvalidSignatureException", "SignatureDoesNotMatch"}:
        return _SKEWED if "Signature" in str(error) and "current" in str(error) else _UNKNOWN
    return _REMEDIES.get(code or type(error).__name__)


def code_of(error: BaseException) -> str | None:
    """The code of an answer of AWS; None where nothing answered."""
    response: Any = getattr(error, "response", None)
    found = response.get("Error", {}).get("Code") if isinstance(response, Mapping) else None
    return None if found is None else str(found)


def said(error: BaseException) -> str:
    """The words of an answer, else of the exception, and what can be done."""
    response: Any = getattr(error, "response", None)
    answer = response.get("Error", {}) if isinstance(response, Mapping) else {}
    words = str(answer.get("Message") or error).rstrip(".")
    todo = remedy(error)
    return f"{words}; {todo}" if todo else words
