"""From a run folder to its report."""
