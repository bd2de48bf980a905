"""What is patched to see resources come and go: tables of targets, by package."""
