"""Processes that end with the one that started them, even where it is killed with -9 and can tell nobody."""

import os
import threading
import time


def end_with(parent: int) -> None:
    """End this process at once as soon as `parent`, the id of the process that started it, is gone."""

    def watch() -> None:
        while os.getppid() == parent:
            time.sleep(0.5)
        os._exit(1)

    threading.Thread(target=watch, daemon=True).start()
