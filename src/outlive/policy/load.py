"""`outlive.yaml` -> `Policy`, or an error that names the line and the word that is wrong."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import yaml
from pydantic import BaseModel, ValidationError

from outlive.errors import ConfigurationError
from outlive.model import nearest
from outlive.policy.schema import Policy

MAX_FILE_BYTES = 1_000_000
_HINT = "`outlive policy example` prints a whole policy with its comments."


def load(path: Path) -> Policy:
    """Read a policy file.

    Raises:
        ConfigurationError: it can't be read, is no YAML, or says something that a policy can't say.
    """
    try:
        with path.open("rb") as file:
            content = file.read(MAX_FILE_BYTES + 1)
    except OSError as error:
        raise ConfigurationError(f"{path} can't be read: {error.strerror}", hint=_HINT) from error
    if len(content) > MAX_FILE_BYTES:
        raise ConfigurationError(f"{path} is larger than a policy can be ({MAX_FILE_BYTES:,} bytes)")
    return parse(content, str(path))


def parse(text: str | bytes, source: str = "the policy") -> Policy:
    """Read a policy's YAML; `source` names it in an error.

    Raises:
        ConfigurationError: as `load`.
    """
    try:
        tree = yaml.compose(text, Loader=yaml.SafeLoader)
        _refuse_doubles(tree, source)
        values = yaml.safe_load(text)
    except (yaml.YAMLError, UnicodeDecodeError, RecursionError) as error:
        raise ConfigurationError(f"{source} is no YAML: {' '.join(str(error).split())}", hint=_HINT) from error
    if not isinstance(values, dict):
        raise ConfigurationError(f"{source} holds no policy: it begins with `backup_policy:`", hint=_HINT)
    try:
        return Policy.model_validate(values)
    except ValidationError as error:
        raise ConfigurationError(_said(error, tree, source), hint=_HINT) from None


def _said(error: ValidationError, tree: yaml.Node | None, source: str) -> str:
    """The first thing that is wrong, where it stands; a misspelt key with the nearest right one."""
    # A misspelt key is told before what it leaves missing.
    found = error.errors(include_url=False, include_context=False)
    first = min(found, key=lambda one: one["type"] != "extra_forbidden")
    place = tuple(first["loc"])
    where = f"{source}, line {_line(tree, place)}: {'.'.join(map(str, place))}"
    match first["type"]:
        case "extra_forbidden":
            known = _keys(place[:-1])
            return f"{where} is unknown. {nearest.hint(str(place[-1]), known, otherwise=f'Known are {known}.')}"
        case "missing":
            return f"{where} is missing"
        case _:
            return f"{where}: {first['msg'].removeprefix('Value error, ')}"


def _keys(place: Sequence[Any]) -> list[str]:
    """The keys that a policy may have at this place."""
    model: Any = Policy
    for name in place:
        model = _model(model.model_fields[str(name)].annotation)
    fields = model.model_fields.items()
    return [field.alias or name for name, field in fields]


def _model(annotation: Any) -> Any:
    """The part that a field holds, out of `Part | None`."""
    choices = getattr(annotation, "__args__", (annotation,))
    return next(choice for choice in choices if isinstance(choice, type) and issubclass(choice, BaseModel))


def _line(node: yaml.Node | None, place: Sequence[Any]) -> int:
    """The line of the deepest part of `place` that is there, counted from 1."""
    line = 1
    for name in place:
        entry = _entry(node, name)
        if entry is None:
            break
        line, node = entry[0].start_mark.line + 1, entry[1]
    return line


def _entry(node: yaml.Node | None, name: object) -> tuple[yaml.Node, yaml.Node] | None:
    pairs = node.value if isinstance(node, yaml.MappingNode) else ()
    return next((pair for pair in pairs if pair[0].value == str(name)), None)


def _refuse_doubles(node: yaml.Node | None, source: str) -> None:
    """YAML's own loader lets the last of two equal keys win, silently."""
    if not isinstance(node, yaml.MappingNode):
        return
    seen: set[str] = set()
    for key, value in node.value:
        if key.value in seen:
            line = key.start_mark.line + 1
            raise ConfigurationError(f"{source}, line {line}: {key.value} is there twice", hint="Keep one of the two.")
        seen.add(key.value)
        _refuse_doubles(value, source)
