"""The only code that asks the kernel or the interpreter anything."""
