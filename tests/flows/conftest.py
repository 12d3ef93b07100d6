"""The gate of real parts that flows are attacked on."""

from support.house import crm, house

__all__ = ["crm", "house"]
