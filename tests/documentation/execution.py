"""Runs the blocks of one page in order, as a reader would."""

from __future__ import annotations

import ast
import asyncio
import inspect
import json
import re
import subprocess
import tempfile
import tomllib
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, assert_never

import yaml

from documentation.blocks import Block, commands_of, output_matches

BLOCK_TIMEOUT_S = 400.0


@dataclass(slots=True)
class Reader:
    """Somebody who types a page's blocks from top to bottom, in one directory, Python in one session.

    Python runs in a thread of its own, so that a block may call `asyncio.run` as well as `await`.
    """

    page: str
    directory: Path
    environment: Mapping[str, str]
    namespace: dict[str, Any] = field(default_factory=lambda: {"__name__": "__main__"})

    def read(self, blocks: list[Block]) -> None:
        """Do every block.

        Raises:
            AssertionError: a block did not do what the page shows; the message names its line.
        """
        with ThreadPoolExecutor(max_workers=1) as thread, asyncio.Runner(loop_factory=asyncio.new_event_loop) as loop:
            for block in blocks:
                if block.not_run is not None:
                    continue
                if block.language == "python" and block.file is None:
                    thread.submit(self._python, block, loop).result(timeout=BLOCK_TIMEOUT_S)
                else:
                    self._block(block)

    def _block(self, block: Block) -> None:
        if block.file is not None:
            (self.directory / block.file).write_text(block.body)
            return
        match block.language:
            case "console":
                self._console(block)
            case "sh":
                self._command(block, block.body, block.exit_code)
            case "sql":
                self._command(
                    block, f"outlive psql <<'SQL'\n\\set ON_ERROR_STOP on\n{block.body}SQL\n", block.exit_code
                )
            case "json":
                json.loads(block.body)
            case "yaml":
                yaml.safe_load(block.body)
            case "toml":
                tomllib.loads(block.body)
            case "python" | "text":
                pass
            case never:
                assert_never(never)

    def _python(self, block: Block, loop: asyncio.Runner) -> None:
        body = "\n" * (block.line - 1) + block.body
        code = compile(body, self.page, "exec", flags=ast.PyCF_ALLOW_TOP_LEVEL_AWAIT)
        if code.co_flags & inspect.CO_COROUTINE:
            loop.run(asyncio.wait_for(eval(code, self.namespace), BLOCK_TIMEOUT_S))
        else:
            exec(code, self.namespace)

    def _console(self, block: Block) -> None:
        commands = commands_of(block.body)
        for number, command in enumerate(commands, 1):
            output = self._command(block, command.text, block.exit_code if number == len(commands) else 0)
            shown = "\n".join(command.shown)
            assert output_matches(command.shown, output), (
                f"{self.page}:{block.line}: `{command.text}` printed\n{output}\nand not\n{shown}"
            )

    def _command(self, block: Block, text: str, exit_code: int) -> str:
        code, printed = self.run(text)
        assert code == exit_code, f"{self.page}:{block.line}: `{text}` ended with {code}, not {exit_code}:\n{printed}"
        return printed

    def run(self, text: str) -> tuple[int, str]:
        """The exit code and output of a command in bash.

        `make` only says what it would do: its targets are this project's own tests.
        """
        script = re.sub(r"^make ", f"make --dry-run -C {Path.cwd()} ", text, flags=re.MULTILINE)
        # A file, not a pipe: what a command leaves running may keep its output open.
        with tempfile.TemporaryFile() as output:
            done = subprocess.run(
                ["bash", "-euo", "pipefail", "-c", script],
                cwd=self.directory,
                env=dict(self.environment),
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                timeout=BLOCK_TIMEOUT_S,
                check=False,
            )
            output.seek(0)
            return done.returncode, output.read().decode()
