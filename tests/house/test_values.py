"""Values of the engine cost the garbage collector nothing."""

from collections.abc import Iterator
from importlib import import_module

from msgspec import StructMeta

from tests.house.tree import python_files

HELD_BY_THE_THOUSAND = ("events", "profiles")


def values() -> Iterator[StructMeta]:
    """Every frozen struct of events and profiles."""
    for path in python_files("engine"):
        if path.parts[1] in HELD_BY_THE_THOUSAND:
            module = import_module(".".join(path.with_suffix("").parts))
            for one in vars(module).values():
                if isinstance(one, StructMeta) and one.__module__ == module.__name__ and one.__struct_config__.frozen:
                    yield one


def test_the_collector_passes_over_values_of_events_and_profiles() -> None:
    found = list(values())

    assert [one.__qualname__ for one in found if one.__struct_config__.gc] == []
    assert len(found) > 100
