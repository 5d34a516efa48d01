"""Settings of every test."""

from hypothesis import settings

# Two busy cores are no defect: what bounds a property is the number of its examples, not the time of each.
settings.register_profile("outlive", deadline=None)
settings.load_profile("outlive")
