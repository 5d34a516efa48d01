"""Parts of a machine that a test needs and that a machine may lack."""

import os

import pytest


def require(part: str, present: bool, reason: str) -> None:
    """Go on if `part` is there; otherwise skip the test, saying why.

    Where `OUTLIVE_REQUIRE` is `all` or names the part among others, commas between, its absence is a failure:
    continuous integration must not lose tests in silence.
    """
    if present:
        return
    sentence = f"{part}: {reason}"
    if {"all", part} & set(os.environ.get("OUTLIVE_REQUIRE", "").split(",")):
        pytest.fail(f"required here, but absent: {sentence}", pytrace=False)
    pytest.skip(sentence)
