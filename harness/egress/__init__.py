"""What a process may reach: the kernel asks before each connection, and is told to go on, to lead it elsewhere, or to refuse it."""
