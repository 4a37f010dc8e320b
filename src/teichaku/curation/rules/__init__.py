"""Rules that look at one example alone: a reason and its evidence, or nothing."""
