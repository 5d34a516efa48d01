"""What `import outlive` offers."""

import inspect

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
