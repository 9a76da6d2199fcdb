"""The memory of outputs: its limits, and its fair division between accounts."""

from modelgates_server.service.calls.output_memory import OutputMemory

KIB = 1024


def test_output_may_have_its_limit_and_not_a_byte_more() -> None:
    lease = OutputMemory(64 * KIB).lease("acme", 10 * KIB)
    assert lease.grow(1) == 4 * KIB
    assert lease.grow(5 * KIB) == 6 * KIB  # one block and what is left
    assert lease.grow(1) == 0


def test_released_output_leaves_all_memory_free() -> None:
    memory = OutputMemory(64 * KIB)
    lease = memory.lease("acme")
    assert lease.grow(5 * KIB)
    assert memory.free_bytes == 56 * KIB  # whole blocks
    lease.release()
    lease.release()
    assert memory.free_bytes == 64 * KIB
    assert memory._used_bytes == {}


def fill(memory: OutputMemory, account_id: str) -> int:
    """Takes as much as an account gets, in blocks; returns the number of KiB."""
    blocks = 0
    while memory.lease(account_id).grow(4 * KIB):
        blocks += 1
    return 4 * blocks


def test_accounts_get_half_of_what_is_free_one_after_another() -> None:
    memory = OutputMemory(64 * KIB)
    assert [fill(memory, name) for name in ("greedy", "second", "third")] == [32, 16, 8]


def test_account_above_its_share_gets_no_more_until_it_gives_back() -> None:
    memory = OutputMemory(64 * KIB)
    first = memory.lease("greedy")
    assert first.grow(32 * KIB)
    assert not memory.lease("greedy").grow(1)
    assert memory.lease("modest").grow(1)
    first.release()
    assert memory.lease("greedy").grow(1)


def test_rejected_growth_takes_nothing() -> None:
    memory = OutputMemory(64 * KIB)
    assert not memory.lease("greedy").grow(40 * KIB)
    assert memory.free_bytes == 64 * KIB
