"""Decoders of the caller's own that raise in the middle of a batch (P05): nobody else's reply is lost."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NoReturn

import pytest

import carmine
from carmine.errors import CarmineError, ConnectionLost, PipelineError, UnexpectedReplyError

if TYPE_CHECKING:
    from carmine.client._async.client import AsyncClient
    from carmine.commands.command import Reply
    from tests.integration._async.conftest import Open

pytestmark = pytest.mark.asyncio


class SoftLimit(BaseException):
    """An exception as task queues and servers throw into their workers."""


def raiser(kind: type[BaseException]) -> Any:
    def decode(raw: Any) -> NoReturn:
        raise kind("of the decoder")

    return decode


DOORS = ["pipeline", "transaction"]


class Watcher(carmine.Hooks):
    def __init__(self) -> None:
        self.ended: list[type | None] = []

    def on_command_end(self, name: str, address: str, seconds: float, error: BaseException | None) -> None:
        if name in ("PIPELINE", "TRANSACTION"):
            self.ended.append(None if error is None else type(error))


async def fill(client: AsyncClient[str], door: str, kind: type[BaseException], replies: list[Reply[Any]]) -> None:
    script = client.script("return 'x'", decode=raiser(kind))
    async with getattr(client, door)() as batch:
        replies += [script.queue(batch) if number == 3 else batch.echo(str(number)) for number in range(10)]


async def check_canaries(client: AsyncClient[str]) -> None:
    for number in range(20):
        assert await client.echo(f"canary {number}") == f"canary {number}"
    assert client.pool.stats().in_use == 0


@pytest.mark.parametrize("door", DOORS)
@pytest.mark.parametrize("kind", [ValueError, TypeError, ArithmeticError, RecursionError, StopIteration, GeneratorExit])
async def test_an_error_in_one_reply_of_ten(open_client: Open, door: str, kind: type[BaseException]) -> None:
    client = open_client(pool_size=1)
    replies: list[Reply[Any]] = []
    with pytest.raises(PipelineError, match="command 3") as caught:
        await fill(client, door, kind, replies)
    assert (caught.value.index, caught.value.command) == (3, "EVAL")
    assert [reply.value for number, reply in enumerate(replies) if number != 3] == list("012456789")
    error = replies[3].error
    assert isinstance(error.__cause__ if isinstance(error, UnexpectedReplyError) else error, kind)
    await check_canaries(client)


@pytest.mark.parametrize("door", DOORS)
@pytest.mark.parametrize("kind", [KeyboardInterrupt, SystemExit, SoftLimit])
async def test_what_ends_the_caller_leaves_no_entry_open(
    open_client: Open, door: str, kind: type[BaseException]
) -> None:
    watcher = Watcher()
    client = open_client(pool_size=1, hooks=watcher)
    replies: list[Reply[Any]] = []
    raised: type | None = None
    try:
        await fill(client, door, kind, replies)
    except BaseException as error:  # noqa: BLE001 - none of the runner's own
        raised = type(error)
    assert raised is kind
    assert [reply.value for reply in replies[:3]] == list("012")
    for reply in replies[3:]:
        assert reply.is_settled
        with pytest.raises(ConnectionLost, match=f"ended by {kind.__name__} before this reply was read"):
            _ = reply.value
    assert watcher.ended == [kind]
    await check_canaries(client)


async def test_the_message_is_about_the_decoder(client: AsyncClient[str]) -> None:
    script = client.script("return 'x'", decode=int)
    for _ in range(2):
        with pytest.raises(UnexpectedReplyError, match="decode function could not read what it returned") as caught:
            await script()
        assert isinstance(caught.value, CarmineError)
        assert isinstance(caught.value.__cause__, ValueError)
