from __future__ import annotations

from hypothesis import HealthCheck, settings
from shared_ground import STAY

# A machine under load is slow now and then; that is no fault of what is tested.
settings.register_profile("steady", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("steady")


def pytest_sessionfinish() -> None:
    STAY.end()
