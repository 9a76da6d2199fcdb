"""The configuration file: providers, models, prices and markups, checked before anything starts.

docs/configuration.md documents it, modelgates.example.toml shows every field, and
`modelgates config check` explains a given file.
"""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import msgspec

from modelgates_server.bootstrap.configuration_file import (
    AccountTable,
    FileTable,
    ProviderTable,
    RawTable,
    dotted,
    read_file,
    read_table,
)
from modelgates_server.bootstrap.configuration_models import (
    doubtful_figures,
    read_model,
    unpriced_media,
)
from modelgates_server.bootstrap.configuration_providers import (
    KeyMissing,
    check_provider,
    is_readable_on_the_way,
    provider_key,
    provider_settings,
)
from modelgates_server.bootstrap.configuration_requests import doubtful_cap, doubtful_requests
from modelgates_server.core.errors import InvalidInput
from modelgates_server.core.ids import ACCOUNT_ID
from modelgates_server.core.pricing.catalog import Model
from modelgates_server.core.pricing.prices import Price
from modelgates_server.providers.sandbox.offer import sandbox_models, sandbox_prices

if TYPE_CHECKING:
    from modelgates_server.providers.http import ProviderSettings

DEFAULT_FILE = Path("modelgates.toml")


@dataclass(frozen=True, slots=True, kw_only=True)
class Configuration:
    """The contents of a file, or the defaults without one, including the models of the sandbox.

    `key_variables` maps a provider to the variable that has its key, and `unset_keys` maps it to a
    sentence if that variable is not set. `old_names` maps each deprecated name in the file to its
    new name. `warnings` are sentences about what is valid but may be unintended.
    """

    path: Path | None
    markup_bp: int
    sandbox: bool
    providers: "tuple[ProviderSettings, ...]"
    models: tuple[Model, ...]
    prices: tuple[Price, ...]
    account_markup_bp: Mapping[str, int]
    key_variables: Mapping[str, str]
    unset_keys: Mapping[str, str]
    old_names: Mapping[str, str]
    warnings: tuple[str, ...]


def load_configuration(path: Path | None, environment: Mapping[str, str]) -> Configuration:
    """Returns the configuration to serve. Without a path, reads the file of the working directory.

    Raises `InvalidInput`, also if the environment lacks the key of a provider.
    """
    configuration = valid_configuration(path, environment)
    if configuration.unset_keys:
        raise InvalidInput(" ".join(configuration.unset_keys.values()))
    return configuration


def valid_configuration(path: Path | None, environment: Mapping[str, str]) -> Configuration:
    """Returns the configuration for commands that call no provider: keys may be missing."""
    configuration, problems = read_configuration(path, environment)
    if not problems:
        return configuration
    more = "" if len(problems) == 1 else " `modelgates config check` lists all problems."
    raise InvalidInput(f"{configuration.path}: {problems[0]}{more}")


def read_configuration(
    path: Path | None, environment: Mapping[str, str]
) -> tuple[Configuration, list[str]]:
    """Returns the valid part of a file, and a sentence for each problem in it."""
    if path is None and DEFAULT_FILE.exists():
        path = DEFAULT_FILE
    file = FileTable()
    problems = []
    if path is not None:
        try:
            file = read_file(path)
        except InvalidInput as problem:
            problems.append(str(problem))
    reading = _Reading(path, file, environment)
    configuration = reading.read()
    return configuration, [*problems, *reading.problems]


class _Reading:
    """Reads the tables of a file one by one, so that all of them report their problems."""

    def __init__(
        self, file_path: Path | None, file: FileTable, environment: Mapping[str, str]
    ) -> None:
        self.problems: list[str] = []
        self._file_path = file_path
        self._file = file
        self._environment = environment
        self._tables: dict[str, ProviderTable] = {}
        self._providers: list[ProviderSettings] = []
        self._unset_keys: dict[str, str] = {}
        self._models: list[Model] = []
        # By endpoint, with the path of the model's table that they were read for.
        self._prices: dict[str, tuple[tuple[Price, ...], str]] = {}
        self._account_markup_bp: dict[str, int] = {}
        self._old_names: dict[str, str] = {}
        self._warnings: list[str] = []

    def read(self) -> Configuration:
        """Reads all tables: providers before the models that name them."""
        for name, members in self._file.providers.items():
            with self._noting():
                self._read_provider(name, members)
        for model_id, members in self._file.models.items():
            with self._noting():
                self._read_model(model_id, members)
        for account_id, members in self._file.accounts.items():
            with self._noting():
                self._read_account(account_id, members)
        prices = [price for own_prices, _ in self._prices.values() for price in own_prices]
        sandbox = self._file_path is None if self._file.sandbox is None else self._file.sandbox
        markup_bp = self._file.markup_bp
        if sandbox:
            replace = msgspec.structs.replace
            self._models += (replace(model, markup_bp=markup_bp) for model in sandbox_models())
            prices += sandbox_prices()
        return Configuration(
            path=self._file_path,
            markup_bp=markup_bp,
            sandbox=sandbox,
            providers=tuple(self._providers),
            models=tuple(self._models),
            prices=tuple(prices),
            account_markup_bp=self._account_markup_bp,
            key_variables={
                name: table.api_key_env for name, table in self._tables.items() if table.api_key_env
            },
            unset_keys=self._unset_keys,
            old_names=self._old_names,
            warnings=tuple(self._warnings),
        )

    @contextmanager
    def _noting(self) -> Iterator[None]:
        try:
            yield
        except InvalidInput as problem:
            self.problems.append(str(problem))

    def _read_provider(self, name: str, members: RawTable) -> None:
        path = dotted("providers", name)
        members = self._renamed(path, members, "prices", "price_list")
        table = read_table(path, members, ProviderTable)
        self._tables[name] = table
        check_provider(path, name, table, providers=self._file.providers)
        key = None
        try:
            key = provider_key(name, table.api_key_env, self._environment)
        except KeyMissing as missing:
            self._unset_keys[name] = str(missing)
        self._providers.append(provider_settings(name, table, key))
        self._warnings += doubtful_requests(path, table)
        if is_readable_on_the_way(table.base_url):
            self._warnings.append(
                f"`{path}.base_url` connects to another machine without encryption: anyone on the "
                "network can read the key, prompts and responses. Use an https URL."
            )

    def _read_model(self, model_id: str, members: RawTable) -> None:
        path = dotted("models", model_id)
        broken = self._file.providers.keys() - self._tables.keys()
        if any(members.get("provider") == name for name in broken):
            return  # the problem of its provider is already reported
        members = self._renamed(path, members, "price", "price_from")
        model, prices = read_model(
            path,
            model_id,
            members,
            providers=self._tables,
            file=self._file_path.name if self._file_path else "",
            markup_bp=self._file.markup_bp,
        )
        first, other = self._prices.setdefault(model.endpoint.id, (prices, path))
        if first != prices:
            raise InvalidInput(
                f"`{path}` and `{other}` are the same model, `{model.endpoint.upstream_model}` of "
                f"`{model.endpoint.provider}`, with different prices. Give both the same price, "
                "and set `markup_bp` on the one that you sell for more."
            )
        self._models.append(model)
        if model.markup_bp < 0:
            self._warnings.append(
                f"`{path}` is sold below its price: its markup is {model.markup_bp} basis points."
            )
        self._warnings += (
            f"`{path}` has no rate for {medium}: calls that request it are rejected."
            for medium in unpriced_media(model, prices)
        )
        doubts = (
            *doubtful_figures(model, prices),
            *doubtful_cap(model, self._tables[model.endpoint.provider]),
        )
        self._warnings += (f"`{path}` {doubt}" for doubt in doubts)

    def _renamed(self, path: str, members: RawTable, old: str, new: str) -> RawTable:
        """Returns the fields with `old` renamed to `new`. Old names are read for one release."""
        if old not in members:
            return members
        if new in members:
            raise InvalidInput(
                f"`{path}` has both `{new}` and its old name, `{old}`. Remove `{old}`."
            )
        self._old_names[f"{path}.{old}"] = new
        return {(new if name == old else name): value for name, value in members.items()}

    def _read_account(self, account_id: str, members: RawTable) -> None:
        path = dotted("accounts", account_id)
        if not ACCOUNT_ID.fullmatch(account_id):
            raise InvalidInput(
                f"`{path}` is not an account ID. `modelgates account list` lists all IDs."
            )
        self._account_markup_bp[account_id] = read_table(path, members, AccountTable).markup_bp
