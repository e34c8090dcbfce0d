"""Wake who waits. Queue and grants are in the log; nothing here is asked for permission, and
whatever fails or hangs here costs the waiter one poll interval."""
