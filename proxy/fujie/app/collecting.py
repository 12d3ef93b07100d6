"""How often a worker's interpreter looks for garbage that counting references does not find."""

import gc
from typing import Final

RARELY: Final = (20_000, 20, 100)
"""New objects between two looks at the youngest, and how many such looks lie between those at older ones (`gc.set_threshold`).
A call makes hundreds of objects and next to no cycles, so the interpreter's own 700 has it look several times a call: 5 % of
the CPU of look-ups and exports. What 20,000 objects of cycles hold is a few MB."""


def keep_what_is_loaded() -> None:
    """Have the collector leave alone what is there now, engine, policies and modules, and look rarely at what comes."""
    gc.collect()
    gc.freeze()
    gc.set_threshold(*RARELY)
