"""A pickle reader that builds containers, strings and numbers only, and never imports or calls what a file names.

Python's own reader calls what a file names, and even an allow-list of harmless constructors lets a file reach into
their internals (numpy's `dtype` takes flags, its `ndarray` takes pointers). Here a name stays a string; for the names
that a caller supports, it passes functions that record their arguments. Everything is bounded by the number of
instructions, so a file of n bytes is read in O(n) time and memory.
"""

from __future__ import annotations

import codecs
import struct
from collections.abc import Callable, Mapping
from typing import Any

MAX_DEPTH = 32
"""Containers inside containers."""
_MOST_STEPS = 20_000_000  # the largest references of RefCOCO take 6 million
_LARGEST_KEY = 1 << 63
_SHARING = 16  # how often each part of a file may be referred to, on average


class PickleProblem(ValueError):
    """A pickle is damaged, or is not plain data."""


class ForbiddenName(PickleProblem):
    """A pickle names a class or function that is not in `calls`; the message is its name."""


class GlobalName(str):
    """A class or function that a pickle mentions: `module.name`, never imported."""

    __slots__ = ()


class Record:
    """Base of objects that functions of `calls` return and whose state comes later in the pickle."""

    def set_state(self, state: Any) -> None:
        """Take the state that the pickle has for it. Raises PickleProblem."""
        raise NotImplementedError


Calls = Mapping[str, Callable[..., Any] | None]
"""`module.name` -> its stand-in, a function of the recorded arguments; None for names that are only mentioned."""


def load_plain(
    data: Any, start: int = 0, calls: Calls | None = None, persistent: Callable[[Any], Any] | None = None
) -> tuple[Any, int]:
    """Read one pickle of protocol 0 to 5; byte strings of Python 2 become texts as Latin-1.

    Args:
        data: Bytes, or an object that is sliced like them (a memory map).
        start: Where the pickle begins.
        calls: The names that it may mention.
        persistent: Called with the key of each object that is kept outside of the pickle; None: there are none.

    Returns:
        The value, made of dict (keys are str, or int of 64 bits), list, tuple, str, bytes, int, float, bool, None,
        `GlobalName` and results of `calls` and `persistent`; and the offset at which the pickle ends.

    Raises:
        ForbiddenName: It mentions another name.
        PickleProblem: It is damaged, too deep or too large.
    """
    machine = _Machine(data, start, calls or {}, persistent)
    try:
        value = machine.run()
    except PickleProblem:
        raise
    except (IndexError, ValueError, TypeError, KeyError, OverflowError, struct.error, AttributeError) as problem:
        raise PickleProblem(f"{type(problem).__name__} at byte {machine.at:,}") from None
    _check_tree(value, machine.steps * _SHARING + 1000)
    return value, machine.at


def _check_tree(value: Any, budget: int) -> None:
    """Refuse values that are small in the file but huge to walk through: lists that hold the same list many times."""
    layer, depth = [value], 0
    while layer:
        inner: list[Any] = []
        for part in layer:
            kind = type(part)
            if kind is dict:
                inner.extend(part.values())
            elif kind is list or kind is tuple:
                inner.extend(part)
            if len(inner) > budget:
                raise PickleProblem("it refers to its own parts again and again")
        budget -= len(inner)
        layer, depth = inner, depth + 1
        if depth > MAX_DEPTH:
            raise PickleProblem(f"it is nested more than {MAX_DEPTH} deep")


class _Machine:
    """Runs the instructions of a pickle (the format is described in Python's `pickletools`)."""

    def __init__(self, data: Any, start: int, calls: Calls, persistent: Callable[[Any], Any] | None) -> None:
        self.data, self.at, self.size = data, start, len(data)
        self.calls, self.persistent = calls, persistent
        self.steps = 0
        self.stack: list[Any] = []
        self.outer: list[list[Any]] = []
        """The stacks below each mark."""
        self.memo: dict[int, Any] = {}

    def run(self) -> Any:
        """Run to the stop instruction and return the top of the stack."""
        stop, instructions = ord("."), _INSTRUCTIONS
        while True:
            if self.at >= self.size:
                raise PickleProblem("it ends in the middle")
            code = self.data[self.at]
            self.at += 1
            self.steps += 1
            if code == stop:
                return self.stack.pop()
            if self.steps > _MOST_STEPS:
                raise PickleProblem(f"it has more than {_MOST_STEPS:,} instructions")
            instruction = instructions.get(code)
            if instruction is None:
                refused = _REFUSED.get(code)
                raise PickleProblem(
                    f"it holds {refused}" if refused else f"unknown instruction at byte {self.at - 1:,}"
                )
            instruction(self)

    # reading

    def take(self, count: int) -> bytes:
        """The next bytes."""
        start, end = self.at, self.at + count
        if not start <= end <= self.size:
            raise PickleProblem("it ends in the middle")
        self.at = end
        return bytes(self.data[start:end])

    def line(self) -> bytes:
        """The bytes up to the next line feed, without it."""
        end = self.data.find(b"\n", self.at)
        if end < 0:
            raise PickleProblem("it ends in the middle")
        line = bytes(self.data[self.at : end])
        self.at = end + 1
        return line

    def number(self, form: str) -> int:
        """A number in the form of `struct`."""
        return int(struct.unpack(form, self.take(struct.calcsize(form)))[0])

    # the stack

    def since_mark(self) -> list[Any]:
        """The items that were put on the stack since the last mark."""
        items, self.stack = self.stack, self.outer.pop()
        return items

    def fill(self, pairs: list[Any]) -> None:
        """Set items of the dictionary on top of the stack."""
        target = self.stack[-1]
        if type(target) is not dict or len(pairs) % 2:
            raise PickleProblem("it sets items of an object that is not a dictionary")
        for key, value in zip(pairs[::2], pairs[1::2], strict=True):
            # others may take for ever to hash: a tuple of tuples of tuples
            if type(key) is not str and (type(key) is not int or not -_LARGEST_KEY <= key < _LARGEST_KEY):
                raise PickleProblem(f"a key of a dictionary is a {type(key).__name__}, not a text or a whole number")
            target[key] = value

    def extend(self, values: list[Any]) -> None:
        """Extend the list on top of the stack."""
        if type(self.stack[-1]) is not list:
            raise PickleProblem("it appends to an object that is not a list")
        self.stack[-1].extend(values)

    def name(self, module: str, name: str) -> None:
        """Mention a class or function."""
        full = f"{module}.{name}"
        if not all(part.isidentifier() for part in full.split(".")):
            raise PickleProblem("it mentions a class whose name is not one")
        if full not in self.calls:
            raise ForbiddenName(full)
        self.stack.append(GlobalName(full))

    def call(self) -> None:
        """Let a function of `calls` record its arguments."""
        arguments, function = self.stack.pop(), self.stack.pop()
        stand_in = self.calls.get(function) if type(function) is GlobalName else None
        if stand_in is None or type(arguments) is not tuple:
            raise PickleProblem("it calls an object that is not a function")
        self.stack.append(stand_in(*arguments))

    def build(self) -> None:
        """Give a record its state. Attributes of an ordered dictionary say nothing about its content."""
        state, target = self.stack.pop(), self.stack[-1]
        if isinstance(target, Record):
            target.set_state(state)
        elif type(target) is not dict:
            raise PickleProblem("it sets the state of an object that has none")

    def outside(self, key: Any) -> None:
        """An object that is kept outside of the pickle."""
        if self.persistent is None:
            raise PickleProblem("it refers to an object outside of the file")
        self.stack.append(self.persistent(key))


def _int_of(line: bytes) -> int | bool:
    if line in (b"00", b"01"):
        return line == b"01"
    return int(line.rstrip(b"L"))


def _quoted(line: bytes) -> str:
    line = line.strip()
    if len(line) < 2 or line[:1] != line[-1:] or line[:1] not in (b"'", b'"'):
        raise PickleProblem("a text has no quotes")
    return str(codecs.escape_decode(line[1:-1])[0].decode("latin-1"))


def _push(value: Callable[[_Machine], Any]) -> Callable[[_Machine], None]:
    def instruction(machine: _Machine) -> None:
        machine.stack.append(value(machine))

    return instruction


def _whole(data: bytes) -> int:
    return int.from_bytes(data, "little", signed=True)


def _mark(machine: _Machine) -> None:
    machine.outer.append(machine.stack)
    machine.stack = []


def _pop(machine: _Machine) -> None:
    if machine.stack:
        machine.stack.pop()
    else:
        machine.since_mark()


def _tuple(count: int) -> Callable[[_Machine], None]:
    def instruction(machine: _Machine) -> None:
        if len(machine.stack) < count:
            raise PickleProblem("it takes more than there is")
        machine.stack[-count:] = [tuple(machine.stack[-count:])]

    return instruction


def _new_list(machine: _Machine) -> None:
    values = machine.since_mark()
    machine.stack.append(values)


def _new_tuple(machine: _Machine) -> None:
    values = machine.since_mark()
    machine.stack.append(tuple(values))


def _new_dict(machine: _Machine) -> None:
    pairs = machine.since_mark()
    machine.stack.append({})
    machine.fill(pairs)


def _set_item(machine: _Machine) -> None:
    value, key = machine.stack.pop(), machine.stack.pop()
    machine.fill([key, value])


def _put(key: Callable[[_Machine], int]) -> Callable[[_Machine], None]:
    def instruction(machine: _Machine) -> None:
        machine.memo[key(machine)] = machine.stack[-1]

    return instruction


def _get(key: Callable[[_Machine], int]) -> Callable[[_Machine], None]:
    def instruction(machine: _Machine) -> None:
        machine.stack.append(machine.memo[key(machine)])

    return instruction


def _global(machine: _Machine) -> None:
    module, name = machine.line().decode("utf-8"), machine.line().decode("utf-8")
    machine.name(module, name)


def _stack_global(machine: _Machine) -> None:
    name, module = machine.stack.pop(), machine.stack.pop()
    if type(name) is not str or type(module) is not str:
        raise PickleProblem("a name is not a text")
    machine.name(module, name)


def _u1(machine: _Machine) -> int:
    code = machine.data[machine.at] if machine.at < machine.size else machine.number("B")
    machine.at += 1
    return int(code)


def _u4(machine: _Machine) -> int:
    return int.from_bytes(machine.take(4), "little")


def _u8(machine: _Machine) -> int:
    return machine.number("<Q")


def _protocol(machine: _Machine) -> None:
    if _u1(machine) > 5:
        raise PickleProblem("it is of an unknown protocol")


_INSTRUCTIONS: dict[int, Callable[[_Machine], None]] = {
    ord(code): instruction
    for code, instruction in {
        "\x80": _protocol,
        "\x95": lambda m: m.take(8) and None,  # frames only help readers that fetch ahead
        "(": _mark,
        "0": _pop,
        "1": lambda m: m.since_mark() and None,
        "N": _push(lambda m: None),
        "\x88": _push(lambda m: True),
        "\x89": _push(lambda m: False),
        "I": _push(lambda m: _int_of(m.line())),
        "L": _push(lambda m: _int_of(m.line())),
        "J": _push(lambda m: m.number("<i")),
        "K": _push(_u1),
        "M": _push(lambda m: m.number("<H")),
        "\x8a": _push(lambda m: _whole(m.take(_u1(m)))),
        "\x8b": _push(lambda m: _whole(m.take(m.number("<i")))),
        "F": _push(lambda m: float(m.line())),
        "G": _push(lambda m: struct.unpack(">d", m.take(8))[0]),
        "S": _push(lambda m: _quoted(m.line())),
        "T": _push(lambda m: m.take(m.number("<i")).decode("latin-1")),
        "U": _push(lambda m: m.take(_u1(m)).decode("latin-1")),
        "V": _push(lambda m: m.line().decode("raw-unicode-escape")),
        "X": _push(lambda m: m.take(_u4(m)).decode("utf-8")),
        "\x8c": _push(lambda m: m.take(_u1(m)).decode("utf-8")),
        "\x8d": _push(lambda m: m.take(_u8(m)).decode("utf-8")),
        "B": _push(lambda m: m.take(_u4(m))),
        "C": _push(lambda m: m.take(_u1(m))),
        "\x8e": _push(lambda m: m.take(_u8(m))),
        "\x96": _push(lambda m: m.take(_u8(m))),
        ")": _push(lambda m: ()),
        "t": _new_tuple,
        "\x85": _tuple(1),
        "\x86": _tuple(2),
        "\x87": _tuple(3),
        "]": _push(lambda m: []),
        "l": _new_list,
        "a": lambda m: m.extend([m.stack.pop()]),
        "e": lambda m: m.extend(m.since_mark()),
        "}": _push(lambda m: {}),
        "d": _new_dict,
        "s": _set_item,
        "u": lambda m: m.fill(m.since_mark()),
        "p": _put(lambda m: int(m.line())),
        "q": _put(_u1),
        "r": _put(_u4),
        "\x94": _put(lambda m: len(m.memo)),
        "g": _get(lambda m: int(m.line())),
        "h": _get(_u1),
        "j": _get(_u4),
        "c": _global,
        "\x93": _stack_global,
        "R": lambda m: m.call(),
        "b": lambda m: m.build(),
        "P": lambda m: m.outside(m.line().decode("utf-8")),
        "Q": lambda m: m.outside(m.stack.pop()),
    }.items()
}
_REFUSED = {
    **dict.fromkeys(map(ord, "io\x81\x92"), "an object of a class, which is not plain data"),
    **dict.fromkeys(map(ord, "\x82\x83\x84"), "a class by number, which is not plain data"),
    **dict.fromkeys(map(ord, "\x8f\x90\x91"), "a set, which is not used in such files"),
    **dict.fromkeys(map(ord, "2\x97\x98"), "an instruction that is not used in such files"),
}
