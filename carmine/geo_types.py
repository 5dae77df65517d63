"""What commands on places and vectors give: `carmine.types` has these names, and loads this room when one is touched.

Like `types.py` it imports nothing of carmine and holds no behaviour; T is what the client reads strings as.
"""

from __future__ import annotations

from typing import Generic, NamedTuple, TypeVar

__all__ = ["GeoMember", "GeoPoint", "VectorData", "VectorMatch"]

T = TypeVar("T")


class GeoPoint(NamedTuple):
    """A place on earth, in degrees: east and north are positive."""

    longitude: float
    latitude: float


class GeoMember(NamedTuple, Generic[T]):
    """A member that was found near a place; None is what was not asked for.

    Attributes:
        member: Its name.
        distance: How far it is, in the unit that was asked with.
        hash: Its place as one number of 52 bits, the score in the sorted set.
        point: Where it is.
    """

    member: T
    distance: float | None = None
    hash: int | None = None
    point: GeoPoint | None = None


class VectorMatch(NamedTuple, Generic[T]):
    """An element that is like a vector.

    Attributes:
        member: Its name.
        score: How alike: 1 is the same direction, 0 the opposite one.
        attributes: Its attributes, the JSON text that was set; None where it has none.
    """

    member: T
    score: float
    attributes: str | None


class VectorData(NamedTuple):
    """A vector as the server holds it.

    Attributes:
        quantization: "int8", "bin" or "f32".
        data: The numbers in that form.
        norm: The length of the vector before it was made one of length 1.
        range: With int8 the number that 127 stands for; otherwise None.
    """

    quantization: str
    data: bytes
    norm: float
    range: float | None
