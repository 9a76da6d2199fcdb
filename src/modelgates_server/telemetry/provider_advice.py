"""Advice for operators about failed attempts at providers, for each cause."""

from collections.abc import Mapping

from modelgates_server.core.errors import ProviderError
from modelgates_server.core.metering.generations import Generation
from modelgates_server.core.provider_causes import ProviderCause

_ADVICE = {
    ProviderCause.KEY_REJECTED: "rejected our key{status}. {check_key}",
    ProviderCause.PAYMENT_REQUIRED: "requires payment{status}. Add credits to the account at the "
    "provider, or raise its budget.",
    ProviderCause.NOT_PERMITTED: "does not permit this call{status}. Check the permissions, region "
    "and project of our key. {check_key}",
    ProviderCause.NOT_FOUND: "does not know the model or the address{status}. Check "
    "`upstream_model` of `{model}`, and `base_url` in {table}.",
    ProviderCause.REQUEST_REJECTED: "rejected the request{status}. The client gets the reason. If "
    "it happens to every client, check the settings of {table}.",
    ProviderCause.RATE_LIMITED: "has reached its rate limit{status}. Request a higher limit at the "
    "provider, or send fewer calls.",
    ProviderCause.PROVIDER_FAILED: "failed{status}. Check its status page, or its own log.",
    ProviderCause.REDIRECTED: "redirects to another address{status}, which the key must not reach. "
    "Correct `base_url` in {table}.",
    ProviderCause.NAME_NOT_FOUND: "has a host name that cannot be found. Check `base_url` in "
    "{table}, and the name server of this machine.",
    ProviderCause.CONNECTION_REFUSED: "refuses connections. Check that it is running, and the port "
    "of `base_url` in {table}.",
    ProviderCause.CONNECTION_FAILED: "cannot be connected to. Check the network, the firewall, and "
    "`base_url` in {table}.",
    ProviderCause.CONNECTION_LOST: "closed the connection before its response was complete"
    "{status}. Check its own log, and the time-outs of proxies on the way.",
    ProviderCause.TLS_FAILED: "has no valid certificate, or speaks no TLS. Check `base_url` in "
    "{table}, the certificate, and the clock of this machine.",
    ProviderCause.PROXY_FAILED: "cannot be reached through the proxy. Check `HTTPS_PROXY`, "
    "`HTTP_PROXY` and `NO_PROXY`.",
    ProviderCause.CONNECT_TIMED_OUT: "does not accept connections in time. Check the network and "
    "the firewall, or raise `connect_timeout_s` in {table}.",
    ProviderCause.TIMED_OUT: "did not respond in time{status}. Check its load, or raise "
    "`first_byte_timeout_s` or `idle_timeout_s` in {table}.",
    ProviderCause.INVALID_RESPONSE: "sent a response that cannot be read{status}. Check that "
    "`base_url` in {table} is that of an API like OpenAI's.",
}


class ProviderAdvice:
    """`key_variables` are the environment variables of the providers' keys, by provider."""

    def __init__(self, key_variables: Mapping[str, str]) -> None:
        self._key_variables = key_variables

    def of(self, generation: Generation, error: ProviderError) -> str:
        """Says what happened at the provider and what to check, with nothing that it sent."""
        provider = error.provider
        table = f"`[providers.{provider}]`"
        variable = self._key_variables.get(provider)
        advice = _ADVICE[error.cause].format(
            status=f" ({error.status})" if error.status else "",
            table=table,
            model=generation.model,
            check_key=f"Check `{variable}`." if variable else f"Set `api_key_env` in {table}.",
        )
        return f"Provider `{provider}` {advice}"
