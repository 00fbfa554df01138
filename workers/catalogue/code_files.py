"""A user's file with losses or models: read once, named by its content, imported by its content.

The entries of a file have names of the form `tilted@3f2a9c1b44de`: the name in the file, and a
digest of the content of the file. Everything else uses these names like names of the catalogue. A
changed file therefore gives another loss, and two files can define one name.
"""

from __future__ import annotations

import contextlib
import dataclasses
import inspect
import linecache
import math
import re
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType, UnionType
from typing import Any, Literal, NoReturn, get_args, get_origin, get_type_hints

from pydantic import ValidationError

from workers.catalogue import Options, nearest, plain
from workers.contract import CodeFile, UserError

MAX_SOURCE_BYTES = 1 << 20
"""A larger file holds something other than code; its text travels with every sweep."""

_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]*")
_DIGEST = re.compile(r"@([0-9a-f]{12})")


def short_name(name: str) -> str:
    """Returns a name without digests: `bce+tilted` for `bce+tilted@3f2a9c1b44de`."""
    return _DIGEST.sub("", name)


def digest_in(name: str) -> str | None:
    """Returns the digest of the file that a name refers to; None for names of the catalogue."""
    found = _DIGEST.search(name)
    return found.group(1) if found else None


def read_code(path: Path) -> CodeFile:
    """Reads a file of code; line ends of other systems do not change its digest.

    Raises:
        UserError: The file is missing, not a regular file, too large, or not UTF-8.
    """
    try:
        if path.exists() and not path.is_file():
            msg = f"{path}: is not a file; name a Python file"
            raise UserError(msg)
        if path.stat().st_size > MAX_SOURCE_BYTES:
            msg = (
                f"{path}: is larger than {MAX_SOURCE_BYTES >> 20} MiB, too large for a file of code"
            )
            raise UserError(msg)
        source = path.read_text(encoding="utf-8-sig")
    except FileNotFoundError:
        known = [file.name for file in sorted(path.parent.glob("*.py"))]
        hint = nearest(path.name, known) if known else f"{path.parent} has no .py file"
        msg = f"{path}: no such file; {hint}"
        raise UserError(msg) from None
    except UnicodeDecodeError:
        msg = f"{path}: is not UTF-8; save it as UTF-8"
        raise UserError(msg) from None
    except OSError as error:
        msg = f"{path}: cannot be read: {error.strerror}"
        raise UserError(msg) from None
    return CodeFile(path=str(path.absolute()), source=source)


def import_code(file: CodeFile) -> ModuleType:
    """Returns the module of a file; runs the file if this process has not imported this content.

    Raises:
        UserError: The file has a syntax error, or its import raised an error; the message names
            the line.
    """
    # Tracebacks then show the lines of this content, also if the file has changed or is absent.
    lines = file.source.splitlines(keepends=True)
    linecache.cache[file.path] = (len(file.source), None, lines, file.path)
    name = f"podium_file_{file.digest}"
    if name in sys.modules:
        return sys.modules[name]
    module = ModuleType(name)
    module.__file__ = file.path
    sys.modules[name] = module
    try:
        code = compile(file.source, file.path, "exec", dont_inherit=True)
        with contextlib.redirect_stdout(sys.stderr):  # standard output may be JSON
            exec(code, module.__dict__)
    except BaseException as error:
        # Also SystemExit: a file that ends the process would end a command without a message.
        del sys.modules[name]
        if isinstance(error, KeyboardInterrupt | MemoryError):
            raise  # of the user or the machine, and no fault of the file
        line = error.lineno if isinstance(error, SyntaxError) else file.line_of(error)
        text = error.msg if isinstance(error, SyntaxError) else str(error)
        msg = f"{_place(file, line)}: {type(error).__name__}: {text}{_remedy(error)}"
        raise UserError(msg) from error
    return module


def _remedy(error: BaseException) -> str:
    if not isinstance(error, ImportError):
        return ""
    return (
        "; the file can import packages that are installed on every node, but no files beside it: "
        "install the package, or move the code into this file"
    )


def _place(file: CodeFile, line: int | None) -> str:
    return file.path if line is None else f"{file.path}:{line}"


@dataclass(frozen=True)
class Call:
    """The function of an entry and the arguments that it is called with.

    Attributes:
        reference: `module:function`.
        positional: Names of the positional arguments.
        keywords: Names of the keywords; the options of the entry.
        options: The class of the options.
        searched: Options with a search space.
    """

    reference: str
    positional: tuple[str, ...]
    keywords: tuple[str, ...]
    options: type[Options]
    searched: tuple[str, ...] = ()


def check_fields(entry: Any, file: CodeFile) -> None:  # noqa: ANN401 - of any catalogue
    """Checks the fields of an entry of a file: their types, and numbers are above 0.

    Raises:
        UserError: A field is wrong; the message names file, line and field.
    """
    kinds = get_type_hints(type(entry))
    for field in dataclasses.fields(entry):
        value, reason = getattr(entry, field.name), None
        if not _is_a(value, kinds[field.name]):
            reason = f"must be of type {field.type}"
        elif _is_a(value, float) and not 0 < value < math.inf:
            reason = "must be a finite number above 0"
        if reason is not None:
            line = _line_of_entry(file, entry.name)
            _refuse(file, line, entry.name, f"{field.name}={value!r} {reason}")


def _is_a(value: object, kind: Any) -> bool:  # noqa: ANN401 - an annotation
    origin, inner = get_origin(kind), get_args(kind)
    if origin is Literal:
        return value in inner
    if origin is UnionType:
        return any(_is_a(value, one) for one in inner)
    if origin is type:
        return isinstance(value, type) and issubclass(value, inner)
    if kind in (int, float):
        return isinstance(value, int | kind) and not isinstance(value, bool)
    if origin is tuple and isinstance(value, tuple):
        return all(_is_a(item, inner[0]) for item in value)
    if origin is Mapping and isinstance(value, Mapping):
        return all(_is_a(item, inner[1]) for item in value.values())
    return isinstance(value, origin or kind)


def check_entry(name: str, call: Call, file: CodeFile, module: ModuleType) -> str:
    """Checks an entry of a file: name, function, signature, defaults and search space.

    Returns:
        File and line of the function, for messages.

    Raises:
        UserError: Something is wrong; the message names file and line.
    """
    entry_line = _line_of_entry(file, name)

    def refuse(reason: str, line: int | None = entry_line) -> NoReturn:
        _refuse(file, line, name, reason)

    if not _NAME.fullmatch(name):
        refuse("the name must begin with a letter or digit and have only letters, digits, _ . -")
    source, _, wanted = call.reference.partition(":")
    if source != module.__name__:
        refuse(
            f"{call.reference!r} is no function of this file; write f'{{__name__}}:FUNCTION' with "
            "a function of this file"
        )
    functions = {key: value for key, value in vars(module).items() if callable(value)}
    if wanted not in functions:
        own = [key for key, one in functions.items() if _module_of(one) == module.__name__]
        refuse(f"the file has no function {wanted!r}; {nearest(wanted, own)}")
    function = functions[wanted]
    line = getattr(getattr(function, "__code__", None), "co_firstlineno", entry_line)
    try:
        inspect.signature(function).bind(*call.positional, **dict.fromkeys(call.keywords))
    except (TypeError, ValueError) as error:
        keywords = f", *, {', '.join(call.keywords)}" if call.keywords else ""
        accepted = f"{wanted}({', '.join(call.positional)}{keywords})"
        refuse(f"the function must accept the call {accepted}: {error}", line)
    try:
        call.options.model_validate(call.options().model_dump(warnings=False))
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        key = ".".join(map(str, first["loc"]))
        refuse(f"option {key!r} needs a valid default: {plain(first['msg'])}")
    for key in call.searched:
        if key not in call.options.model_fields:
            refuse(f"space has an unknown option; {nearest(key, call.options.model_fields)}")
    return _place(file, line)


def _module_of(value: Any) -> str | None:  # noqa: ANN401 - any object of a module
    return getattr(value, "__module__", None)


def _refuse(file: CodeFile, line: int | None, name: object, reason: str) -> NoReturn:
    msg = f"{_place(file, line)}: entry {name!r}: {reason}"
    raise UserError(msg)


def _line_of_entry(file: CodeFile, name: object) -> int | None:
    return _line_with(file, f'name="{name}"', f"name={name!r}")


def _line_with(file: CodeFile, *texts: str) -> int | None:
    lines = enumerate(file.source.splitlines(), start=1)
    return next((number for number, line in lines if any(text in line for text in texts)), None)


def unknown_in_file(name: str, path: str, names: Mapping[str, str], kind: str) -> str:
    """Returns that a file does not have an entry of a name, and the names that it has."""
    if names:
        return f"{path} has no {kind} of this name; {nearest(name, names)}"
    return f"{path} defines no {kind}; `podium new {kind} NAME` writes a complete file"
