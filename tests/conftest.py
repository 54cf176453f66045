"""Settings of all unit tests."""

from hypothesis import HealthCheck, settings

# Machines differ in speed; no test is about that.
settings.register_profile("any machine", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("any machine")
