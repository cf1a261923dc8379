"""What is served while it is measured: a setup script and its handlers, plain enough for any server of the protocol."""
