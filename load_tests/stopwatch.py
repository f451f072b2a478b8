"""CPU time by stage: functions are wrapped while a run is watched, and time inside a watched callee is not its caller's."""

import functools
import time
from collections import defaultdict
from typing import Any


class Stopwatch:
    """Sums the CPU time of this thread by stage; one function can be watched once."""

    def __init__(self) -> None:
        self._spent: defaultdict[str, float] = defaultdict(float)
        self._inner: list[float] = []
        self._wrapped: list[tuple[Any, str, Any]] = []

    def over(self, stage: str, owner: Any, name: str) -> None:
        """Watch `owner.name`: a method of a class or a function of a module."""
        original = getattr(owner, name)

        @functools.wraps(original)
        def watched(*arguments: Any, **named: Any) -> Any:
            began = time.thread_time()
            self._inner.append(0.0)
            try:
                return original(*arguments, **named)
            finally:
                took = time.thread_time() - began
                self._spent[stage] += took - self._inner.pop()
                if self._inner:
                    self._inner[-1] += took

        self._wrapped.append((owner, name, original))
        setattr(owner, name, watched)

    def off(self) -> None:
        """Everything as it was."""
        for owner, name, original in self._wrapped:
            setattr(owner, name, original)
        self._wrapped.clear()

    def seconds(self) -> dict[str, float]:
        """CPU seconds by stage."""
        return dict(self._spent)
