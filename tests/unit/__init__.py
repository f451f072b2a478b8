"""Examples of one piece at a time: no process and no socket."""
