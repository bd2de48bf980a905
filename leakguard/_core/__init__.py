"""Pure decisions: records in, records out; no file, clock, thread, gc, tracing."""
