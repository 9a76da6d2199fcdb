"""The words of the project: old names, names with one meaning, and phrases to avoid.

To add one, add a line; `tests/test_words.py` compares.
"""

SAY = {
    "Ask": "PricedRequest",
    "BodyRoom": "BodyBudget",
    "BoundedConnection": "LimitedHttpProtocol",
    "Caller": "AuthenticatedKey",
    "Demand": "InferenceRequest",
    "Desk": "CallHarness",
    "Direct": "WriteFunction",
    "GatheringTransport": "CoalescingTransport",
    "Generations": "CallService or GenerationReader",
    "Head": "RequestHead",
    "Heard": "FakeClient",
    "HttpRefusal": "HttpError",
    "Issuance": "KeyCreationRecord",
    "KeyRing": "KeyService",
    "Line": "ReceiptLine",
    "Members": "JsonObject",
    "Observed": "ResponseMeter",
    "Paths": "RouteTable",
    "Patience": "CallTimeouts",
    "Pause": "Gate",
    "Platform": "PlatformAccount",
    "Posting": "WriteRequest",
    "Receipt": "CommandResult",
    "Refusals": "ErrorResponses",
    "Repeatable": "IdempotentRequest",
    "Reply": "HttpResponse",
    "Says": "UpstreamReply",
    "Sized": "HoldQuote",
    "Stream": "StreamedResponse",
    "Sweeper": "HoldSweeper",
    "Throttle": "RateLimiter",
    "Upkeep": "Maintenance",
    "WorkingSet": "BatchState",
    "_Desk": "AccountToolHandlers",
    "_Shelf": "DocsHandlers",
    "_hand_on": "_forward",
    "careful": "check_references",
    "latest_under": "latest_by_idempotency_key",
    "not_prolonged": "heartbeat_failed",
    "read_demand": "parse_request",
    "see": "observe",
    "shown_answer": "rewrite_answer",
    "shown_chunk": "rewrite_chunk",
    "size_hold": "quote_hold",
    "spoken_for": "live_hold_ids",
    "tick": "heartbeat",
    "troubled": "maintenance_failed",
}
"""Names that are no longer used, and the names that replaced them."""

FILES = {
    "beside": "executor",
    "copies": "response_cache",
    "exchange": "transport",
    "machines": "llms_txt",
    "messages": "jsonrpc",
    "reader": "negotiation",
    "refusals": "provider_errors or error_responses",
    "sweeper": "maintenance",
    "table": "routes",
    "upkeep": "maintenance",
}
"""The same for file names of the package."""

ONLY_IN = {
    "attempt": (
        "one request to one endpoint; for one under an `Idempotency-Key` again say repeat",
        "cli/generation.py",
        "core/metering",
        "service/calls",
        "store",
        "telemetry",
        "web/api/generations.py",
    ),
    "replay": (
        "the answer to a command under a known reference; ends of calls, by `spool replay`",
        "cli/credits.py",
        "cli/key.py",
        "cli/spool.py",
        "core/keys.py",
        "core/ledger",
        "service/calls",
        "service/maintenance.py",
        "store",
        "web/api/inference.py",
    ),
    "receipt": (
        "the priced lines of a call; what a command returns is a CommandResult",
        "cli",
        "core/metering",
        "core/pricing",
        "service/calls",
        "store/sqlite/store.py",
        "web/api/generations.py",
    ),
}
"""A word in names, its meaning, and the files or folders of the package that may use it."""

DEFINED_IN = {
    "Attempt": "core/metering",
    "Call": "service/calls",
    "Endpoint": "core/pricing",
    "Operation": "docsite",
    "ReceiptLine": "core/pricing",
    "Route": "web",
}
"""A class whose name has one meaning, and the folder of the package where it is defined."""

PHRASES = {
    r"\b(told|tells)\b": "reports, shows, names",
    r"\bbeside\b": "next to, as well as",
    r"\b(some|every)body\b": "someone, anyone, or the role: an operator, a client",
    r"\b(stood|stands)\b(?! (for|in for)\b)": "is, applies, overrides, is listed",
    r"\b(since|for) ever\b": "always, permanently",
    r"\bso many\b": "N",
    r"\bmend(s|ed|ing)?\b": "fix, repair",
    r"\b(that|which|who|what) (is|are|was|were) no (?!longer\b|more\b)": "is not a, invalid",
    r"\bbooks\b": "ledger",
    r"\b(go|goes|going|went) by\b": "passes through, is relayed",
    r"\b(goes|gone|went) on\b": "continues, is forwarded",
    r"\bhand(s|ed|ing)? on\b": "forward",
    r"\btaken? for (a|an|the|one)\b": "treated as, mistaken for",
    r"[,;] else\b|\bor else\b": "otherwise",
    r"\blook(s|ed|ing)? after\b": "manage, check",
    r"\bpictures?\b": "image, diagram",
    r"\b(mistakes? of (ours|the gateway))\b": "bug",
    r"\b(dearer|dearest)\b": "more expensive, most expensive",
    r"\bat the rim\b": "at the boundary",
    r"\bspoken for\b": "claimed",
    r"\ban own\b": "its own",
    r"\b(whatsoever|thereof|therein)\b": "leave it out",
    r"(?:^|[.] )(?-i:What|Who|Whoever|Whatever|Whose)\b[^?:.]*\.(?= |$)": "start with the subject",
}
"""Phrases to avoid, as regular expressions, and what to say instead.

The last one finds sentences whose subject is a clause: "What a call costs is held."
"""

TEST_NAME_STARTS = {
    *("a", "an", "the", "what", "who", "whoever", "whatever", "that", "this", "these", "those"),
    *("it", "there", "one"),
}
"""First words of a test's name that hide its subject."""
