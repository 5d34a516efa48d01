import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
_PROOF = re.compile(r"`(tests/[\w/]+\.py)::(test_\w+)`")
PROOFS = [
    pytest.param(proof[1], proof[2], id=f"{proof[1]}::{proof[2]}")
    for page in [*ROOT.glob("*.md"), *sorted(ROOT.glob("docs/**/*.md"))]
    for proof in _PROOF.finditer(page.read_text())
]


@pytest.mark.parametrize(("path", "test"), PROOFS)
def test_the_proof_that_a_page_names_exists(path: str, test: str) -> None:
    """A promise whose test was renamed or removed is found here, not by a reader."""
    assert re.search(rf"^(async )?def {test}\(", (ROOT / path).read_text(), flags=re.MULTILINE)
