"""The catalogue's folder, watched: what is edited serves within seconds, what is edited badly never does."""

import asyncio
import logging
from collections.abc import Callable
from pathlib import Path

from config.catalogue_files import folder_stamp, load_catalogue
from config.mistakes import CatalogueError

log = logging.getLogger(__name__)


class CatalogueWatch:
    """The catalogue that is served. Made with a good folder: raises `CatalogueError` with every mistake else."""

    def __init__(self, folder: Path, on_error: Callable[[], None]) -> None:
        self.folder = folder
        self._looking = asyncio.Lock()
        self._on_error = on_error
        self._stamp = folder_stamp(folder)
        self.loaded = load_catalogue(folder)
        self.mistakes: tuple[str, ...] = ()

    async def look(self) -> bool:
        """Takes over a changed folder; whether it did. With a mistake in it the old one stays, and `mistakes` says why."""
        async with self._looking:
            return await self._look()

    async def _look(self) -> bool:
        try:
            stamp = folder_stamp(self.folder)
            if stamp == self._stamp:
                return False
            self._stamp = stamp
            loaded = await asyncio.to_thread(load_catalogue, self.folder)
        except CatalogueError as error:
            self._refused(tuple(str(mistake) for mistake in error.mistakes))
            return False
        except OSError as error:
            self._refused((f"{self.folder}: {error.strerror}",))
            return False
        self.mistakes = ()
        versions = (loaded.catalogue.version, loaded.catalogue.policy_version)
        changed = versions != (self.loaded.catalogue.version, self.loaded.catalogue.policy_version)
        changed = changed or loaded.triggers != self.loaded.triggers
        self.loaded = loaded
        if changed:
            log.info("the catalogue was taken over", extra={"catalogue": versions[0], "policy": versions[1]})
        return changed

    def _refused(self, mistakes: tuple[str, ...]) -> None:
        if mistakes != self.mistakes:
            log.error("the catalogue has mistakes; the one before goes on serving", extra={"mistakes": mistakes[:20]})
        self.mistakes = mistakes
        self._on_error()
