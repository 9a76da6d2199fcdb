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


def test_call_is_served_once_one_client_got_the_whole_response() -> None:
    first, second = FakeClient(), FakeClient()

    def first_has_left() -> bool:
        return first.left

    def second_has_left() -> bool:
        return second.left

    clients = Clients(first_has_left)
    clients.add(second_has_left)
    clients.remove(first_has_left, 0, is_served=True)
    clients.remove(second_has_left, 0, is_served=False)
    assert clients.is_served
    assert clients.have_left()
    assert clients.gone_ms(3) == 3
