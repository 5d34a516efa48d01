"""The policy: when backups are made and tested, how long they are kept, and what a loss may cost."""

from outlive.policy.load import load, parse
from outlive.policy.schema import Policy

__all__ = ["Policy", "load", "parse"]
