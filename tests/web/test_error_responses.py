"""`error.metadata`, the machine-readable part of an error."""

from typing import get_args

import pytest
from openrouter.components import APIErrorType

from modelgates_server.core import errors as e
from modelgates_server.web.error_responses import _ERROR_TYPES, ErrorResponses
from tests.support import error_classes

SHORTFALL = e.Shortfall(2, 1, 0, 10, 5)


def provider_error(kind: type[e.ProviderError], status: int | None = None) -> e.ProviderError:
    return kind("Provider returned error", provider="acme", status=status)


def test_error_types_are_known_to_the_openrouter_client() -> None:
    assert _ERROR_TYPES.keys() <= {error.code for error in error_classes()}
    assert set(_ERROR_TYPES.values()) <= set(get_args(get_args(APIErrorType)[0]))


@pytest.mark.parametrize(
    ("error", "error_type"),
    [
        (e.InsufficientCredits.empty(SHORTFALL, purchased=True), "payment_required"),
        (e.MaxCostExceeded("m", SHORTFALL), "payment_required"),
        (provider_error(e.ProviderRefused, 400), "invalid_request"),
        (provider_error(e.ProviderRateLimited, 429), "rate_limit_exceeded"),
        (provider_error(e.ProviderTimedOut), "timeout"),
        (provider_error(e.ProviderUnavailable), "provider_unavailable"),
        (provider_error(e.ProviderUnavailable, 500), "provider_unavailable"),
        (provider_error(e.ProviderUnavailable, 503), "provider_overloaded"),
        (provider_error(e.ProviderUnavailable, 529), "provider_overloaded"),
    ],
)
def test_metadata_has_the_error_type_of_openrouter(error: Exception, error_type: str) -> None:
    metadata = ErrorResponses().describe(error)[3]
    assert metadata is not None
    assert metadata["error_type"] == error_type


@pytest.mark.parametrize("error", [e.MissingKey(), e.CallEnded("m"), RuntimeError("m")])
def test_metadata_is_omitted_when_status_and_message_are_enough(error: Exception) -> None:
    assert ErrorResponses().describe(error)[3] is None


@pytest.mark.parametrize(
    ("error", "error_type"),
    [
        (e.Stopping("m"), "server"),
        (e.StoreUnavailable("m"), "server"),
        (e.CallInProgress("m"), "call_in_progress"),
    ],
)
def test_metadata_in_a_stream_has_the_error_code_when_openrouter_has_no_type(
    error: Exception, error_type: str
) -> None:
    report = ErrorResponses().report(error)
    assert (report.metadata, report.retry_after_s) == ({"error_type": error_type}, 1)
