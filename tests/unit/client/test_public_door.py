"""What `import outlive` offers."""

import inspect
import subprocess
import sys

import outlive
from outlive import errors


def test_every_error_is_offered() -> None:
    """A program catches each error by its name in the package."""
    taxonomy = {name for name, value in vars(errors).items() if inspect.isclass(value) and issubclass(value, Exception)}
    assert taxonomy <= set(outlive.__all__)


def test_every_offered_name_is_there_and_documented() -> None:
    """The list of names is exact, sorted, and each says what it is."""
    assert outlive.__all__ == sorted(outlive.__all__)
    assert all(inspect.getdoc(getattr(outlive, name)) for name in outlive.__all__)


def test_an_import_brings_the_driver_and_nothing_else() -> None:
    """No package but asyncpg is loaded by `import outlive`, and of ours no room but the client and what it rests on."""
    program = (
        "import sys; before = set(sys.modules); import outlive; new = set(sys.modules) - before;"
        "tops = {name.partition('.')[0] for name in new} - sys.stdlib_module_names;"
        "rooms = {name.split('.')[1] for name in new if name.startswith('outlive.')};"
        "print(sorted(name for name in tops if 'cython' not in name), sorted(rooms))"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True, timeout=120)
    assert done.stdout.strip() == ("['asyncpg', 'outlive'] ['client', 'errors', 'model', 'system', 'telemetry']")
