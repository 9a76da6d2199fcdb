"""The clients of a call: who is there, and since when nobody is."""

from modelgates_server.service.calls.clients import Clients
from tests.gateway import FakeClient


def test_time_without_clients_starts_when_the_last_one_is_seen_to_have_left() -> None:
    first, second = FakeClient(), FakeClient()
    clients = Clients(lambda: first.left)
    assert clients.gone_ms(0) is None
    first.left = True
    assert [clients.gone_ms(at_ms) for at_ms in (10, 15)] == [0, 5]
    clients.add(lambda: second.left)
    assert not clients.have_left()
    second.left = True
    assert [clients.gone_ms(at_ms) for at_ms in (20, 22)] == [0, 2]


def test_client_is_served_only_if_it_is_there_at_the_end() -> None:
    for is_whole, left, served in ((True, False, True), (True, True, False), (False, False, False)):

        def has_left(left: bool = left) -> bool:
            return left

        clients = Clients(has_left)
        clients.remove(has_left, 0, got_everything=is_whole)
        assert clients.is_served == served
        assert clients.have_left()
        assert clients.gone_ms(3) == 3
