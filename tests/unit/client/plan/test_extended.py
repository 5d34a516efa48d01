"""What runs a prepared statement."""

from outlive.client.plan.extended import execution


def test_arguments_stand_beside_the_name_with_their_lengths() -> None:
    """As the protocol has them: nothing in an argument can end it."""
    assert execution(b"s1", [b"a\0'", None]) == (
        b"B\x00\x00\x00\x19\0s1\0\x00\x00\x00\x02\x00\x00\x00\x03a\0'\xff\xff\xff\xff\x00\x00"
        b"E\x00\x00\x00\x09\0\x00\x00\x00\x00"
    )


def test_the_binary_form_is_said_once_for_all_arguments() -> None:
    """Rows come back as text, as nobody reads them."""
    assert execution(b"g", [b"\xff"], binary=True).startswith(
        b"B\x00\x00\x00\x14\0g\0\x00\x01\x00\x01\x00\x01\x00\x00\x00\x01\xff\x00\x00E"
    )
