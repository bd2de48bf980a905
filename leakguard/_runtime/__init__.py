"""The only threads, locks and mutable state."""
