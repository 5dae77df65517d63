"""What the methods on bits, on counts of different elements, on places and on vectors must give."""

from __future__ import annotations

import struct
from typing import Any

from carmine.errors import ServerError, UsageError, WrongTypeError
from carmine.types import GeoMember, GeoPoint, ScoredMember, VectorData, VectorMatch
from tests.integration.reply_cases import Both, Fails, Such, call, case, since, steps

__all__ = ["BITMAPS", "HYPERLOGLOGS", "PLACES", "VECTORS"]

SINCE_70 = since("7.0")
REDIS_82 = since("8.2", None)
VALKEY_90 = since(None, "9.0")

B = "SETRANGE b 0 abc"  # 01100001 01100010 01100011

BITMAPS = [
    case(call("bitcount", "b"), 10, B),
    case(call("bitcount", "x"), 0),
    case(call("bitcount", "b", 1), 7, B),
    case(call("bitcount", "b", 0, 0), 3, B),
    case(call("bitcount", "b", 0, 2, "BIT"), 2, B, since=SINCE_70),
    case(call("bitcount", "b", end=1), Fails(UsageError), B),
    case(call("bitcount", "l"), Fails(WrongTypeError), "RPUSH l a"),
    steps(
        (call("bitfield", "f", ("SET", "u8", 0, 255), ("GET", "u4", "#1"), ("INCRBY", "u8", 0, 1)), [0, 15, 0]),
        (call("bitfield", "f", ("OVERFLOW", "FAIL"), ("INCRBY", "u2", 0, 9), ("GET", "u2", 0)), [None, 0]),
        (call("bitfield", "f"), []),
    ),
    case(call("bitfield", "f", ("GET", "u8")), Fails(UsageError)),
    case(call("bitfield_ro", "b", ("u8", 0), ("u4", "#1")), [97, 1], B),
    case(call("bitfield_ro", "x", ("i5", 100)), [0]),
    steps((call("bitop", "AND", "d", "b", "c"), 3), (call("get", "d"), "``c"), setup=(B, "SET c deg")),
    case(call("bitop", "NOT", "d", "x"), 0),
    case(call("bitop", "DIFF", "d", "b", "c"), 3, B, "SET c deg", since=REDIS_82),
    case(call("bitpos", "b", True), 1, B),
    case(call("bitpos", "b", 0, 1), 8, B),
    case(call("bitpos", "b", 1, 1, -1), 9, B),
    case(call("bitpos", "b", 1, 3, 6, "BIT"), -1, B, since=SINCE_70),
    case(call("bitpos", "x", 1), -1),
    case(call("getbit", "b", 1), True, B),
    case(call("getbit", "b", 1000), False, B),
    steps((call("setbit", "b", 7, True), False), (call("setbit", "b", 7, 0), True), (call("getbit", "b", 7), False)),
    case(call("setbit", "b", -1, 1), Fails(ServerError)),
    case(call("setbit", "b", 0, 2), Fails(UsageError)),
]

HYPERLOGLOGS = [
    steps(
        (call("pfadd", "h", "a", b"b", 3), True),
        (call("pfadd", "h", "a"), False),
        (call("pfadd", "h2"), True),
        (call("pfcount", "h"), 3),
    ),
    case(call("pfadd", "s", "a"), Fails(WrongTypeError), "SET s 1"),
    case(call("pfcount", "h", "h2", "x"), 3, "PFADD h a b", "PFADD h2 b c"),
    steps((call("pfmerge", "d", "h", "h2"), True), (call("pfcount", "d"), 3), setup=("PFADD h a b", "PFADD h2 b c")),
]

G = "GEOADD g 13.361389 38.115556 Palermo 15.087269 37.502669 Catania"
PALERMO = GeoPoint(13.361389338970184, 38.1155563954963)
CATANIA = GeoPoint(15.087267458438873, 37.50266842333162)
AROUND: dict[str, Any] = {"longitude": 15, "latitude": 37, "radius": 200, "unit": "km", "sort": "ASC"}

PLACES = [
    steps(
        (call("geoadd", "g", {"Palermo": (13.361389, 38.115556), b"Catania": (15.087269, 37.502669)}), 2),
        (call("geoadd", "g", {"Palermo": CATANIA}, nx=True), 0),
        (call("geoadd", "g", {"Palermo": CATANIA, "Bari": CATANIA}, xx=True, ch=True), 1),
        (call("geodist", "g", "Palermo", "Catania"), 0.0),
    ),
    case(call("geoadd", "g", {}), Fails(UsageError)),
    case(call("geoadd", "g", {"Palermo": (13.3,)}), Fails(UsageError)),
    case(call("geoadd", "g", {"Pole": (0, 90)}), Fails(ServerError)),
    case(call("geodist", "g", "Palermo", "Catania"), 166274.1516, G),
    case(call("geodist", "g", "Palermo", "Catania", "km"), 166.2742, G),
    case(call("geodist", "g", "Palermo", "Rome"), None, G),
    case(call("geohash", "g", "Palermo", "Rome"), ["sqc8b49rny0", None], G),
    case(call("geopos", "g", "Palermo", "Rome"), [PALERMO, None], G),
    case(call("geopos", "x", "Palermo"), [None]),
    case(call("geosearch", "g", **AROUND), ["Catania", "Palermo"], G),
    case(call("geosearch", "g", member="Palermo", width=10, height=10), ["Palermo"], G),
    case(call("geosearch", "g", **AROUND, count=1), ["Catania"], G),
    case(call("geosearch", "g", **AROUND, count=1, any=True), Such(list, lambda found: len(found) == 1), G),
    case(
        call("geosearch", "g", **AROUND, withdist=True),
        [GeoMember("Catania", 56.4413, None, None), GeoMember("Palermo", 190.4424, None, None)],
        G,
    ),
    case(
        call("geosearch", "g", **AROUND, count=1, withcoord=True, withdist=True, withhash=True),
        [GeoMember("Catania", 56.4413, 3479447370796909, CATANIA)],
        G,
    ),
    case(call("geosearch", "g", **AROUND, count=1, withcoord=True), [GeoMember("Catania", point=CATANIA)], G),
    case(call("geosearch", "g", **AROUND, count=1, withhash=True), [GeoMember("Catania", hash=3479447370796909)], G),
    case(call("geosearch", "g", **AROUND, count=1, withhash=False), [GeoMember("Catania")], G),
    case(call("geosearch", "x", **AROUND), []),
    case(
        call("geosearch", "g", polygon=[(10, 30), (20, 30), (15, 45)], sort="ASC"),
        ["Catania", "Palermo"],
        G,
        since=VALKEY_90,
    ),
    case(call("geosearch", "g", member="Rome", radius=1), Fails(ServerError), G),
    case(call("geosearch", "g", member="Palermo"), Fails(UsageError), G),
    case(call("geosearchstore", "d", "g", member="Palermo", radius=200, unit="km"), 2, G),
    steps(
        (call("geosearchstore", "d", "g", member="Palermo", radius=200, unit="km", storedist=True), 2),
        (call("zscore", "d", "Palermo"), 0.0),
        setup=(G,),
    ),
    case(call("geosearchstore", "d", "x", member="Palermo", radius=200), 0),
    case(
        call("georadius", "g", 15, 37, 200, "km", withdist=True, sort="DESC"),
        [GeoMember("Palermo", 190.4424), GeoMember("Catania", 56.4413)],
        G,
    ),
    case(call("georadius", "g", 15, 37, 200, "km", count=1, any=False), [GeoMember("Catania")], G),
    case(call("georadius", "g", 15, 37, 200, "km", store="d"), 2, G),
    case(
        call("georadius_ro", "g", 15, 37, 200, "km", withcoord=True, count=1), [GeoMember("Catania", point=CATANIA)], G
    ),
    case(call("georadiusbymember", "g", "Palermo", 1, withhash=True), [GeoMember("Palermo", hash=3479099956230698)], G),
    steps(
        (call("georadiusbymember", "g", "Palermo", 1, store="d", storedist=True), 1),
        (call("zscore", "d", "Palermo"), 0.0),
        setup=(G,),
    ),
    case(
        call("georadiusbymember_ro", "g", "Palermo", 200, "km", withdist=True, sort="ASC"),
        [GeoMember("Palermo", 0.0), GeoMember("Catania", 166.2742)],
        G,
    ),
]

V = ("VADD v VALUES 2 1 0 a NOQUANT", 'VADD v VALUES 2 0 1 b NOQUANT SETATTR {"y":2}')
ONE_AND_ZERO = struct.pack("=2f", 1, 0)

VECTORS = [
    each._replace(since=REDIS_82)
    for each in [
        steps((call("vadd", "v", [1, 0.5], "a"), True), (call("vadd", "v", [1, 0.5], b"a"), False)),
        case(
            call(
                "vadd",
                "v",
                ONE_AND_ZERO,
                "a",
                reduce=1,
                cas=True,
                quantization="BIN",
                ef=10,
                attributes={"y": 1},
                numlinks=4,
            ),
            True,
        ),
        case(call("vadd", "v", [1], "c"), Fails(ServerError), *V),
        case(call("vadd", "v", [], "c"), Fails(UsageError)),
        case(call("vcard", "v"), 2, *V),
        case(call("vcard", "x"), 0),
        case(call("vdim", "v"), 2, *V),
        case(call("vdim", "x"), Fails(ServerError)),
        case(call("vemb", "v", "a"), [1.0, 0.0], *V),
        case(call("vemb", "v", "x"), None, *V),
        case(call("vemb", "v", "a", raw=True), VectorData("f32", ONE_AND_ZERO, 1.0, None), *V),
        case(
            call("vemb", "q", "a", raw=True),
            Such(VectorData, lambda told: told[:2] == ("int8", b"\x7f\x00") and type(told.range) is float),
            "VADD q VALUES 2 1 0 a",
        ),
        case(call("vemb", "x", "a", raw=True), None),
        case(call("vgetattr", "v", "b"), '{"y":2}', *V),
        case(call("vgetattr", "v", "a"), None, *V),
        case(
            call("vinfo", "v"),
            Such(dict, lambda told: (told["quant-type"], told["vector-dim"], told["size"]) == ("f32", 2, 2)),
            *V,
        ),
        case(call("vinfo", "x"), None),
        case(call("vismember", "v", "a"), True, *V),
        case(call("vismember", "v", "x"), False, *V),
        case(call("vlinks", "v", "a"), Such(list, lambda told: told[-1] in (["b"], [b"b"])), *V),
        case(
            call("vlinks", "v", "a", withscores=True),
            Such(list, lambda told: told[-1] in ([("b", 0.5)], [(b"b", 0.5)]) and type(told[-1][0]) is ScoredMember),
            *V,
        ),
        case(call("vlinks", "v", "x"), None, *V),
        case(call("vlinks", "v", "x", withscores=True), None, *V),
        case(call("vrandmember", "v"), "a", V[0]),
        case(call("vrandmember", "v", 5), ["a"], V[0]),
        case(call("vrandmember", "v", -2), ["a", "a"], V[0]),
        case(call("vrandmember", "x"), None),
        steps((call("vrem", "v", "a"), True), (call("vrem", "v", "a"), False), setup=V),
        steps(
            (call("vsetattr", "v", "a", {"year": 1999, "tags": ["x"]}), True),
            (call("vgetattr", "v", "a"), '{"year":1999,"tags":["x"]}'),
            (call("vsetattr", "v", "a", ""), True),
            (call("vgetattr", "v", "a"), None),
            (call("vsetattr", "v", "x", "{}"), False),
            (call("vsetattr", "v", "a", {"x": object()}), Fails(UsageError)),
            setup=V,
        ),
        case(call("vsim", "v", element="a"), ["a", "b"], *V),
        case(call("vsim", "v", vector=[0, 1], count=1), ["b"], *V),
        case(
            call("vsim", "v", vector=ONE_AND_ZERO, withscores=True),
            [ScoredMember("a", 1.0), ScoredMember("b", 0.5)],
            *V,
        ),
        case(
            call("vsim", "v", vector=[1, 0], withattribs=True, truth=True, nothread=True),
            Both(
                [VectorMatch("a", 1.0, None), VectorMatch("b", 0.5, '{"y":2}')],
                [VectorMatch(b"a", 1.0, None), VectorMatch(b"b", 0.5, '{"y":2}')],
            ),
            *V,
        ),
        case(call("vsim", "v", vector=[1, 0], epsilon=0.1, ef=50), ["a"], *V),
        case(call("vsim", "v", vector=[1, 0], filter=".y > 1", filter_ef=100), ["b"], *V),
        case(call("vsim", "x", vector=[1, 0]), []),
        case(call("vsim", "v", element="x"), Fails(ServerError), *V),
        case(call("vsim", "v", element="a", vector=[1]), Fails(UsageError)),
    ]
]
