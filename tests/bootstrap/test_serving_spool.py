from pathlib import Path

from modelgates_server.bootstrap import database
from modelgates_server.settings import Settings


def test_spool_is_next_to_the_file_of_the_database_unless_a_setting_names_a_folder() -> None:
    settings = Settings(database_url="sqlite:///data/ledger.db")
    assert settings.spool_dir is None
    assert database(settings).default_spool_dir == Path("data/ledger.db-spool")
