"""From examples to the examples worth training on; one file a filter."""
