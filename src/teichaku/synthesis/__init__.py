"""From passages to examples; one file a method."""
