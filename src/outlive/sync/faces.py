"""Synchronous faces, made of the asynchronous methods themselves: nothing of a call is said a second time.

A face has a `_portal` and what is below it, `_inner`. A method made here takes the parameters of its twin, says what
that one says, and is typed by it, so that a type checker and an editor know it too. Stubs or generated code would be a
second text to be kept alike.
"""

from __future__ import annotations

import inspect
from collections.abc import AsyncIterator, Awaitable, Callable, Generator, Iterator, Sequence
from functools import update_wrapper
from typing import Any, Concatenate, Generic, Never, ParamSpec, Self, TypeVar, overload

from outlive.sync.caller import Caller
from outlive.sync.portal import Portal

P = ParamSpec("P")
T = TypeVar("T")
Inner = TypeVar("Inner")
Made = TypeVar("Made")
Function = TypeVar("Function", bound=Callable[..., Any])


@overload
def through(
    method: Callable[Concatenate[Any, P], Awaitable[T]], *, asks: Sequence[str] = (), as_they_come: bool = False
) -> Callable[Concatenate[Any, P], T]: ...


@overload
def through(
    method: Callable[Concatenate[Any, P], Awaitable[Inner]], face: Callable[[Portal, Inner], Made]
) -> Callable[Concatenate[Any, P], Made]: ...


def through(
    method: Callable[..., Awaitable[Any]],
    face: Callable[[Portal, Any], Any] | None = None,
    *,
    asks: Sequence[str] = (),
    as_they_come: bool = False,
) -> Callable[..., Any]:
    """The synchronous twin of a method of `self._inner`.

    `face` makes of what it returns what this one returns. Parameters that `asks` names are functions and iterators
    that are called in the calling thread. An iterator given to another one is gone through there first, before
    anything is begun, unless the rows are to go as they come.
    """
    if asks:
        return _asking(method, asks)

    def call(self: Any, /, *args: Any, **options: Any) -> Any:
        if not as_they_come:
            args, options = tuple(map(_whole, args)), {name: _whole(value) for name, value in options.items()}

        async def work() -> Any:
            return await method(self._inner, *args, **options)

        found = self._portal.call(work())
        return found if face is None else face(self._portal, found)

    return like(method, _returned(face))(call)


def _asking(method: Callable[..., Any], asks: Sequence[str]) -> Callable[..., Any]:
    signature = inspect.signature(method)

    @like(method)
    def call(self: Any, /, *args: Any, **options: Any) -> Any:
        caller, bound = Caller(self._portal), signature.bind(self._inner, *args, **options)
        bound.arguments |= {name: caller.lend(bound.arguments[name]) for name in asks if name in bound.arguments}
        return caller.call(method(*bound.args, **bound.kwargs))

    return call


@overload
def on_loop(method: Callable[Concatenate[Any, P], T]) -> Callable[Concatenate[Any, P], T]: ...


@overload
def on_loop(
    method: Callable[Concatenate[Any, P], Inner], face: Callable[[Portal, Inner], Made]
) -> Callable[Concatenate[Any, P], Made]: ...


def on_loop(method: Callable[..., Any], face: Callable[[Portal, Any], Any] | None = None) -> Callable[..., Any]:
    """The twin of a method that waits for nothing, but has to be called on the loop."""

    @like(method, _returned(face))
    def call(self: Any, /, *args: Any, **options: Any) -> Any:
        async def work() -> Any:
            return method(self._inner, *args, **options)

        found = method(self._inner, *args, **options) if self._portal.is_here() else self._portal.call(work())
        return found if face is None else face(self._portal, found)

    return call


def iterated(
    method: Callable[Concatenate[Any, P], AsyncIterator[T]],
) -> Callable[Concatenate[Any, P], Generator[T, None, None]]:
    """The twin of a method that gives an asynchronous iterator; its rows are brought one by one."""

    def call(self: Any, /, *args: P.args, **options: P.kwargs) -> Generator[T, None, None]:
        rows: Generator[T, None, None] = self._portal.iterate(method(self._inner, *args, **options))
        return rows

    return like(method, method.__annotations__["return"].removeprefix("Async"))(call)


def like(method: Callable[..., Any], returned: str | None = None) -> Callable[[Function], Function]:
    """Say of a function what is said of `method`: its name, its docstring and its parameters, and what is returned."""

    def said(function: Function) -> Function:
        update_wrapper(function, method)
        if returned is not None:
            signature = inspect.signature(method).replace(return_annotation=returned)
            function.__signature__ = signature  # type: ignore[attr-defined]
        return function

    return said


def taking(twin: Callable[P, Any]) -> Callable[[Callable[..., T]], Callable[P, T]]:
    """Let a function that hands its arguments on be typed by what it hands them to; it says of itself what it says."""

    def typed(function: Callable[..., T]) -> Callable[P, T]:
        signature = inspect.signature(twin).replace(return_annotation=function.__annotations__["return"])
        function.__signature__ = signature  # type: ignore[attr-defined]
        return function

    return typed


class Seen(Generic[T]):
    """An attribute of what is below a face, read in the calling thread."""

    def __init__(self, of: type[Inner], read: Callable[[Inner], T], doc: str | None = None) -> None:
        self._of, self._read, self.__doc__ = of, read, doc

    def __set_name__(self, owner: type, name: str) -> None:
        self._name = name
        twin = getattr(self._of, name, None)
        if isinstance(twin, property):
            self.__doc__ = twin.__doc__

    @overload
    def __get__(self, face: None, owner: type) -> Self: ...

    @overload
    def __get__(self, face: object, owner: type) -> T: ...

    def __get__(self, face: Any, owner: type) -> Self | T:
        return self if face is None else self._read(face._inner)  # noqa: SLF001 - what every face has

    def __set__(self, face: Any, value: Never) -> None:
        raise AttributeError(f"{self._name!r} can't be set")


class Limit(Seen[T]):
    """An attribute that may be set, too."""

    def __set__(self, face: Any, value: T) -> None:
        setattr(face._inner, self._name, value)  # noqa: SLF001 - what every face has


def _whole(value: object) -> object:
    return tuple(value) if isinstance(value, Iterator) and not hasattr(value, "read") else value


def _returned(face: Callable[..., Any] | None) -> str | None:
    if face is None or isinstance(face, type):
        return None if face is None else face.__name__
    return str(face.__annotations__["return"])
