"""Scripts whose errors read like the server's own: what a script has done before it says TRYAGAIN is done."""

from __future__ import annotations

from typing import Any

import pytest

import carmine
from carmine.errors import ServerError
from carmine.retry import Retry
from carmine.transport.hooks import Hooks

pytestmark = pytest.mark.faults

SCRIPT = "redis.call('INCR', KEYS[1]); return redis.error_reply(ARGV[1])"
CODES = ["TRYAGAIN later", "LOADING myself", "MAXCLIENTS of mine"]


@pytest.mark.parametrize("options", [{}, {"hooks": Hooks()}], ids=["fast path", "with hooks"])
@pytest.mark.parametrize("code", CODES)
def test_a_script_is_not_run_again_for_what_its_error_says(url: str, code: str, options: dict[str, Any]) -> None:
    with carmine.Client(url, retry=Retry(5, base=0.0), **options) as client:
        with pytest.raises(ServerError, match=code):
            client.execute("EVAL", SCRIPT, 1, "n", code)
        assert client.get("n") == "1"
        sha = client.execute("SCRIPT", "LOAD", SCRIPT)
        with pytest.raises(ServerError, match=code):
            client.execute("EVALSHA", sha, 1, "n", code)
        assert client.get("n") == "2"


@pytest.mark.parametrize("code", CODES)
def test_a_function_is_not_run_again_for_what_its_error_says(url: str, code: str) -> None:
    library = (
        "#!lua name=counting\n"
        "redis.register_function('count', function(keys, args) "
        "redis.call('INCR', keys[1]); return redis.error_reply(args[1]) end)"
    )
    with carmine.Client(url, retry=Retry(5, base=0.0)) as client:
        try:
            client.execute("FUNCTION", "LOAD", "REPLACE", library)
        except ServerError:
            pytest.skip("this server has no functions")
        with pytest.raises(ServerError, match=code):
            client.execute("FCALL", "count", 1, "n", code)
        assert client.get("n") == "1"


def test_a_script_that_cannot_write_may_be_tried_again(url: str) -> None:
    with carmine.Client(url, retry=Retry(3, base=0.0)) as client:
        try:
            client.execute("EVAL_RO", "return 1", 0)
        except ServerError:
            pytest.skip("this server has no EVAL_RO")
        client.execute("CONFIG", "RESETSTAT")
        with pytest.raises(ServerError, match="TRYAGAIN"):
            client.execute("EVAL_RO", "return redis.error_reply('TRYAGAIN later')", 0)
        assert client.execute("INFO", "commandstats").data.count("cmdstat_eval_ro:calls=3") == 1
