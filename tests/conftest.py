"""Settings of the whole suite."""

from hypothesis import settings

# A deadline is a timed assertion: on a busy machine it fails a test that found nothing.
settings.register_profile("fujie", deadline=None)
settings.load_profile("fujie")
