"""What the runtimes have in common: a system of servers, stores, workers and a producer, wherever these run."""
