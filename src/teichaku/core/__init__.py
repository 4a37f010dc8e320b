"""What is pure and shared: records, protocols, text, prompts, statistics, the run folder."""
