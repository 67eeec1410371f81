"""What a gate decides, without running anything: plan, comparison with a baseline, statistics, merging of shards."""
