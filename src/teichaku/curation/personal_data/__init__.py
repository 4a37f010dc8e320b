"""Personal data in examples: found by form and check digit, then masked, dropped or told."""
