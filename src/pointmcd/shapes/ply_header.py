"""Header of a PLY file: which elements follow, and in which form."""

import re
from dataclasses import dataclass

from pointmcd.errors import FormatError

_MAGIC = re.compile(rb"(?:\xef\xbb\xbf)?ply[ \t]*(\r\n|\n|\r)", re.IGNORECASE)
#: Bytes in which a header must end.
_MAX_HEADER = 1 << 20
#: The byte order of each format; text has none.
_ORDERS = {"ascii": "", "binary_little_endian": "<", "binary_big_endian": ">"}
_TYPES = {"char": "i1", "uchar": "u1", "short": "i2", "ushort": "u2", "int": "i4", "uint": "u4"}
_TYPES |= {"float": "f4", "float32": "f4", "double": "f8", "float64": "f8"}
_TYPES |= {f"int{8 * size}": f"i{size}" for size in (1, 2, 4, 8)}
_TYPES |= {f"uint{8 * size}": f"u{size}" for size in (1, 2, 4, 8)}


@dataclass(frozen=True)
class Property:
    """One value, or a list of values where `counted`, the type of its length, is given.

    Types are numpy's codes without the byte order. Names are in lower case, here and in `Element`.
    """

    name: str
    type: str
    counted: str | None = None


@dataclass(frozen=True)
class Element:
    """A number of rows, all with the same properties."""

    name: str
    count: int
    properties: list[Property]


@dataclass(frozen=True)
class Header:
    """The elements in their order, the byte order (empty for text), and where the body begins."""

    elements: list[Element]
    order: str
    size: int


def read_header(data: bytes) -> Header:
    """Read what a PLY file declares; words may be in any case, and lines end in any way.

    Raises:
        FormatError: saying what is wrong with it.
    """
    magic = _MAGIC.match(data)
    if magic is None:
        raise FormatError("not a PLY file: it does not begin with ply")
    # The first byte of a body may be a line feed, unless it ends the last line of the header.
    newline = rb"\r" if magic[1] == b"\r" else rb"\r?\n"
    last = re.compile(rb"[\r\n][ \t]*end_header[ \t]*(?:%b|\Z)" % newline, re.IGNORECASE)
    end = last.search(data, magic.end() - 1, _MAX_HEADER)
    if end is None:
        raise FormatError("the PLY header does not end; the file is truncated")
    order, elements = None, list[Element]()
    for line in re.split("[\r\n]+", data[magic.end() : end.start()].decode("latin-1")):
        match line.lower().split():
            case [] | ["comment" | "obj_info", *_]:
                continue
            case ["format", form, *_] if form in _ORDERS:
                order = _ORDERS[form]
            case ["element", name, count] if count.isdecimal() and len(count) < 19:
                elements.append(Element(name, int(count), []))
            case ["property", "list", counted, kind, name] if elements:
                elements[-1].properties.append(Property(name, _type(kind), _type(counted)))
            case ["property", kind, name] if elements:
                elements[-1].properties.append(Property(name, _type(kind)))
            case _:
                raise FormatError(f"its header has a line that is not PLY: {line.strip()[:60]}")
    if order is None:
        raise FormatError("its header does not say which format the file has")
    return Header(elements, order, end.end())


def _type(name: str) -> str:
    if name not in _TYPES:
        raise FormatError(f"its header names an unknown type, {name[:60]}")
    return _TYPES[name]
